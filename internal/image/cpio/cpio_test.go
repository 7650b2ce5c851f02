package cpio

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sample() []Entry {
	return []Entry{
		{Name: ".", Mode: TypeDir | 0o755, Data: []byte{}},
		{Name: "dev/console", Mode: 0o020600, RDevMajor: 5, RDevMinor: 1, Data: []byte{}},
		{Name: "etc/a", Mode: TypeRegular | 0o640, UID: 1, GID: 2, MTime: 1700000000, Data: []byte("hello")},
		{Name: "etc/link", Mode: TypeSymlink | 0o777, Data: []byte("a")},
		{Name: "etc/empty", Mode: TypeRegular | 0o644, Data: []byte{}},
	}
}

func TestRoundTrip(t *testing.T) {
	var buf bytes.Buffer
	if err := Write(&buf, sample()); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Errorf("round trip (-want +got):\n%s", diff)
	}
}

// TestAgainstTool compares with what cpio(1) makes of the archive.
func TestAgainstTool(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("the host has no cpio program to compare with")
	}
	var buf bytes.Buffer
	if err := Write(&buf, sample()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cpio", "--list", "--quiet")
	cmd.Stdin = &buf
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("cpio: %v: %s", err, out)
	}
	want := ".\ndev/console\netc/a\netc/link\netc/empty\n"
	if string(out) != want {
		t.Errorf("cpio lists %q, want %q", out, want)
	}
}

func TestReadBad(t *testing.T) {
	var whole bytes.Buffer
	if err := Write(&whole, sample()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"empty", "", io.EOF},
		{"other format", strings.Repeat("070707", 30), ErrFormat},
		{"bad number", "070701" + strings.Repeat("x", 104), ErrFormat},
		{"no name", "070701" + strings.Repeat("0", 104), ErrFormat},
		{"cut", whole.String()[:whole.Len()-30], io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Read(strings.NewReader(c.in)); !errors.Is(err, c.want) {
				t.Errorf("Read: %v, want %v", err, c.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	var buf bytes.Buffer
	if err := Write(&buf, sample()); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := Write(&again, entries); err != nil {
			t.Fatal(err)
		}
	})
}
