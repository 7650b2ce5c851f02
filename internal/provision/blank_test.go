package provision

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vincent-petithory/dataurl"
)

const pem = "-----BEGIN OPENSSH PRIVATE KEY-----\nSECRETpem\n-----END OPENSSH PRIVATE KEY-----\n"

func TestBlankText(t *testing.T) {
	tests := []struct{ in, want string }{
		{"nothing here: x=1", "nothing here: x=1"},
		{pem + "after", "-----BEGIN OPENSSH PRIVATE KEY-----\n\nBLANKED\n-----END OPENSSH PRIVATE KEY-----\nafter"},
		{"-----BEGIN RSA PRIVATE KEY-----\ncut off", "-----BEGIN RSA PRIVATE KEY-----\nBLANKED\n"},
		{"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"},
		{"export ETCD_TOKEN=abc; next", "export ETCD_TOKEN=BLANKED next"},
		{`password: "a b" c`, `password: "BLANKED" c`},
		{`Environment="DB_PASSWORD=abc" "X=1"`, `Environment="DB_PASSWORD=BLANKED" "X=1"`},
		{"PrivateKey = abc=\nPublicKey = def=", "PrivateKey = BLANKED\nPublicKey = def="},
		{"TOKEN=$TOKEN run", "TOKEN=$TOKEN run"},
		{"kubeadm join --token abc.def --port 1", "kubeadm join --token BLANKED --port 1"},
		{`{"passwordHash": "x"}`, `{"passwordHash": "BLANKED"}`},
		{"Authorization: Bearer abc.def", "Authorization: Bearer BLANKED"},
		{"https://me:pw@example.com/x", "https://me:BLANKED@example.com/x"},
		{"http://[fd00::1]:80/x", "http://[fd00::1]:80/x"},
		{"root:$6$salt$hash:1", "root:BLANKED:1"},
		{"tokenize=1 password", "tokenize=1 password"},
	}
	for _, test := range tests {
		want := strings.Replace(test.want, "KEY-----\n\nBLANKED\n-----END", "KEY-----\nBLANKED\n-----END", 1)
		if got := blankText(test.in); got != want {
			t.Errorf("blankText(%q) = %q, want %q", test.in, got, want)
		}
	}
}

// TestBlank checks that secrets are gone, the rest is there, and the structure
// is still valid.
func TestBlank(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	tests := map[string]string{
		"ignition": `{"ignition":{"version":"3.4.0","config":{"merge":[{"source":"https://u:SECRETpw@h/c","httpHeaders":[{"name":"X-Auth","value":"SECRETheader"},{"name":"Accept","value":"KEPT"}]}]}},
			"passwd":{"users":[{"name":"core","passwordHash":"SECREThash","sshAuthorizedKeys":["ssh-rsa KEPT"]}]},
			"storage":{"files":[{"path":"/KEPT","contents":{"source":"data:;base64,` + b64([]byte(pem)) + `"}},
				{"path":"/gz","contents":{"compression":"gzip","source":"data:;base64,` + b64(gzipped([]byte("token=SECRETgz"))) + `"}},
				{"path":"/bad","contents":{"compression":"gzip","source":"data:,SECRETraw"}},
				{"path":"/nested","contents":{"source":"data:,` + dataurl.EscapeString(`{"ignition":{"version":"3.0.0"},"passwd":{"users":[{"name":"x","passwordHash":"SECRET"}]}}`) + `"}}],
			"luks":[{"name":"a","device":"/dev/a","keyFile":{"source":"data:,SECRETluks"}}]},
			"systemd":{"units":[{"name":"a.mount","dropins":[{"name":"a.conf","contents":"[Service]\nEnvironment=API_TOKEN=SECRETenv"}]}]}}`,
		"butane": "variant: fcos\nversion: 1.4.0\npasswd:\n  users:\n    - name: KEPT\n      password_hash: SECRET\nstorage:\n  luks:\n    - name: a\n      device: /dev/a\n      key_file:\n        inline: SECRET\n" +
			"  files:\n    - path: /a\n      contents:\n        source: data:;base64," + b64([]byte("x\npassword=SECRET\n")) + "\n",
		"cloud-config": "#cloud-config\n# KEPT\npassword: SECRET\nssh_pwauth: true\nchpasswd:\n  expire: false\n  list: |\n    root:SECRET\n" +
			"users:\n  - name: a\n    lock_passwd: false\n    hashed_passwd: SECRET\nssh_keys:\n  rsa_private: |\n    " + strings.ReplaceAll(strings.TrimSpace(pem), "\n", "\n    ") +
			"\nwrite_files:\n  - path: /a\n    encoding: b64\n    content: " + b64([]byte("a_token: SECRET")) +
			"\n  - path: /b\n    encoding: gz+b64\n    content: " + b64(gzipped([]byte("a_token: SECRET"))) + "\n",
		"multipart":        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/cloud-config\n\n#cloud-config\npassword: SECRET\n--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\nSECRET_KEY=x TOKEN=SECRET ./KEPT\n--b--\n",
		"script":           "#!/bin/sh\ncurl -H 'Authorization: Bearer SECRET' KEPT\n",
		"unknown":          "KEPT token=SECRET",
		"ignition, broken": `{"ignition": {"version": KEPT "passwordHash": "SECRET"`,
	}
	for name, raw := range tests {
		t.Run(name, func(t *testing.T) {
			before := strings.Clone(raw)
			blankedData := Blank([]byte(raw))
			got := string(blankedData)
			text := readable(t, got)
			if strings.Contains(strings.ReplaceAll(text, "SECRET_KEY", ""), "SECRET") || !strings.Contains(text, "KEPT") {
				t.Errorf("blanked:\n%s\nreadable:\n%s", got, text)
			}
			if raw != before {
				t.Error("Blank changed its argument")
			}
			_, errBefore := Validate([]byte(raw), Options{})
			_, errAfter := Validate(blankedData, Options{})
			if (errBefore == nil) != (errAfter == nil) {
				t.Errorf("validity: %v before, %v after", errBefore, errAfter)
			}
			if diff := cmp.Diff(got, string(Blank(blankedData))); diff != "" && name != "multipart" {
				t.Errorf("blanking twice (-once +twice):\n%s", diff)
			}
		})
	}
}

// readable appends the decoded form of all that is encoded in base64 or as a
// data: URL.
func readable(t *testing.T, s string) string {
	t.Helper()
	out := s
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("\"\n ", r) }) {
		data := []byte(nil)
		if u, err := dataurl.DecodeString(word); err == nil {
			data = u.Data
		} else if data, err = base64.StdEncoding.DecodeString(word); err != nil {
			continue
		}
		if plain, err := gunzip(data); err == nil {
			data = plain
		}
		out += "\n" + string(data)
	}
	return out
}
