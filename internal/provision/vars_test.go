package provision

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/vincent-petithory/dataurl"
	"gopkg.in/yaml.v3"
)

func TestExpand(t *testing.T) {
	vars := map[string]string{"a": "1", "a_b": "2", "loop": "$a", "empty": ""}
	tests := []struct{ in, want string }{
		{"", ""},
		{"$a", "1"},
		{"${a}", "1"},
		{"x${a}y$a.z", "x1y1.z"},
		{"$a_b", "2"},
		{"$a_c ${a_c}", "$a_c ${a_c}"},
		{"$ab", "$ab"},
		{"$A", "$A"},
		{"${a", "${a"},
		{"$a}", "1}"},
		{"${a:-x} ${ a }", "${a:-x} ${ a }"},
		{"$$", "$$"},
		{"$$a", "$a"},
		{"$${a}", "${a}"},
		{"$$$a", "$$a"},
		{"$$b", "$$b"},
		{"$a$a", "11"},
		{"$", "$"},
		{"$1 $* $(a)", "$1 $* $(a)"},
		{"$loop", "$a"},
		{"<$empty>", "<>"},
	}
	for _, test := range tests {
		if got := expand(test.in, vars); got != test.want {
			t.Errorf("expand(%q) = %q, want %q", test.in, got, test.want)
		}
	}
	if got := expand("$a", nil); got != "$a" {
		t.Errorf("without variables: %q", got)
	}
}

// hostile are values that would break documents into which they were pasted.
func hostile() []string {
	return []string{
		`"`, `'`, `\`, `"}`, `"}],"passwd":{"users":[]}`, "a\nb", "a\r\n\tb", "\n", " lead", "trail ", "", "\x00", "\x1b[0m",
		"%", "%22", ",", ";base64,", "é€😀", "\u2028", "\u0085",
		"yes", "null", "~", "1e3", "0x10", "- a", "a: b", "a #b", "#", "!!int 3", "&x", "*x", "|", ">", "{a", "[", "@", "`",
		"---\n", "\n  x: y\n", "%YAML", "$hostname", "${value}", "$$", "<<", "=", "2001-01-01",
	}
}

// TestHostileValues renders each value into each kind of document and reads it
// back as the machine would.
func TestHostileValues(t *testing.T) {
	places := map[string]struct {
		raw  string
		read func(t *testing.T, data []byte) string
	}{
		"unit": {`{"ignition":{"version":"3.3.0"},"systemd":{"units":[{"name":"a.mount","dropins":[{"name":"a.conf","contents":"#<$value>"}]}]}}`,
			func(t *testing.T, data []byte) string {
				return field(t, data, "systemd", "units", 0, "dropins", 0, "contents")
			}},
		"percent": {`{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/a","contents":{"source":"data:,%23%3C${value}%3E"}}]}}`, contents},
		"base64": {`{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/a","contents":{"source":"data:;base64,` +
			base64.StdEncoding.EncodeToString([]byte("#<$value>")) + `"}}]}}`, contents},
		"gzip": {`{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/a","contents":{"compression":"gzip","source":"data:;base64,` +
			base64.StdEncoding.EncodeToString(gzipped([]byte("#<$value>"))) + `"}}]}}`, contents},
		"nested": {`{"ignition":{"version":"3.3.0","config":{"replace":{"source":"data:,` +
			dataurl.EscapeString(`{"ignition":{"version":"3.0.0"},"x":"#<$value>"}`) + `"}}}}`,
			func(t *testing.T, data []byte) string {
				return field(t, payload(t, field(t, data, "ignition", "config", "replace", "source")), "x")
			}},
		"spec 2":         {`{"ignition":{"version":"2.3.0"},"storage":{"files":[{"contents":{"source":"data:,%23%3C%24value%3E"}}]}}`, contents},
		"butane plain":   {"variant: fcos\nversion: 1.4.0\nstorage:\n  files:\n    - path: /a\n      contents:\n        inline: ' #<$value>'\n", contents},
		"butane literal": {"variant: fcos\nversion: 1.4.0\nstorage:\n  files:\n    - path: /a\n      contents:\n        inline: |\n          #<$value>\n", contents},
		"butane folded":  {"variant: flatcar\nversion: 1.0.0\nstorage:\n  files:\n    - path: /a\n      contents:\n        inline: >-\n          #<$value>\n", contents},
		"cloud-config": {"#cloud-config\nhostname: $value\n", func(t *testing.T, data []byte) string {
			return "#<" + cloudField(t, data, "hostname") + ">"
		}},
		"cloud-config literal": {"#cloud-config\nx:\n  y: |-\n    #<${value}>\n", func(t *testing.T, data []byte) string {
			return cloudField(t, data, "x", "y")
		}},
		"multipart": {"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/cloud-config\n\nhostname: \"#<$value>\"\n--b--\n",
			func(t *testing.T, data []byte) string {
				parts, _, err := readParts(data)
				if err != nil || len(parts) != 1 {
					t.Fatalf("%d parts, %v", len(parts), err)
				}
				return cloudField(t, parts[0].body, "hostname")
			}},
	}
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			for _, value := range hostile() {
				got, err := Render([]byte(place.raw), Options{Vars: map[string]string{"value": value}})
				if err != nil {
					t.Errorf("%q: %v", value, err)
					continue
				}
				read := place.read(t, got.Data)
				for len(read) > 0 && (read[0] == ' ' || read[len(read)-1] == '\n') { // what the scalars have around it
					if read[0] == ' ' {
						read = read[1:]
					} else {
						read = read[:len(read)-1]
					}
				}
				if want := "#<" + value + ">"; read != want {
					t.Errorf("%q arrived as %q in:\n%s", value, read, got.Data)
				}
			}
		})
	}
}

