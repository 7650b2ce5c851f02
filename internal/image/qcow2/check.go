package qcow2

import (
	"encoding/binary"
	"fmt"
)

// Check looks through the tables of the image: is all that they point to inside
// the file? It notices a file that was cut short, and most damage to the
// tables; it does not read the data, so a flipped bit there is beyond it. It
// reads the metadata once: some milliseconds for the usual image.
func (img *Image) Check() error {
	if err := img.checkRefcounts(); err != nil {
		return err
	}
	perTable := img.header.ClusterSize / 8
	seen := make(map[uint64]int64) // L2 tables: offset to index
	tails := 0
	for i := range int64(len(img.l1)) / 8 {
		offset := binary.BigEndian.Uint64(img.l1[i*8:]) & offsetMask
		if offset == 0 {
			continue
		}
		if other, ok := seen[offset]; ok {
			return fmt.Errorf("%w: L2 tables %d and %d are both at %#x", ErrCorrupt, other, i, offset)
		}
		seen[offset] = i
		if err := img.checkTable(i, i*perTable, &tails); err != nil {
			return err
		}
	}
	return nil
}

// checkRefcounts checks that the blocks of reference counts are in the file.
// They are needed only for writing, but a file without them is not whole.
func (img *Image) checkRefcounts() error {
	table := make([]byte, img.header.refBytes)
	if err := img.readFull(table, img.header.refOffset); err != nil {
		return fmt.Errorf("read the refcount table: %w", err)
	}
	for i := range len(table) / 8 {
		offset := binary.BigEndian.Uint64(table[i*8:]) &^ (sectorSize - 1)
		if offset == 0 {
			continue
		}
		if _, err := img.header.tableAt(fmt.Sprintf("refcount block %d", i), offset, img.header.ClusterSize, img.fileSize); err != nil {
			return err
		}
	}
	return nil
}

// checkTable checks the entries of the L2 table with this index, of which the
// first is that of the disk's cluster first. It counts the tails: see checkEntry.
func (img *Image) checkTable(index, first int64, tails *int) error {
	img.mu.Lock()
	defer img.mu.Unlock()
	table, err := img.l2Table(index)
	if err != nil {
		return err
	}
	for i := range int64(len(table)) / 8 {
		guest := (first + i) << img.header.clusterBits
		if guest >= img.header.Size {
			return nil
		}
		entry := binary.BigEndian.Uint64(table[i*8:])
		if entry == 0 {
			continue
		}
		if err := img.checkEntry(entry, guest, tails); err != nil {
			return fmt.Errorf("disk at %d: %w", guest, err)
		}
	}
	return nil
}

// checkEntry checks that a cluster is in the file. The file may end within the
// last one: behind the end of the disk, and within the last sector of a
// compressed one, which is unpacked to see that nothing of it is missing. Of
// such tails there are as many as a sector has bytes, at most.
func (img *Image) checkEntry(entry uint64, guest int64, tails *int) error {
	c, err := img.header.locate(entry)
	if err != nil {
		return err
	}
	need := c.length
	if c.kind == clusterPlain {
		need = min(need, img.header.Size-guest)
	}
	missing := c.offset + need - img.fileSize
	switch {
	case missing <= 0:
		return nil
	case c.kind == clusterPlain || missing >= sectorSize:
		return fmt.Errorf("%w: cluster at %#x ends beyond its %d bytes", ErrTruncated, c.offset, img.fileSize)
	}
	if *tails++; *tails > sectorSize {
		return fmt.Errorf("%w: more than %d compressed clusters in one sector", ErrCorrupt, sectorSize)
	}
	_, err = img.unpack(entry, c)
	return err
}
