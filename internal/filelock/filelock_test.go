package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func open(t *testing.T, path string, mode Mode) *os.File {
	t.Helper()
	f, err := Open(path, mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first := open(t, path, Shared)
	second := open(t, path, Shared)
	if _, err := Open(path, Exclusive); !errors.Is(err, ErrHeld) {
		t.Errorf("exclusive beside two that share it: %v", err)
	}
	first.Close()
	second.Close()
	open(t, path, Exclusive)
	for _, mode := range []Mode{Shared, Exclusive} {
		if _, err := Open(path, mode); !errors.Is(err, ErrHeld) {
			t.Errorf("mode %d beside an exclusive one: %v", mode, err)
		}
	}
}

// A lock whose file its holder removed is not had by who opened that file before.
func TestRemovedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f := open(t, path, Exclusive)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := current(f); !errors.Is(err, ErrHeld) {
		t.Errorf("without a file: %v", err)
	}
	other := open(t, path, Exclusive)
	if err := current(f); !errors.Is(err, ErrHeld) {
		t.Errorf("with another file: %v", err)
	}
	if err := current(other); err != nil {
		t.Errorf("the other file: %v", err)
	}
}

func TestWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	holder := open(t, path, Exclusive)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 3*poll, errors.New("no patience"))
	defer cancel()
	if _, err := Wait(ctx, path, Exclusive); err == nil || err.Error() != "wait for the lock on "+path+": no patience" {
		t.Errorf("a held lock: %v", err)
	}
	time.AfterFunc(2*poll, func() { holder.Close() })
	f, err := Wait(t.Context(), path, Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// What cannot be a lock is no reason to wait.
func TestNoLock(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "target"), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, dir, filepath.Join(dir, "none", "lock")} {
		if _, err := Wait(t.Context(), path, Exclusive); err == nil || errors.Is(err, ErrHeld) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
