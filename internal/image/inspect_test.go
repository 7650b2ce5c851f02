package image

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatrial/internal/image/qcow2"
)

// noise is a disk of nothing that anybody could recognize.
func noise(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(b)
	b[0], b[510] = 0xfe, 0
	return b
}

func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// at returns a block of zeros with a magic number in it.
func at(offset int, magic string) []byte {
	b := make([]byte, 64<<10)
	copy(b[offset:], magic)
	return b
}

func TestInspectRefuses(t *testing.T) {
	bootSector := at(510, "\x55\xaa")
	copy(bootSector[446:], "\x00\x00\x00\x00\x83\x00\x00\x00\x01\x00\x00\x00\xff\x00\x00\x00") // 256 sectors
	for _, tc := range []struct {
		name string
		data []byte
		text string
	}{
		{"empty", nil, "it is empty"},
		{"text", []byte(strings.Repeat("not a disk, but grüße\n", 100_000)), "it is text"},
		{"short text", []byte("hello"), "it is text"},
		{"gzip", []byte("\x1f\x8b\x08 rest"), "gzip-compressed; unpack it"},
		{"bzip2", []byte("BZh91AY rest"), "bzip2-compressed"},
		{"xz", []byte("\xfd7zXZ\x00 rest"), "xz-compressed"},
		{"zstd", []byte("\x28\xb5\x2f\xfd rest"), "zstd-compressed"},
		{"tar", at(257, "ustar"), "tar archive"},
		{"VMDK", at(0, "KDMV"), "qemu-img convert"},
		{"ISO", at(32<<10+1, "CD001"), "ISO 9660"},
		{"small", noise(1 << 19), "neither qcow2 nor a raw disk"},
		{"odd size", noise(2<<20 + 1), "neither qcow2 nor a raw disk"},
		{"cut raw disk", bootSector, "its partitions need 131072 bytes, and it has 65536"},
		{"cut qcow2", []byte(qcow2.Magic), "cut short"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Inspect(writeFile(t, "image", tc.data))
			if !errors.Is(err, ErrNotImage) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("Inspect() = %v, want %v with %q", err, ErrNotImage, tc.text)
			}
		})
	}
}

func TestInspectRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		dir:                            ErrNotImage,
		pipe:                           ErrNotImage, // must not wait for a writer
		"/dev/null":                    ErrNotImage,
		filepath.Join(dir, "not here"): fs.ErrNotExist,
	} {
		if _, err := Inspect(path); !errors.Is(err, want) {
			t.Errorf("Inspect(%s) = %v, want %v", path, err, want)
		}
	}
}

func TestInspectRaw(t *testing.T) {
	withSector := noise(1 << 19)
	clear(withSector[446:510])
	withSector[510], withSector[511] = 0x55, 0xaa
	for _, tc := range []struct {
		name string
		data []byte
		want Info
	}{
		{"noise", noise(2 << 20), Info{Format: Raw, VirtualSize: 2 << 20}},
		{"zeros", make([]byte, 1<<20), Info{Format: Raw, VirtualSize: 1 << 20}},
		{"boot sector", withSector, Info{Format: Raw, VirtualSize: 1 << 19, Table: "mbr"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Inspect(writeFile(t, "disk.img", tc.data))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Inspect (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInspectQcow2(t *testing.T) {
	exe, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("qemu-img is not installed: there is no image to look into")
	}
	raw := writeFile(t, "disk.raw", noise(2<<20))
	path := filepath.Join(t.TempDir(), "disk.qcow2")
	if out, err := exec.CommandContext(t.Context(), exe, "convert", "-O", "qcow2", raw, path).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v\n%s", err, out)
	}
	got, err := Inspect(path)
	if want := (Info{Format: Qcow2, VirtualSize: 2 << 20}); err != nil || got != want {
		t.Errorf("Inspect() = %+v, %v, want %+v", got, err, want)
	}
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(path); !errors.Is(err, ErrNotImage) || !errors.Is(err, qcow2.ErrTruncated) {
		t.Errorf("Inspect of half an image: %v, want %v", err, qcow2.ErrTruncated)
	}
}

func TestLooksLikeText(t *testing.T) {
	for _, tc := range []struct {
		head string
		want bool
	}{
		{"#cloud-config\n\tkey: ü\r\n", true},
		{"cut in a rune: \xc3", true},
		{"\xc3 not at the end", false},
		{"a\x00b", false},
		{"\x7f", false},
	} {
		if got := looksLikeText([]byte(tc.head)); got != tc.want {
			t.Errorf("looksLikeText(%q) = %v", tc.head, got)
		}
	}
}

func FuzzRecognize(f *testing.F) {
	f.Add([]byte(qcow2.Magic))
	f.Add(at(510, "\x55\xaa"))
	f.Add([]byte("text"))
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := inspectRaw(bytes.NewReader(data), int64(len(data)), data[:min(len(data), headSize)])
		if err == nil && info.VirtualSize != int64(len(data)) || err != nil && !errors.Is(err, ErrNotImage) {
			t.Errorf("inspectRaw() = %+v, %v", info, err)
		}
	})
}
