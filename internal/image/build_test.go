package image

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

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

// TestExclusively runs builds side by side: one at a time, each in an empty
// directory of its own, of which nothing is left.
func TestExclusively(t *testing.T) {
	o := Options{Arch: "amd64", CacheDir: filepath.Join(t.TempDir(), "made")}
	failed := errors.New("failed")
	var running, most atomic.Int32
	var g errgroup.Group
	for i := range 3 {
		g.Go(func() error {
			_, err := exclusively(t.Context(), o, func(work string) (string, error) {
				most.Store(max(most.Load(), running.Add(1)))
				defer running.Add(-1)
				if entries, err := os.ReadDir(work); err != nil || len(entries) > 0 {
					t.Errorf("work directory has %v, %v", entries, err)
				}
				write(t, filepath.Join(work, "half"), "x")
				if i == 1 {
					return "", failed
				}
				return "path", nil
			})
			if i == 1 && !errors.Is(err, failed) || i != 1 && err != nil {
				t.Errorf("build %d: %v", i, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if most.Load() != 1 {
		t.Errorf("%d builds ran at a time, want 1", most.Load())
	}
	if left, _ := filepath.Glob(filepath.Join(o.CacheDir, "building-*")); len(left) > 0 {
		t.Errorf("builds left %v", left)
	}
}

// TestExclusivelyCanceled stops waiting when the context ends.
func TestExclusivelyCanceled(t *testing.T) {
	o := Options{Arch: "amd64", CacheDir: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := exclusively(t.Context(), o, func(string) (string, error) {
		cancel()
		return exclusively(ctx, o, func(string) (string, error) { return "", nil })
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that of the context", err)
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
