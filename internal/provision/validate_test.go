package provision

import (
	"errors"
	"strings"
	"testing"
)

// TestErrors checks that what is wrong is named with its position.
func TestErrors(t *testing.T) {
	tests := []struct {
		name, raw string
		o         Options
		want      []string // the problems, exactly
	}{
		{"json syntax", "{\n \"ignition\": {\n  \"version\": \"3.0.0\",\n }\n}", Options{},
			[]string{"line 4, column 2: invalid character '}' looking for beginning of object key string"}},
		{"json end", "{\n \"ignition\": {", Options{},
			[]string{"line 2, column 14: unexpected end of JSON input"}},
		{"json after the end", "{\"ignition\": {\"version\": \"3.0.0\"}}\n{}", Options{},
			[]string{"line 2, column 1: invalid character '{' after top-level value"}},
		{"type", "{\"ignition\": {\"version\": \"3.0.0\"},\n \"storage\": {\"files\": [{\"path\": \"/$private_ipv4\",\n  \"mode\": \"0644\"}]}}",
			Options{},
			[]string{"line 3, column 16: storage.files.mode: must be of type int, not string"}},
		{"field", "{\"ignition\": {\"version\": \"3.0.0\"},\n \"storage\": {\"files\": [\n  {\"path\": \"$private_ipv4/x\"}]}}", Options{},
			[]string{"line 3, column 12: storage.files.0.path: path not absolute"}},
		{"duplicates", "{\"ignition\": {\"version\": \"3.3.0\"}, \"passwd\": {\"users\": [\n{\"name\": \"a\"},\n{\"name\": \"a\"}]}}", Options{},
			[]string{"line 3, column 2: passwd.users.1: duplicate entry defined"}},
		{"no version", "{\"ignition\":\n {}}", Options{},
			[]string{`line 2, column 3: ignition.version: must be a version such as "3.3.0"`}},
		{"unknown version", "{\"ignition\":\n {\"version\": \"3.9.0\"}}", Options{},
			[]string{"line 2, column 14: ignition.version: spec 3.9.0 is unknown; known are 1, 2.0.0 to 2.4.0, 3.0.0, 3.1.0, 3.2.0, 3.3.0, 3.4.0, 3.5.0, 3.6.0, 3.7.0-experimental"}},
		{"spec 1 version", `{"ignitionVersion": 2}`, Options{},
			[]string{"line 1, column 2: ignition.version: ignitionVersion must be 1 (later specs have ignition.version)"}},
		{"too old", `{"ignition": {"version": "2.2.0"}}`, Options{IgnitionMax: "3.3.0"},
			[]string{"line 1, column 26: ignition.version: spec 2.2.0 is too old: the image accepts 3.0.0 to 3.3.0"}},
		{"too new for spec 2", `{"ignition": {"version": "3.0.0"}}`, Options{IgnitionMax: "2.3.0"},
			[]string{"line 1, column 26: ignition.version: spec 3.0.0 is too new: the image accepts at most 2.3.0"}},
		{"spec 2 users", "{\"ignition\": {\"version\": \"2.2.0\"},\n\"passwd\": {\"users\": {}}}", Options{},
			[]string{"line 2, column 21: passwd.users: must not be of type object"}},
		{"hash", "{\"ignition\": {\"version\": \"3.0.0\"}, \"storage\": {\"files\": [{\"path\": \"/a\", \"contents\": {\n\"source\": \"data:,$hostname\", \"verification\": {\"hash\": \"sha512-" + strings.Repeat("0", 128) + "\"}}}]}}", Options{},
			[]string{"line 2, column 11: storage.files.0.contents.source: its contents must be changed (variables, SSH keys, version), but have a verification hash, which would no longer hold: remove the hash"}},
		{"lowering", "{\"ignition\": {\"version\": \"3.4.0\"},\n\"storage\": {\"luks\": [{\"name\": \"a\", \"device\": \"/dev/b\",\n\"discard\": true}]}}", Options{IgnitionMax: "3.3.0"},
			[]string{"line 3, column 1: storage.luks.0.discard: is not in Ignition spec 3.3.0, the highest that the image accepts (the config has 3.4.0): unused key discard"}},
		{"butane lowering", "variant: flatcar\nversion: 1.1.0\nstorage:\n  luks:\n    - name: a\n      device: /dev/b\n      discard: true\n", Options{IgnitionMax: "3.3.0"},
			[]string{"storage.luks.0.discard: is not in Ignition spec 3.3.0, the highest that the image accepts (the config has 3.4.0): unused key discard"}},
		{"nested", "{\"ignition\": {\"version\": \"3.0.0\", \"config\": {\"merge\": [\n{\"source\": \"data:,%7B%22ignition%22:%0A%7B%7D%7D\"}]}}}", Options{},
			[]string{"line 2, column 12: ignition.config.merge.0.source: user data is not valid ignition: line 2, column 2: ignition.version: must be a version such as \"3.3.0\""}},
		{"butane syntax", "variant: fcos\nversion: 1.4.0\nstorage:\n  files: [\n", Options{},
			[]string{"line 5: did not find expected node content"}},
		{"butane key", "variant: fcos\nversion: 1.4.0\nstorage:\n  files:\n    - path: /a\n      moed: 0644\n", Options{},
			[]string{"line 6, column 7: storage.files.0.moed: unknown key moed"}},
		{"butane field", "variant: fcos\nversion: 1.4.0\n# $hostname\nstorage:\n  files:\n    - path: a$hostname\n", Options{},
			[]string{"line 6, column 13: storage.files.0.path: path not absolute"}},
		{"butane type", "variant: fcos\nversion: 1.4.0\n\n\nstorage:\n  files:\n    - path: /$hostname\n      mode: high\n", Options{},
			[]string{"line 8: cannot unmarshal !!str `high` into int"}},
		{"butane variant", "variant: zcos\nversion: 1.4.0\n", Options{},
			[]string{"No translator exists for variant zcos with version 1.4.0"}},
		{"butane local file", "variant: fcos\nversion: 1.4.0\nstorage:\n  files:\n    - path: /a\n      contents:\n        local: a\n", Options{},
			[]string{"line 7, column 16: storage.files.0.contents.local: local file paths are relative to a files directory that must be specified with -d/--files-dir"}},
		{"cloud-config syntax", "#cloud-config\nhostname: x\nusers: [a\n\nruncmd: [\n", Options{},
			[]string{"line 3: did not find expected ',' or ']'"}},
		{"cloud-config list", "#cloud-config\n\n- a\n", Options{},
			[]string{"line 3, column 1: must be a mapping of keys to values"}},
		{"cloud-config repeated", "#cloud-config\nhostname: a\nhostname: b\n", Options{},
			[]string{`line 3: mapping key "hostname" already defined at line 2`}},
		{"cloud-config documents", "#cloud-config\na: b\n---\nc: d\n", Options{},
			[]string{"must be one YAML document, not several"}},
		{"script value", "#!/bin/sh\necho $hostname\n", Options{Vars: map[string]string{VarHostname: "a b"}},
			[]string{"the value of $hostname cannot be put into a script: it has characters that a shell may interpret"}},
		{"multipart boundary", "Content-Type: multipart/mixed\n\n--b--\n", Options{},
			[]string{"the header Content-Type has no boundary"}},
		{"multipart empty", "Content-Type: multipart/mixed; boundary=b\n\nnothing\n", Options{},
			[]string{"no part begins with the boundary \"b\""}},
		{"multipart part", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--b\nContent-Type: text/cloud-config\n\n#cloud-config\nhostname: a\nhostname: b\n--b--\n", Options{},
			[]string{`line 12: part 2: mapping key "hostname" already defined at line 11`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			report, err := Validate([]byte(test.raw), test.o)
			invalid, ok := errors.AsType[*InvalidError](err)
			if !ok {
				t.Fatalf("error %v is no InvalidError", err)
			}
			var got []string
			for _, p := range invalid.Problems {
				got = append(got, p.String())
				if !strings.Contains(err.Error(), p.String()) {
					t.Errorf("error text %q lacks %q", err, p)
				}
			}
			if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			if len(report.Errors) != len(invalid.Problems) {
				t.Errorf("report has %d errors, the error %d", len(report.Errors), len(invalid.Problems))
			}
		})
	}
}

