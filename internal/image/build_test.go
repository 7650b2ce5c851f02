package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seatrial/internal/image/debian"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestReferenceCached takes the newest image of this recipe and architecture,
// and calls no tool for it.
func TestReferenceCached(t *testing.T) {
	recipe, err := debian.RecipeHash()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	other := strings.Repeat("0", len(recipe))
	old := filepath.Join(dir, imageName("arm64", recipe, strings.Repeat("1", keyLength)))
	young := filepath.Join(dir, imageName("arm64", recipe, strings.Repeat("2", keyLength)))
	for _, path := range []string{
		young, old,
		filepath.Join(dir, imageName("arm64", other, strings.Repeat("3", keyLength))),
		filepath.Join(dir, imageName("amd64", recipe, strings.Repeat("4", keyLength))),
	} {
		write(t, path, path)
	}
	hourAgo := time.Now().Add(-time.Hour)
	if err := os.Chtimes(old, hourAgo, hourAgo); err != nil {
		t.Fatal(err)
	}
	got, err := Reference(t.Context(), Options{Arch: "arm64", CacheDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got.Path != young || got.Arch != "arm64" || len(got.SHA256) != 64 {
		t.Errorf("Reference = %+v, want %s", got, young)
	}
}

func TestNewestNone(t *testing.T) {
	got, err := newest(Options{Arch: "amd64", CacheDir: filepath.Join(t.TempDir(), "absent")}, strings.Repeat("a", 64))
	if got != "" || err != nil {
		t.Errorf("newest = %q, %v, want nothing", got, err)
	}
}

// TestSweep removes what a killed build of the same architecture left, and
// nothing else.
func TestSweep(t *testing.T) {
	o := Options{Arch: "amd64", CacheDir: t.TempDir()}
	killed, err := newWorkDir(o)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(killed, "disk.raw"), "half")
	foreign, err := newWorkDir(Options{Arch: "arm64", CacheDir: o.CacheDir})
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := newWorkDir(o)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{killed: false, foreign: true, fresh: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", filepath.Base(path), err, want)
		}
	}
}

func TestBuildNeedsKnownArch(t *testing.T) {
	_, err := Build(t.Context(), Options{Arch: "mips", CacheDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "mips") {
		t.Errorf("Build = %v, want an error that names the architecture", err)
	}
}

func TestMissingTools(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	missing := MissingTools("arm64")
	if len(missing) == 0 || !strings.Contains(strings.Join(missing, ","), "mmdebstrap (package mmdebstrap)") {
		t.Errorf("MissingTools with an empty PATH = %q", missing)
	}
}
