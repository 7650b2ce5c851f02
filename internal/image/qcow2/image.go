package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Parts of an L1 or L2 entry.
const (
	offsetMask     = 0x00ff_ffff_ffff_fe00
	flagZero       = 1 << 0  // of a plain L2 entry, version 3
	flagCompressed = 1 << 62 // of an L2 entry
	sectorSize     = 512
)

// How many tables and unpacked clusters are kept, each of one cluster.
const (
	cachedTables   = 8
	cachedClusters = 4
)

// Image is an open image. Its methods may be called from several goroutines at
// once; the calls wait for each other.
type Image struct {
	file     io.ReaderAt
	fileSize int64
	header   Header
	l1       []byte

	mu       sync.Mutex
	tables   cache // L2 tables by their offset in the file
	unpacked cache // compressed clusters, unpacked, by their L2 entry
	unpacker unpacker
}

// Open reads the head of an image that is kept in a file of fileSize bytes. The
// caller keeps the file open for as long as the image is in use, and closes it.
func Open(file io.ReaderAt, fileSize int64) (*Image, error) {
	h, err := readHeader(file, fileSize)
	if err != nil {
		return nil, err
	}
	img := &Image{
		file: file, fileSize: fileSize, header: h, l1: make([]byte, h.l1Entries*8),
		tables: cache{max: cachedTables}, unpacked: cache{max: cachedClusters},
		unpacker: unpacker{compression: h.Compression},
	}
	if err := img.readFull(img.l1, h.l1Offset); err != nil {
		return nil, fmt.Errorf("read the L1 table: %w", err)
	}
	return img, nil
}

// Header returns what the head of the image says.
func (img *Image) Header() Header { return img.header }

// Size returns the size of the virtual disk, in bytes.
func (img *Image) Size() int64 { return img.header.Size }

// ReadAt reads from the virtual disk, as io.ReaderAt has it.
func (img *Image) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read the disk at %d: negative offset", off)
	}
	if off >= img.header.Size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), img.header.Size-off)]
	img.mu.Lock()
	defer img.mu.Unlock()
	for done := 0; done < len(want); {
		in := (off + int64(done)) & (img.header.ClusterSize - 1)
		part := want[done:][:min(int64(len(want)-done), img.header.ClusterSize-in)]
		if err := img.readCluster(part, off+int64(done)-in, in); err != nil {
			return done, fmt.Errorf("read the disk at %d: %w", off+int64(done), err)
		}
		done += len(part)
	}
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(want), nil
}

// readCluster fills p with what the cluster at the disk's offset guest holds
// from its byte in on.
func (img *Image) readCluster(p []byte, guest, in int64) error {
	entry, err := img.l2Entry(guest)
	if err != nil {
		return err
	}
	c, err := img.header.locate(entry)
	if err != nil {
		return err
	}
	switch c.kind {
	case clusterPlain:
		return img.readFull(p, c.offset+in)
	case clusterCompressed:
		data, err := img.unpack(entry, c)
		if err != nil {
			return err
		}
		copy(p, data[in:])
	default:
		clear(p)
	}
	return nil
}

// l2Entry returns the L2 entry of a place on the disk; zero if there is no table.
func (img *Image) l2Entry(guest int64) (uint64, error) {
	index := guest >> img.header.clusterBits
	perTable := img.header.ClusterSize / 8
	table, err := img.l2Table(index / perTable)
	if err != nil || table == nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(table[index%perTable*8:]), nil
}

// l2Table returns an L2 table by its index in the L1 table; nil if there is none.
func (img *Image) l2Table(index int64) ([]byte, error) {
	what := fmt.Sprintf("L2 table %d", index)
	entry := binary.BigEndian.Uint64(img.l1[index*8:]) & offsetMask
	if entry == 0 {
		return nil, nil
	}
	offset, err := img.header.tableAt(what, entry, img.header.ClusterSize, img.fileSize)
	if err != nil {
		return nil, err
	}
	if table := img.tables.get(entry); table != nil {
		return table, nil
	}
	table := img.tables.room(img.header.ClusterSize)
	if err := img.readFull(table, offset); err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	img.tables.put(entry, table)
	return table, nil
}

// unpack returns the contents of a compressed cluster.
func (img *Image) unpack(entry uint64, c cluster) ([]byte, error) {
	if data := img.unpacked.get(entry); data != nil {
		return data, nil
	}
	if c.offset >= img.fileSize {
		return nil, fmt.Errorf("%w: compressed cluster at %#x, beyond the %d bytes of the file", ErrTruncated, c.offset, img.fileSize)
	}
	// The length is in whole sectors, of which the file may lack the end.
	packed := make([]byte, min(c.length, img.fileSize-c.offset))
	if err := img.readFull(packed, c.offset); err != nil {
		return nil, err
	}
	data := img.unpacked.room(img.header.ClusterSize)
	if err := img.unpacker.unpack(data, packed); err != nil {
		kind := ErrCorrupt
		if c.offset+c.length > img.fileSize {
			kind = ErrTruncated
		}
		return nil, fmt.Errorf("%w: compressed cluster at %#x: %w", kind, c.offset, err)
	}
	img.unpacked.put(entry, data)
	return data, nil
}

// readFull fills p from the file. The end of the file is ErrTruncated.
func (img *Image) readFull(p []byte, off int64) error {
	if off+int64(len(p)) > img.fileSize {
		return fmt.Errorf("%w: %d bytes at %#x are beyond its %d bytes", ErrTruncated, len(p), off, img.fileSize)
	}
	n, err := img.file.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ended at %#x", ErrTruncated, off+int64(n))
	default:
		return err
	}
}