// TestWarnings checks that what may be a mistake does not make a config invalid.
func TestWarnings(t *testing.T) {
	tests := []struct{ name, raw, want string }{
		{"ignition", "{\"ignition\": {\"version\": \"3.0.0\"},\n \"sotrage\": {}}", "line 2, column 2: sotrage: unused key sotrage"},
		{"butane", "variant: fcos\nversion: 1.4.0\nsystemd:\n  units:\n    - name: a.service\n      enabled: true\n      contents: x\n",
			`line 7, column 17: systemd.units.0.contents: unit "a.service" is enabled, but has no install section so enable does nothing`},
		{"cloud-config", "#cloud-config\n\nhostname: x\nhostnam: y\n", "line 4, column 1: hostnam: unknown key: cloud-init ignores it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			report, err := Validate([]byte(test.raw), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Warnings) != 1 || report.Warnings[0].String() != test.want {
				t.Errorf("warnings %v, want %q", report.Warnings, test.want)
			}
		})
	}
}

// TestValidateStandIns checks that references to addresses are no errors before
// there are addresses.
func TestValidateStandIns(t *testing.T) {
	raw := `{"ignition":{"version":"3.0.0","config":{"merge":[{"source":"http://${private_ipv4}:80/c"}]}}}`
	if _, err := Validate([]byte(raw), Options{}); err != nil {
		t.Error(err)
	}
	if _, err := Render([]byte(raw), Options{}); err == nil {
		t.Error("Render took a URL with an unknown variable in its host")
	}
}