// field reads a string out of a JSON document.
func field(t *testing.T, data []byte, path ...any) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	s, _ := v.(string)
	return s
}

func payload(t *testing.T, url string) []byte {
	t.Helper()
	u, err := dataurl.DecodeString(url)
	if err != nil {
		t.Fatalf("%v in %s", err, url)
	}
	return u.Data
}

// contents reads the contents of the first file, as Ignition would write them.
func contents(t *testing.T, data []byte) string {
	t.Helper()
	out := payload(t, field(t, data, "storage", "files", 0, "contents", "source"))
	if field(t, data, "storage", "files", 0, "contents", "compression") == "gzip" {
		var err error
		if out, err = gunzip(out); err != nil {
			t.Fatal(err)
		}
	}
	return string(out)
}

func cloudField(t *testing.T, data []byte, path ...string) string {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	for _, p := range path {
		v = v.(map[string]any)[p]
	}
	s, ok := v.(string)
	if !ok {
		t.Fatalf("%v is a %T in %s", path, v, data)
	}
	return s
}

// TestDataURL checks that a payload keeps its media type and its encoding.
func TestDataURL(t *testing.T) {
	vars := map[string]string{"a": "ü &+"}
	tests := []struct{ in, want string }{
		{"data:,$a", "data:,%C3%BC%20%26%2B"},
		{"data:,%24a", "data:,%C3%BC%20%26%2B"},
		{"data:,${a}", "data:,%C3%BC%20%26%2B"},
		{"data:text/plain;charset=utf-8,$a", "data:text/plain;charset=utf-8,%C3%BC%20%26%2B"},
		{"data:text/plain;base64,JGE=", "data:text/plain;base64,w7wgJis="},
		{"data:;base64,/wAkYQ==", "data:;base64,/wAkYQ=="}, // not text
		{"data:,nothing%20$b", "data:,nothing%20$b"},
		{"data:bad", "data:bad"},
	}
	for _, test := range tests {
		got, err := expandDataURL(test.in, nil, vars)
		if err != nil || got != test.want {
			t.Errorf("expandDataURL(%q) = %q, %v; want %q", test.in, got, err, test.want)
		}
	}
	if _, err := expandDataURL("data:,$a", map[string]any{"compression": "gzip"}, vars); err == nil {
		t.Error("a payload that is not gzip was taken for one")
	}
}
