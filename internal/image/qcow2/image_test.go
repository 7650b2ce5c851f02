package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func open(t *testing.T, file []byte) *Image {
	t.Helper()
	img, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return img
}

func TestReadCrafted(t *testing.T) {
	for _, tc := range []struct {
		name        string
		version     uint32
		compression Compression
	}{
		{"v2", 2, Zlib}, {"v3", 3, Zlib}, {"v3 zstd", 3, Zstd},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file, disk := craft(t, tc.version, tc.compression)
			img := open(t, file)
			if err := img.Check(); err != nil {
				t.Errorf("Check: %v", err)
			}
			h := img.Header()
			if h.Version != tc.version || h.Compression != tc.compression || h.ClusterSize != craftCluster || img.Size() != craftDisk {
				t.Errorf("Header() = %+v", h)
			}
			if err := iotest.TestReader(io.NewSectionReader(img, 0, img.Size()), disk); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReadAtEdges(t *testing.T) {
	file, disk := craft(t, 3, Zlib)
	img := open(t, file)
	for _, tc := range []struct {
		off  int64
		n    int
		want string
		err  error
	}{
		{0, 5, "plain", nil},
		{craftDisk - 3, 3, string(disk[craftDisk-3:]), nil},
		{craftDisk - 3, 9, string(disk[craftDisk-3:]), io.EOF},
		{craftDisk, 1, "", io.EOF},
		{craftDisk + 1<<40, 1, "", io.EOF},
	} {
		p := make([]byte, tc.n)
		n, err := img.ReadAt(p, tc.off)
		if string(p[:n]) != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("ReadAt(%d bytes, %d) = %q, %v, want %q, %v", tc.n, tc.off, p[:n], err, tc.want, tc.err)
		}
	}
	if _, err := img.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("ReadAt(-1): no error")
	}
}

func TestReadConcurrently(t *testing.T) {
	file, disk := craft(t, 3, Zstd)
	img := open(t, file)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				off := (i*97 + j*31) % (craftDisk - 64)
				p := make([]byte, 64)
				if _, err := img.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, disk[off:][:64]) {
					t.Errorf("ReadAt(%d) = %q, %v", off, p, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestRefused(t *testing.T) {
	be := binary.BigEndian
	put32 := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { be.PutUint32(b[at:], v); return b }
	}
	put64 := func(at int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { be.PutUint64(b[at:], v); return b }
	}
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }
	for _, tc := range []struct {
		name   string
		change func([]byte) []byte
		want   error
		text   string
	}{
		{"empty", cut(0), ErrNotQcow2, ""},
		{"other magic", put32(0, 0x7f454c46), ErrNotQcow2, ""},
		{"magic only", cut(4), ErrTruncated, "header"},
		{"half a version 3 header", cut(100), ErrTruncated, "version 3"},
		{"version 1", put32(4, 1), ErrUnsupported, "version 1"},
		{"version 4", put32(4, 4), ErrUnsupported, "version 4"},
		{"small clusters", put32(20, 8), ErrCorrupt, "2^8"},
		{"huge clusters", put32(20, 0xffffffff), ErrCorrupt, "clusters"},
		{"backing file", put64(8, 512), ErrUnsupported, "backing file"},
		{"encrypted", put32(32, 2), ErrUnsupported, "encrypted"},
		{"huge disk", put64(24, 1<<63), ErrCorrupt, "disk of"},
		{"disk beyond L1", put64(24, 1<<40), ErrCorrupt, "L1 table"},
		{"huge L1", put32(36, 1<<31), ErrCorrupt, "L1 table"},
		{"L1 off boundary", put64(40, 513), ErrCorrupt, "L1 table"},
		{"L1 beyond", put64(40, 1<<62), ErrTruncated, "L1 table"},
		{"huge refcount table", put32(56, 1<<31), ErrCorrupt, "refcount table"},
		{"refcount table beyond", put64(48, 1<<20), ErrTruncated, "refcount table"},
		{"refcount block beyond", put64(craftRef, 1<<20), ErrTruncated, "refcount block"},
		{"unknown feature", put64(72, 1<<7), ErrUnsupported, "0x80"},
		{"marked corrupt", put64(72, featureCorrupt), ErrCorrupt, "qemu-img check"},
		{"data file", put64(72, featureDataFile), ErrUnsupported, "file of its own"},
		{"extended L2", put64(72, featureExtendedL2), ErrUnsupported, "extended L2"},
		{"compression type missing", put64(72, featureCompression), ErrCorrupt, "compression type"},
		{"short header length", put32(100, 8), ErrCorrupt, "header of 8"},
		{"L2 table beyond", put64(craftL1, 1<<40), ErrTruncated, "L2 table 0"},
		{"L2 table off boundary", put64(craftL1, 1<<10+1<<9+1<<20), ErrTruncated, "L2 table 0"},
		{"data beyond", put64(craftL2, 1<<40), ErrTruncated, "cluster at 0x10000000000"},
		{"compressed beyond", put64(craftL2, flagCompressed|1<<40), ErrTruncated, "cluster at"},
		{"compressed garbage", func(b []byte) []byte {
			copy(b[craftPacked:], bytes.Repeat([]byte{0xff}, 200))
			return b
		}, ErrTruncated, "compressed cluster"}, // it is the last of the file
		{"cut in compressed", func(b []byte) []byte { return b[:craftPacked+4] }, ErrTruncated, "compressed cluster"},
		{"cut in data", cut(craftData + 1), ErrTruncated, "cluster at"},
		{"cut in L2", cut(craftL2 + 8), ErrTruncated, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file, _ := craft(t, 3, Zlib)
			file = tc.change(file)
			img, err := Open(bytes.NewReader(file), int64(len(file)))
			if err == nil {
				err = img.Check()
			}
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %v with %q", err, tc.want, tc.text)
			}
		})
	}
}

