package provision

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzRender checks that nothing an author may write makes the package panic,
// and that what it renders is of the promised kind, valid, and not changed by
// being rendered again.
func FuzzRender(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join("testdata", "render", "*"))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "10.0.0.1")
	}
	for _, value := range hostile() {
		f.Add([]byte("#cloud-config\n"+value+"\nx: $value\n"), value)
		f.Add([]byte(`{"ignition":{"version":"3.0.0"},"storage":{"files":[{"path":"/a","contents":{"source":"data:,$value`+value+`"}}]}}`), value)
	}
	f.Fuzz(func(t *testing.T, raw []byte, value string) {
		Blank(raw)
		o := Options{SSHKeys: []string{key1}, Vars: map[string]string{"value": value, VarPrivateIPv4: value}}
		got, err := Render(raw, o)
		if err != nil {
			return
		}
		kind, err := Detect(got.Data)
		if err != nil || kind != got.Kind {
			t.Fatalf("rendered %q is %q (%v), not %q", got.Data, kind, err, got.Kind)
		}
		o.Vars = nil
		again, err := Render(got.Data, o)
		if err != nil {
			t.Fatalf("rendered %q is not valid: %v", got.Data, err)
		}
		if !bytes.Equal(got.Data, again.Data) {
			t.Fatalf("rendered %q, and again %q", got.Data, again.Data)
		}
		if !bytes.Contains(got.Data, []byte("AAAAIKey1")) {
			t.Fatalf("rendered %q lacks the key", got.Data)
		}
	})
}
