package qcow2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const diskSize = 3<<20 + 3*512 // ends within a cluster

// qemuImg runs qemu-img, which makes what the reader must be able to read.
func qemuImg(t *testing.T, args ...string) {
	t.Helper()
	exe, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("qemu-img is not installed: there is nothing to compare with")
	}
	if out, err := exec.CommandContext(t.Context(), exe, args...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// testDisk writes a raw disk: noise, text, and wide holes.
func testDisk(t *testing.T, path string) []byte {
	t.Helper()
	disk := make([]byte, diskSize)
	noise := rand.NewChaCha8([32]byte{1})
	for off := 0; off < len(disk); off += 1 << 20 {
		part := disk[off:min(off+300<<10, len(disk))]
		if off>>20%2 == 0 {
			_, _ = noise.Read(part)
		} else {
			copy(part, bytes.Repeat([]byte(fmt.Sprintf("line of block %d\n", off)), len(part)/20))
		}
	}
	_, _ = noise.Read(disk[len(disk)-700:])
	if err := os.WriteFile(path, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	return disk
}

func qemuVariants() map[string][]string {
	return map[string][]string{
		"v3":           {},
		"v2":           {"-o", "compat=0.10"},
		"512":          {"-o", "cluster_size=512"},
		"2M":           {"-o", "cluster_size=2M"},
		"preallocated": {"-o", "preallocation=metadata"},
		"zlib":         {"-c"},
		"zlib v2 4k":   {"-c", "-o", "compat=0.10,cluster_size=4k"},
		"zlib 512":     {"-c", "-o", "cluster_size=512"},
		"zstd":         {"-c", "-o", "compression_type=zstd"},
		"zstd 2M":      {"-c", "-o", "compression_type=zstd,cluster_size=2M"},
	}
}

func TestReadWhatQEMUWrites(t *testing.T) {
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	disk := testDisk(t, raw)
	for name, args := range qemuVariants() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.qcow2")
			qemuImg(t, append(append([]string{"convert", "-O", "qcow2"}, args...), raw, path)...)
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := sameDisk(file, disk); err != nil {
				t.Errorf("the whole file: %v", err)
			}
			checkTruncations(t, file, disk)
		})
	}
}

// checkTruncations cuts the file at many places: either that is noticed, or
// nothing was lost.
func checkTruncations(t *testing.T, file, disk []byte) {
	t.Helper()
	cuts := []int{0, 3, 4, 71, 72, 103, 511, 512, len(file) / 2, len(file) - 64<<10}
	for n := 1; n <= 2048; n *= 2 {
		cuts = append(cuts, len(file)-n)
	}
	for i := range 12 {
		cuts = append(cuts, i*(len(file)/12)+i)
	}
	for _, n := range cuts {
		if n < 0 || n >= len(file) {
			continue
		}
		err := sameDisk(file[:n], disk)
		if err == nil && n <= len(file)/2 {
			t.Errorf("cut at %d of %d: not noticed", n, len(file))
		}
		if err != nil && !errors.Is(err, ErrTruncated) && !(n < 4 && errors.Is(err, ErrNotQcow2)) {
			t.Errorf("cut at %d of %d: %v, want %v or the same disk", n, len(file), err, ErrTruncated)
		}
	}
}

// sameDisk opens and checks an image, and compares what it holds.
func sameDisk(file, disk []byte) error {
	img, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := img.Check(); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	got := make([]byte, img.Size())
	// What Check lets pass must be readable: the kind of this error is dropped.
	if _, err := img.ReadAt(got, 0); err != nil && err != io.EOF {
		return fmt.Errorf("read: %v", err)
	}
	if !bytes.Equal(got, disk) {
		return errors.New("the disk differs")
	}
	return nil
}

func TestRefuseWhatQEMUWrites(t *testing.T) {
	dir := t.TempDir()
	base := filepath.Join(dir, "base.qcow2")
	qemuImg(t, "create", "-f", "qcow2", base, "1M")
	for name, args := range map[string][]string{
		"backing file": {"-b", base, "-F", "qcow2"},
		"data file":    {"-o", "data_file=" + filepath.Join(dir, "data.raw")},
		"extended L2":  {"-o", "extended_l2=on"},
		"encryption":   {"--object", "secret,id=key,data=geheim", "-o", "encrypt.format=aes,encrypt.key-secret=key"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.qcow2")
			qemuImg(t, append(append([]string{"create", "-f", "qcow2"}, args...), path, "1M")...)
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			st, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(f, st.Size()); !errors.Is(err, ErrUnsupported) {
				t.Errorf("Open() = %v, want %v", err, ErrUnsupported)
			}
		})
	}
}
