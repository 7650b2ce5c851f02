package debian

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestRecipePackages(t *testing.T) {
	r := recipe{fstest.MapFS{
		"list": {Data: []byte("# comment\nb\n[amd64] only-amd64\n[arm64] only-arm64 # why\n\n")},
		"bad":  {Data: []byte("a b\n")},
	}}
	got, err := r.packages("list", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "only-arm64"}, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if _, err := r.packages("bad", "arm64"); err == nil {
		t.Error("a bad line was taken")
	}
}

func TestRecipeHash(t *testing.T) {
	hash := func(files fstest.MapFS) string {
		h, err := recipe{files}.hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	base := hash(fstest.MapFS{"a": {Data: []byte("1")}, "b": {Data: []byte("2")}})
	for name, other := range map[string]fstest.MapFS{
		"content": {"a": {Data: []byte("1")}, "b": {Data: []byte("3")}},
		"name":    {"a": {Data: []byte("1")}, "c": {Data: []byte("2")}},
		"border":  {"a": {Data: []byte("1b 1\n2")}},
	} {
		if hash(other) == base {
			t.Errorf("another %s has the same hash", name)
		}
	}
}

func TestOverlay(t *testing.T) {
	r := recipe{fstest.MapFS{
		"root/etc/script":      {Data: []byte("#!/bin/sh\n")},
		"root/etc/sudoers.d/x": {Data: []byte("x\n")},
		"root/boot/grub.cfg":   {Data: []byte("linux @CONSOLE@ ro\n")},
		"setup.sh":             {Data: []byte("not laid over\n")},
	}}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "boot"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.overlay(dir, nil); err == nil {
		t.Error("a file in the place of a directory was accepted")
	}
	dir = t.TempDir()
	if err := r.overlay(dir, map[string]string{"CONSOLE": "console=x"}); err != nil {
		t.Fatal(err)
	}
	modes := map[string]fs.FileMode{"etc/script": 0o755, "etc/sudoers.d/x": 0o440, "boot/grub.cfg": 0o644}
	for name, want := range modes {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", name, st.Mode().Perm(), want)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "boot/grub.cfg")); err != nil || string(data) != "linux console=x ro\n" {
		t.Errorf("grub.cfg is %q, %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "setup.sh")); err == nil {
		t.Error("setup.sh was laid over the root")
	}
}

// TestEmbeddedRecipe looks at the recipe that is shipped.
func TestEmbeddedRecipe(t *testing.T) {
	r, err := loadRecipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range architectures() {
		for _, file := range []string{"packages", "boot-packages"} {
			names, err := r.packages(file, a.name)
			if err != nil {
				t.Fatal(err)
			}
			if len(names) == 0 || len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names) {
				t.Errorf("%s of %s is empty or has doubles: %v", file, a.name, names)
			}
		}
	}
	// go:embed leaves such files out unless told otherwise.
	grub, err := fs.ReadFile(r.fsys, "root/boot/grub/grub.cfg")
	if err != nil || !strings.Contains(string(grub), "@CONSOLE@") {
		t.Errorf("grub.cfg has no place for the console: %v", err)
	}
}