func TestCloudConfigUserWarning(t *testing.T) {
	raw := "#cloud-config\nusers:\n  - name: other\n"
	got, err := Render([]byte(raw), Options{SSHKeys: []string{key1}})
	if err != nil {
		t.Fatal(err)
	}
	want := `line 2, column 1: users: has neither "default" nor core: cloud-init gives the run's SSH key to nobody`
	if w := got.Report.Warnings; len(w) != 1 || w[0].String() != want {
		t.Errorf("warnings %v, want %q", w, want)
	}
}

// TestLower checks that a config keeps its meaning when its version is lowered,
// for each step down.
func TestLower(t *testing.T) {
	for _, to := range []string{"3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0", "3.6.0"} {
		raw := `{"ignition":{"version":"3.7.0-experimental"},"storage":{"files":[{"path":"/a","contents":{"source":"data:,x"}}]}}`
		got, err := Render([]byte(raw), Options{IgnitionMax: to})
		if err != nil {
			t.Errorf("to %s: %v", to, err)
			continue
		}
		want := `{"ignition":{"version":"` + to + `"},"storage":{"files":[{"contents":{"source":"data:,x"},"path":"/a"}]}}`
		if string(got.Data) != want {
			t.Errorf("to %s: %s", to, got.Data)
		}
	}
	// An unknown key of its own is not what lowering loses.
	raw := `{"ignition":{"version":"3.4.0"},"storage":{"x":1}}`
	if _, err := Render([]byte(raw), Options{IgnitionMax: "3.3.0"}); err != nil {
		t.Error(err)
	}
	// What the image accepts is left alone.
	got, err := Render([]byte(raw), Options{IgnitionMax: "3.4"})
	if err != nil || string(got.Data) != raw {
		t.Errorf("Render = %s, %v", got.Data, err)
	}
}

// TestNested checks that configs within a config are lowered, too, and that one
// that replaces the config gets the keys.
func TestNested(t *testing.T) {
	inner := `data:,%7B%22ignition%22%3A%7B%22version%22%3A%223.4.0%22%7D%7D`
	lowered := `data:,%7B%22ignition%22%3A%7B%22version%22%3A%223.3.0%22%7D%7D`
	raw := `{"ignition":{"config":{"merge":[{"source":"` + inner + `"}],"replace":{"source":"` + inner + `"}},"version":"3.3.0"}}`
	got, err := Render([]byte(raw), Options{IgnitionMax: "3.3.0", SSHKeys: []string{key1}})
	if err != nil {
		t.Fatal(err)
	}
	if s := field(t, got.Data, "ignition", "config", "merge", 0, "source"); s != lowered {
		t.Errorf("merged config: %s", s)
	}
	replacing := payload(t, field(t, got.Data, "ignition", "config", "replace", "source"))
	if k := field(t, replacing, "passwd", "users", 0, "sshAuthorizedKeys", 0); k != key1 {
		t.Errorf("replacing config: %s", replacing)
	}

	raw = "{\"ignition\":{\"version\":\"3.3.0\",\"config\":{\"replace\":\n{\"source\":\"http://a/b\"}}}}"
	got, err = Render([]byte(raw), Options{SSHKeys: []string{key1}})
	want := "line 2, column 11: ignition.config.replace.source: the config that replaces this one is not known here: the run's SSH key is not in it"
	if err != nil || len(got.Report.Warnings) != 1 || got.Report.Warnings[0].String() != want {
		t.Errorf("Render = %v, %v; want %q", got.Report.Warnings, err, want)
	}
}
