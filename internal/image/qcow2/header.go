package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Magic is what every qcow2 file starts with.
const Magic = "QFI\xfb"

const (
	headerV2Size = 72
	headerV3Size = 104

	minClusterBits = 9
	maxClusterBits = 21       // 2 MiB, QEMU's limit
	maxL1Bytes     = 32 << 20 // QCOW_MAX_L1_SIZE in QEMU
	maxRefBytes    = 8 << 20  // QCOW_MAX_REFTABLE_SIZE in QEMU
)

// Incompatible feature bits of version 3.
const (
	featureDirty       = 1 << 0 // the reference counts are stale; reading does not need them
	featureCorrupt     = 1 << 1
	featureDataFile    = 1 << 2
	featureCompression = 1 << 3
	featureExtendedL2  = 1 << 4

	featuresKnown = featureDirty | featureCorrupt | featureDataFile | featureCompression | featureExtendedL2
)

// Compression is how compressed clusters are packed.
type Compression uint8

// The values of the header's field.
const (
	Zlib Compression = 0
	Zstd Compression = 1
)

// String returns QEMU's name for it.
func (c Compression) String() string {
	switch c {
	case Zlib:
		return "zlib"
	case Zstd:
		return "zstd"
	default:
		return fmt.Sprintf("compression type %d", uint8(c))
	}
}

// Header is what the head of an image says.
type Header struct {
	Version     uint32
	Size        int64 // of the virtual disk, in bytes
	ClusterSize int64 // in bytes
	Compression Compression

	clusterBits uint
	l1Offset    int64
	l1Entries   int64
	refOffset   int64
	refBytes    int64
}

// readHeader reads and checks the head of a file of the given size.
func readHeader(r io.ReaderAt, fileSize int64) (Header, error) {
	buf := make([]byte, headerV3Size+8)
	n, err := r.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Header{}, fmt.Errorf("read the qcow2 header: %w", err)
	}
	if !bytes.HasPrefix(buf[:n], []byte(Magic)) {
		return Header{}, ErrNotQcow2
	}
	if n < headerV2Size {
		return Header{}, fmt.Errorf("%w: %d bytes do not hold a header", ErrTruncated, n)
	}
	return parseHeader(buf, int64(n), fileSize)
}

// parseHeader takes buf, of which n bytes were in the file, apart.
func parseHeader(buf []byte, n, fileSize int64) (Header, error) {
	be := binary.BigEndian
	h := Header{Version: be.Uint32(buf[4:]), clusterBits: uint(be.Uint32(buf[20:]))}
	if h.Version != 2 && h.Version != 3 {
		return Header{}, fmt.Errorf("%w: format version %d", ErrUnsupported, h.Version)
	}
	if h.clusterBits < minClusterBits || h.clusterBits > maxClusterBits {
		return Header{}, fmt.Errorf("%w: clusters of 2^%d bytes", ErrCorrupt, h.clusterBits)
	}
	h.ClusterSize = 1 << h.clusterBits
	if h.Version == 3 {
		if n < headerV3Size {
			return Header{}, fmt.Errorf("%w: %d bytes do not hold a header of version 3", ErrTruncated, n)
		}
		if err := h.parseFeatures(buf, n); err != nil {
			return Header{}, err
		}
	}
	switch {
	case be.Uint64(buf[8:]) != 0:
		return Header{}, fmt.Errorf("%w: it needs a backing file; make it whole with \"qemu-img convert -O qcow2\"", ErrUnsupported)
	case be.Uint32(buf[32:]) != 0:
		return Header{}, fmt.Errorf("%w: it is encrypted", ErrUnsupported)
	}
	size := be.Uint64(buf[24:])
	if size > 1<<62 {
		return Header{}, fmt.Errorf("%w: a disk of %d bytes", ErrCorrupt, size)
	}
	h.Size = int64(size)
	return h, h.parseTables(buf, fileSize)
}

// parseFeatures reads the fields that version 3 added.
func (h *Header) parseFeatures(buf []byte, n int64) error {
	be := binary.BigEndian
	incompatible, length := be.Uint64(buf[72:]), int64(be.Uint32(buf[100:]))
	switch {
	case length < headerV3Size || length > h.ClusterSize:
		return fmt.Errorf("%w: a header of %d bytes", ErrCorrupt, length)
	case incompatible&^featuresKnown != 0:
		return fmt.Errorf("%w: unknown features %#x", ErrUnsupported, incompatible&^featuresKnown)
	case incompatible&featureCorrupt != 0:
		return fmt.Errorf("%w: it is marked as corrupt; \"qemu-img check -r all\" may repair it", ErrCorrupt)
	case incompatible&featureDataFile != 0:
		return fmt.Errorf("%w: its data is in a file of its own; make it whole with \"qemu-img convert -O qcow2\"", ErrUnsupported)
	case incompatible&featureExtendedL2 != 0:
		return fmt.Errorf("%w: it has extended L2 entries; \"qemu-img convert -O qcow2\" makes one without", ErrUnsupported)
	case incompatible&featureCompression == 0:
		return nil
	case length <= headerV3Size || n <= headerV3Size:
		return fmt.Errorf("%w: the header lacks its compression type", ErrCorrupt)
	}
	h.Compression = Compression(buf[headerV3Size])
	if h.Compression != Zlib && h.Compression != Zstd {
		return fmt.Errorf("%w: %v", ErrUnsupported, h.Compression)
	}
	return nil
}

// parseTables reads where the L1 and the refcount tables are, and checks that
// they are inside the file.
func (h *Header) parseTables(buf []byte, fileSize int64) error {
	be := binary.BigEndian
	h.l1Entries = int64(be.Uint32(buf[36:]))
	h.refBytes = int64(be.Uint32(buf[56:])) << h.clusterBits
	perL1 := uint(h.clusterBits + h.clusterBits - 3) // bits of the disk under one L1 entry
	need := (h.Size + (1<<perL1 - 1)) >> perL1
	switch {
	case h.l1Entries*8 > maxL1Bytes:
		return fmt.Errorf("%w: an L1 table of %d entries", ErrCorrupt, h.l1Entries)
	case h.l1Entries < need:
		return fmt.Errorf("%w: an L1 table of %d entries for a disk of %d bytes", ErrCorrupt, h.l1Entries, h.Size)
	case h.refBytes > maxRefBytes:
		return fmt.Errorf("%w: a refcount table of %d bytes", ErrCorrupt, h.refBytes)
	}
	h.l1Entries = need // those beyond the disk are of no use
	var err error
	if h.l1Offset, err = h.tableAt("L1 table", be.Uint64(buf[40:]), h.l1Entries*8, fileSize); err != nil {
		return err
	}
	h.refOffset, err = h.tableAt("refcount table", be.Uint64(buf[48:]), h.refBytes, fileSize)
	return err
}

// tableAt checks a table's place: on a cluster boundary and inside the file.
func (h *Header) tableAt(what string, offset uint64, length, fileSize int64) (int64, error) {
	if length == 0 {
		return 0, nil
	}
	if offset == 0 || offset&uint64(h.ClusterSize-1) != 0 {
		return 0, fmt.Errorf("%w: %s at %#x, which is no start of a cluster", ErrCorrupt, what, offset)
	}
	if offset > uint64(fileSize) || int64(offset)+length > fileSize {
		return 0, fmt.Errorf("%w: %s at %#x ends beyond the %d bytes of the file", ErrTruncated, what, offset, fileSize)
	}
	return int64(offset), nil
}
