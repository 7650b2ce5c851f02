package sshx

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"seatrial/platforms"
)

func TestUploadDownload(t *testing.T) {
	s := newServer(t)
	big := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(big)
	tests := []struct {
		name, path string
		mode       fs.FileMode
		data       []byte
	}{
		{"small", "file", 0o644, []byte("hello\n")},
		{"replaced", "file", 0o600, []byte("again")},
		{"empty", "empty", 0o644, nil},
		{"binary and big", "big", 0o640, big},
		{"new parents", "a/b/c/file", 0o755, []byte("deep")},
		{"special bits", "setuid", 0o755 | fs.ModeSetuid | fs.ModeSticky, []byte("x")},
		{"name to be quoted", "it's a \"$HOME\" #1;\n`id` *", 0o644, []byte("x")},
	}
	for _, user := range []string{"core", "root"} {
		cfg := s.config()
		cfg.User = user
		c := s.connectWith(cfg)
		dir := t.TempDir()
		for _, tt := range tests {
			t.Run(user+"/"+tt.name, func(t *testing.T) {
				name := filepath.Join(dir, tt.path)
				if err := c.Files().Upload(t.Context(), name, tt.mode, bytes.NewReader(tt.data)); err != nil {
					t.Fatal(err)
				}
				info, err := os.Stat(name)
				if err != nil {
					t.Fatal(err)
				}
				if info.Mode() != tt.mode {
					t.Errorf("mode %v, want %v", info.Mode(), tt.mode)
				}
				var got bytes.Buffer
				if err := c.Files().Download(t.Context(), name, &got); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got.Bytes(), tt.data) {
					t.Errorf("%d bytes came back, want %d", got.Len(), len(tt.data))
				}
				noneHidden(t, filepath.Dir(name))
			})
		}
	}
}

func TestUploadLeavesTheOldFile(t *testing.T) {
	s := newServer(t)
	c := s.connect()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(t *testing.T) {
		t.Helper()
		if got, err := os.ReadFile(name); err != nil || string(got) != "old" {
			t.Errorf("file is %q, %v", got, err)
		}
	}
	t.Run("reader fails", func(t *testing.T) {
		broken := errors.New("broken")
		err := c.Files().Upload(t.Context(), name, 0o644, io.MultiReader(strings.NewReader("new"), errReader{broken}))
		if !errors.Is(err, broken) {
			t.Errorf("error %v, want %v", err, broken)
		}
		check(t)
	})
	t.Run("connection breaks", func(t *testing.T) {
		half := io.MultiReader(strings.NewReader("new"), readerFunc(func([]byte) (int, error) {
			s.stop()
			return 0, io.EOF
		}))
		err := c.Files().Upload(t.Context(), name, 0o644, half)
		if !errors.Is(err, platforms.ErrConnectionLost) {
			t.Errorf("error %v, want a lost connection", err)
		}
		s.tasks.Wait() // the command on the server saw the end of its input
		check(t)
	})
}

func TestUploadOfCutInputFails(t *testing.T) {
	s := newServer(t)
	c := s.connect()
	name := filepath.Join(t.TempDir(), "file")
	// The script itself, fed with an input that lacks its mark.
	result, err := c.Run(t.Context(), platforms.Command{
		Line:  asRoot(c.cfg.User != "root", "sh", "-c", uploadScript, "sh", name, "0644", "MARK"),
		Stdin: strings.NewReader("half of it, MA"),
	})
	if err != nil || result.ExitCode != 1 || !strings.Contains(string(result.Stderr), "cut off") {
		t.Errorf("result %+v, %v", result, err)
	}
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	noneHidden(t, filepath.Dir(name))
}

func TestFileErrors(t *testing.T) {
	s := newServer(t)
	c := s.connect()
	dir := t.TempDir()
	err := c.Files().Download(t.Context(), filepath.Join(dir, "absent"), io.Discard)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("download of what is not there: %v, want fs.ErrNotExist", err)
	}
	for what, err := range map[string]error{
		"is a directory":       c.Files().Upload(t.Context(), dir, 0o644, strings.NewReader("x")),
		"Is a directory":       c.Files().Download(t.Context(), dir, io.Discard),
		"not an absolute path": c.Files().Upload(t.Context(), "etc/motd", 0o644, strings.NewReader("x")),
		`"" is not`:            c.Files().Download(t.Context(), "", io.Discard),
		`"/etc/" is not`:       c.Files().Upload(t.Context(), "/etc/", 0o644, strings.NewReader("x")),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("error %v, want %q", err, what)
		}
	}
	broken := errors.New("broken")
	s.handle = func(_ string, ch ssh.Channel) bool { _, _ = io.WriteString(ch, "data"); report(ch, nil); return true }
	err = c.Files().Download(t.Context(), "/file", writerFunc(func([]byte) (int, error) { return 0, broken }))
	if !errors.Is(err, broken) {
		t.Errorf("download to a broken writer: %v, want %v", err, broken)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// noneHidden fails when a temporary file was left in dir.
func noneHidden(t *testing.T, dir string) {
	t.Helper()
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
