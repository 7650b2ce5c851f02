package qcow2

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// The crafted images have clusters of 512 bytes: the header, the L1 table, an L2
// table, the refcount table, a refcount block, a cluster of data, and a packed one.
const (
	craftCluster = 512
	craftDisk    = 5*craftCluster - 100 // plain, zero, compressed, unallocated, plain
	craftL1      = 1 * craftCluster
	craftL2      = 2 * craftCluster
	craftRef     = 3 * craftCluster
	craftBlock   = 4 * craftCluster
	craftData    = 5 * craftCluster
	craftPacked  = 6*craftCluster + 7 // compressed clusters start anywhere
)

// craft makes an image by hand, and what its disk holds.
func craft(tb testing.TB, version uint32, c Compression) (file, disk []byte) {
	tb.Helper()
	be := binary.BigEndian
	plain := bytes.Repeat([]byte("plain "), craftCluster)[:craftCluster]
	squeezed := bytes.Repeat([]byte("squeezed "), craftCluster)[:craftCluster]
	packed := pack(tb, squeezed, c)

	file = make([]byte, craftPacked, craftPacked+craftCluster)
	copy(file, Magic)
	be.PutUint32(file[4:], version)
	be.PutUint32(file[20:], 9)
	be.PutUint64(file[24:], craftDisk)
	be.PutUint32(file[36:], 1)
	be.PutUint64(file[40:], craftL1)
	be.PutUint64(file[48:], craftRef)
	be.PutUint32(file[56:], 1)
	if version >= 3 {
		be.PutUint32(file[96:], 4)
		be.PutUint32(file[100:], 104)
	}
	if c != Zlib {
		be.PutUint64(file[72:], featureCompression)
		be.PutUint32(file[100:], 112)
		file[104] = byte(c)
	}
	be.PutUint64(file[craftL1:], 1<<63|craftL2)
	be.PutUint64(file[craftRef:], craftBlock)
	be.PutUint64(file[craftL2:], 1<<63|craftData)
	if version >= 3 {
		be.PutUint64(file[craftL2+8:], 1<<63|craftData|flagZero) // preallocated, and zero
	}
	be.PutUint64(file[craftL2+16:], flagCompressed|craftPacked)
	be.PutUint64(file[craftL2+32:], 1<<63|craftData)
	copy(file[craftData:], plain)
	file = append(file, packed...)

	disk = make([]byte, 5*craftCluster)
	copy(disk, plain)
	copy(disk[2*craftCluster:], squeezed)
	copy(disk[4*craftCluster:], plain)
	return file, disk[:craftDisk]
}

func pack(tb testing.TB, data []byte, c Compression) []byte {
	tb.Helper()
	if c == Zstd {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			tb.Fatal(err)
		}
		return e.EncodeAll(data, nil)
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}
