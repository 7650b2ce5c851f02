package platformtest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"testing"
)

func testFiles(t *testing.T, f *fixture) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*f.CommandTime)
	defer cancel()
	big := bytes.Repeat([]byte{0, 1, 2, 255, '\n', '\r'}, 1<<19) // 3 MiB
	const path = "/var/tmp/seatrial new/dir/file"
	for _, tt := range []struct {
		name    string
		content []byte
		mode    fs.FileMode
		octal   string
	}{
		{"big", big, 0o640, "640"},
		{"replaced", []byte("short"), 0o755, "755"},
		{"empty", nil, 0o600, "600"},
	} {
		if err := f.a.Upload(ctx, path, tt.mode, bytes.NewReader(tt.content)); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		var got bytes.Buffer
		if err := f.a.Download(ctx, path, &got); err != nil || !bytes.Equal(got.Bytes(), tt.content) {
			t.Errorf("%s: got %d bytes, want %d: %v", tt.name, got.Len(), len(tt.content), err)
		}
		if mode := f.run(t, f.a, "stat -c %a '"+path+"'"); mode != tt.octal {
			t.Errorf("%s: its mode is %s", tt.name, mode)
		}
	}
	// As root: a file that the login user may neither write nor read.
	const secret = "/root/seatrial-secret"
	if err := f.a.Upload(ctx, secret, 0o600, strings.NewReader("secret")); err != nil {
		t.Errorf("as root: %v", err)
	}
	var got bytes.Buffer
	if err := f.a.Download(ctx, secret, &got); err != nil || got.String() != "secret" {
		t.Errorf("as root: got %q, %v", got.String(), err)
	}

	if err := f.a.Download(ctx, "/var/tmp/no-such-file", &got); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file gave %v", err)
	}
	why := errors.New("no longer of interest")
	ended, end := context.WithCancelCause(t.Context())
	end(why)
	if err := f.a.Upload(ended, path, 0o644, strings.NewReader("x")); !errors.Is(err, why) {
		t.Errorf("a cancelled upload gave %v", err)
	}
	if err := f.a.Download(ended, path, &got); !errors.Is(err, why) {
		t.Errorf("a cancelled download gave %v", err)
	}
}

func testDisks(t *testing.T, f *fixture) {
	for _, d := range f.spec.Disks {
		size := f.run(t, f.a, "lsblk --bytes --nodeps --noheadings --output SIZE /dev/disk/by-id/virtio-"+d.Serial)
		if want := mibText(d.SizeMiB); size != want {
			t.Errorf("disk %s has %s bytes, want %s", d.Serial, size, want)
		}
	}
}

func testGrownDisk(t *testing.T, f *fixture) {
	if f.b == nil {
		t.Skip("there is no machine to compare with")
	}
	const sum = "lsblk --bytes --nodeps --noheadings --output SIZE /dev/vda"
	grown, plain := f.run(t, f.a, sum), f.run(t, f.b, sum)
	if len(grown) < len(plain) || len(grown) == len(plain) && grown <= plain {
		t.Errorf("the disk has %s bytes, one that was not grown %s", grown, plain)
	}
}

// mibText is a size in bytes as utilities print it.
func mibText(mib int) string { return strconv.Itoa(mib << 20) }
