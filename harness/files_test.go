package harness

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFiles(t *testing.T) {
	want := File{Name: "tool", Version: "v1", How: "`make fixtures` builds it"}
	files := Files{Dir: t.TempDir()}
	const missing = "tool for arm64 is missing: `make fixtures` builds it, or --file tool-arm64=PATH names it"
	if got := files.missing([]File{want}, "arm64"); got != missing {
		t.Errorf("missing: %q, want %q", got, missing)
	}
	if err := os.WriteFile(filepath.Join(files.Dir, "tool-arm64-v0"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if got := files.missing([]File{want}, "arm64"); got != missing {
		t.Errorf("with another version: %q, want %q", got, missing)
	}
	built := filepath.Join(files.Dir, "tool-arm64-v1")
	if err := os.WriteFile(built, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if got, err := files.Path(want, "arm64"); got != built || err != nil {
		t.Errorf("built: %q, %v", got, err)
	}
	files.Given = map[string]string{"tool-arm64": "given"}
	if got, err := files.Path(want, "arm64"); got != "given" || err != nil {
		t.Errorf("given: %q, %v", got, err)
	}
	if got := files.missing(nil, "arm64"); got != "" {
		t.Errorf("nothing is needed, and missing is %q", got)
	}
}
