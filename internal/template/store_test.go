package template

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type facts struct{ Nonce string }

func testStore(t *testing.T) Store {
	return Store{Dir: filepath.Join(t.TempDir(), "templates"), Limit: 1 << 30, MaxAge: time.Hour}
}

func key(c string) string { return strings.Repeat(c, 32) }

// make makes a template and reports whether that was needed.
func makeOne(t *testing.T, s Store, k string) (made bool) {
	t.Helper()
	err := s.Make(t.Context(), k, "a machine", func(_ context.Context, dir string) (any, error) {
		made = true
		sparse := filepath.Join(dir, "ram")
		return facts{"nonce " + k}, errors.Join(
			os.WriteFile(filepath.Join(dir, "state"), []byte("state of the devices"), 0o600),
			os.WriteFile(sparse, []byte(strings.Repeat("memory", block)), 0o600), os.Truncate(sparse, 20*block))
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestStore(t *testing.T) {
	s := testStore(t)
	k := key("a")
	var f facts
	if _, err := s.Use(t.Context(), k, &f); !errors.Is(err, ErrNone) {
		t.Errorf("an empty store gave %v", err)
	}
	if !makeOne(t, s, k) || makeOne(t, s, k) {
		t.Error("it is not made once")
	}
	lease, err := s.Use(t.Context(), k, &f)
	if err != nil || f.Nonce != "nonce "+k {
		t.Fatalf("it gave %+v, %v", f, err)
	}
	if removed, err := s.Clear(false); err != nil || len(removed) != 0 || !s.Has(k) {
		t.Errorf("in use: removed %v, %v", removed, err)
	}
	if err := lease.Close(); err != nil {
		t.Error(err)
	}
	if removed, err := s.Clear(true); err != nil || len(removed) != 1 || !s.Has(k) {
		t.Errorf("dry run: removed %v, %v", removed, err)
	}
	if removed, err := s.Clear(false); err != nil || len(removed) != 1 || s.Has(k) {
		t.Errorf("removed %v, %v", removed, err)
	}
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestDistrust: what is not as it was made is made again.
func TestDistrust(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"truncated":      func(dir string) error { return os.Truncate(filepath.Join(dir, "state"), 5) },
		"missing":        func(dir string) error { return os.Remove(filepath.Join(dir, "ram")) },
		"no manifest":    func(dir string) error { return os.Remove(filepath.Join(dir, manifestFile)) },
		"cut manifest":   func(dir string) error { return os.Truncate(filepath.Join(dir, manifestFile), 30) },
		"another format": func(dir string) error { return edit(dir, func(m *manifest) { m.Format++ }) },
		"another key":    func(dir string) error { return edit(dir, func(m *manifest) { m.Key = key("b") }) },
		"too old": func(dir string) error {
			return edit(dir, func(m *manifest) { m.Created = m.Created.Add(-2 * time.Hour) })
		},
		"from the future": func(dir string) error { return edit(dir, func(m *manifest) { m.Created = m.Created.Add(time.Hour) }) },
		"one byte, same time": func(dir string) error {
			path := filepath.Join(dir, "ram")
			before, err := os.Stat(path)
			if err != nil {
				return err
			}
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte{0}, 7)
			return errors.Join(err, f.Close(), os.Chtimes(path, before.ModTime(), before.ModTime()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := testStore(t)
			k := key("a")
			makeOne(t, s, k)
			if err := damage(s.path(k)); err != nil {
				t.Fatal(err)
			}
			if s.Has(k) {
				t.Error("it is trusted")
			}
			entries, err := s.List()
			if err != nil || len(entries) != 1 || entries[0].Problem == "" {
				t.Errorf("listed as %+v, %v", entries, err)
			}
			if !makeOne(t, s, k) || !s.Has(k) {
				t.Error("it is not made again")
			}
		})
	}
}

func edit(dir string, change func(*manifest)) error {
	m, err := readManifest(dir)
	if err != nil {
		return err
	}
	change(&m)
	return m.write(dir)
}

// TestCopied: a cache that was copied has the content, but not the inodes.
func TestCopied(t *testing.T) {
	s := testStore(t)
	k := key("a")
	makeOne(t, s, k)
	moved := Store{Dir: filepath.Join(t.TempDir(), "copy"), Limit: s.Limit, MaxAge: s.MaxAge}
	if err := os.CopyFS(moved.Dir, os.DirFS(s.Dir)); err != nil {
		t.Fatal(err)
	}
	if moved.Has(k) {
		t.Error("it is trusted without a look")
	}
	if makeOne(t, moved, k) || !moved.Has(k) {
		t.Error("it is not taken over")
	}
}

func TestMakeFails(t *testing.T) {
	s := testStore(t)
	broken := errors.New("the machine does not boot")
	err := s.Make(t.Context(), key("a"), "", func(context.Context, string) (any, error) { return nil, broken })
	if !errors.Is(err, broken) || s.Has(key("a")) {
		t.Errorf("it gave %v", err)
	}
	if entries, err := s.List(); err != nil || len(entries) != 0 {
		t.Errorf("left are %v, %v", entries, err)
	}
	if err := s.Make(t.Context(), "../escape", "", nil); err == nil {
		t.Error("a key that is none was taken")
	}
}

// TestHalfMade: what a maker that died has left is removed, what one that lives makes is not.
func TestHalfMade(t *testing.T) {
	s := testStore(t)
	k := key("a")
	err := s.Make(t.Context(), k, "", func(_ context.Context, dir string) (any, error) {
		if removed, err := s.Sweep(false); err != nil || len(removed) != 0 {
			t.Errorf("while it is made: removed %v, %v", removed, err)
		}
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.path(key("b")+partialSuffix), 0o700); err != nil {
		t.Fatal(err)
	}
	removed, err := s.Sweep(false)
	if err != nil || len(removed) != 1 || !strings.Contains(removed[0].Name, key("b")) {
		t.Errorf("removed %v, %v", removed, err)
	}
	if !s.Has(k) {
		t.Error("the whole one is gone")
	}
}

func TestEviction(t *testing.T) {
	s := testStore(t)
	for _, c := range []string{"a", "b", "c"} {
		makeOne(t, s, key(c))
	}
	entries, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	s.Limit = 3 * entries[0].Bytes
	past := time.Now().Add(-time.Minute)
	if err := os.Chtimes(filepath.Join(s.path(key("b")), usedFile), past, past); err != nil {
		t.Fatal(err)
	}
	makeOne(t, s, key("d"))
	for c, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if got := s.Has(key(c)); got != want {
			t.Errorf("%s is there: %v, want %v", c, got, want)
		}
	}
}

func TestTogether(t *testing.T) {
	s := testStore(t)
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := s.Make(t.Context(), key("a"), "", func(context.Context, string) (any, error) {
				made.Add(1)
				time.Sleep(10 * time.Millisecond)
				return nil, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("it was made %d times", made.Load())
	}
}