func TestSharedL2TableIsCorrupt(t *testing.T) {
	be := binary.BigEndian
	file, _ := craft(t, 3, Zlib)
	be.PutUint64(file[24:], 128*craftCluster) // two L2 tables, as each has 64 entries
	be.PutUint32(file[36:], 2)
	be.PutUint64(file[craftL1+8:], craftL2)
	if err := open(t, file).Check(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Check() = %v, want %v", err, ErrCorrupt)
	}
}

func TestFileMayEndWithTheDisk(t *testing.T) {
	file, disk := craft(t, 3, Zlib)
	// The last cluster moves to the end of the file, where only the disk's part of it is.
	last := (len(file)/craftCluster + 1) * craftCluster
	binary.BigEndian.PutUint64(file[craftL2+32:], uint64(last))
	file = append(file, make([]byte, last-len(file))...)
	file = append(file, disk[4*craftCluster:]...)
	if err := sameDisk(file, disk); err != nil {
		t.Error(err)
	}
	if err := sameDisk(file[:len(file)-1], disk); !errors.Is(err, ErrTruncated) {
		t.Errorf("without its last byte: %v, want %v", err, ErrTruncated)
	}
}

func TestReadErrorIsPassedOn(t *testing.T) {
	file, _ := craft(t, 3, Zlib)
	broken := errors.New("broken disk")
	r := &failing{bytes.NewReader(file), craftData, broken}
	img, err := Open(r, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := img.ReadAt(make([]byte, 10), 0); !errors.Is(err, broken) {
		t.Errorf("ReadAt: %v, want %v", err, broken)
	}
	for _, content := range []error{ErrTruncated, ErrCorrupt} {
		if _, err := img.ReadAt(make([]byte, 10), 2*craftCluster); errors.Is(err, content) || !errors.Is(err, broken) {
			t.Errorf("ReadAt of a compressed cluster: %v, want %v alone", err, broken)
		}
	}
}

// failing is a file that cannot be read from an offset on.
type failing struct {
	io.ReaderAt
	from int64
	err  error
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.from {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}

func FuzzImage(f *testing.F) {
	for _, v := range []uint32{2, 3} {
		file, _ := craft(f, v, Zlib)
		f.Add(file)
	}
	file, _ := craft(f, 3, Zstd)
	f.Add(file)
	f.Fuzz(func(t *testing.T, file []byte) {
		img, err := Open(&bounded{t, bytes.NewReader(file), len(file)}, int64(len(file)))
		if err != nil {
			return
		}
		checked := img.Check()
		p := make([]byte, 64<<10)
		for _, off := range []int64{0, img.Size()/2 - 1, img.Size() - 1} {
			if off < 0 {
				continue
			}
			n, err := img.ReadAt(p, off)
			if n < 0 || int64(n) > img.Size()-off || n > len(p) {
				t.Errorf("ReadAt(%d) = %d of a disk of %d bytes", off, n, img.Size())
			}
			if checked == nil && errors.Is(err, ErrTruncated) {
				t.Errorf("ReadAt(%d): %v, after Check found nothing", off, err)
			}
		}
	})
}

// bounded fails the test if more is read at once than a file of that size holds.
type bounded struct {
	t *testing.T
	io.ReaderAt
	size int
}

func (b *bounded) ReadAt(p []byte, off int64) (int, error) {
	if len(p) > max(b.size, 64<<10) || off < 0 {
		b.t.Errorf("read of %d bytes at %d from a file of %d", len(p), off, b.size)
	}
	return b.ReaderAt.ReadAt(p, off)
}
