package esp

import (
	"bytes"
	"encoding/binary"
	"io"
)

// Limits that no EFI system partition comes near; a loop of clusters does.
const (
	maxDirBytes = 1 << 20
	dirEntry    = 32
	maxClusters = 0x0fff_fff4
)

// Attributes of a directory entry.
const (
	attrVolume = 0x08 // also of the parts of a long name
	attrDir    = 0x10
)

// A fat is a FAT12, FAT16 or FAT32 volume ("FAT: General Overview of On-Disk
// Format", Microsoft 2000). Files are found by their short names, which those
// that firmware looks for always have.
type fat struct {
	volume   io.ReaderAt
	bits     int   // 12, 16 or 32: of an entry of the table
	table    int64 // offsets and sizes are in bytes
	root     int64 // of the root directory; FAT32 has rootAt instead
	rootSize int64
	rootAt   uint32
	data     int64
	cluster  int64
	clusters uint32
}

// openFAT reads the boot sector of a volume, and reports whether it is one.
func openFAT(volume io.ReaderAt) (*fat, bool) {
	b := read(volume, 0, 512)
	if b == nil || b[510] != 0x55 || b[511] != 0xaa {
		return nil, false
	}
	le := binary.LittleEndian
	sector, perCluster := int64(le.Uint16(b[11:])), int64(b[13])
	reserved, tables := int64(le.Uint16(b[14:])), int64(b[16])
	sectors, tableSize := int64(le.Uint16(b[19:])), int64(le.Uint16(b[22:]))
	if sectors == 0 {
		sectors = int64(le.Uint32(b[32:]))
	}
	wide := tableSize == 0 // FAT32
	if wide {
		tableSize = int64(le.Uint32(b[36:]))
	}
	if sector < 512 || sector > 4096 || perCluster == 0 || reserved == 0 || tables == 0 || tableSize == 0 {
		return nil, false
	}
	f := &fat{volume: volume, cluster: perCluster * sector, table: reserved * sector, rootSize: int64(le.Uint16(b[17:])) * dirEntry}
	f.root = f.table + tables*tableSize*sector
	f.data = f.root + (f.rootSize+sector-1)/sector*sector
	count := (sectors*sector - f.data) / f.cluster
	if count <= 0 || count > maxClusters {
		return nil, false
	}
	f.clusters = uint32(count)
	switch {
	case wide:
		f.bits, f.rootAt = 32, le.Uint32(b[44:])
	case f.clusters < 4085:
		f.bits = 12
	default:
		f.bits = 16
	}
	return f, true
}

// readFile returns the first limit bytes of a file, by the short names on the
// way to it, each padded to eleven bytes. It reports whether there is one.
func (f *fat) readFile(path []string, limit int64) ([]byte, bool) {
	dir := f.rootDir()
	for i, name := range path {
		last := i == len(path)-1
		start, size, ok := find(dir, name, !last)
		if !ok {
			return nil, false
		}
		if f.bits < 32 {
			start &= 0xffff // the other half has other uses
		}
		if last {
			return f.chain(start, min(size, limit)), true
		}
		dir = f.chain(start, maxDirBytes)
	}
	return nil, false
}

func (f *fat) rootDir() []byte {
	if f.bits == 32 {
		return f.chain(f.rootAt, maxDirBytes)
	}
	return read(f.volume, f.root, f.rootSize)
}

// find looks a name up in a directory.
func find(dir []byte, name string, isDir bool) (start uint32, size int64, ok bool) {
	le := binary.LittleEndian
	for ; len(dir) >= dirEntry && dir[0] != 0; dir = dir[dirEntry:] {
		attr := dir[11]
		if attr&attrVolume != 0 || (attr&attrDir != 0) != isDir || !bytes.EqualFold(dir[:11], []byte(name)) {
			continue
		}
		start = uint32(le.Uint16(dir[20:]))<<16 | uint32(le.Uint16(dir[26:]))
		return start, int64(le.Uint32(dir[28:])), true
	}
	return 0, 0, false
}

// chain returns what the clusters from start on hold, up to limit bytes, and
// less if the chain or the volume ends before.
func (f *fat) chain(start uint32, limit int64) []byte {
	var data []byte
	for at := start; at >= 2 && at-2 < f.clusters && int64(len(data)) < limit; at = f.next(at) {
		part := read(f.volume, f.data+int64(at-2)*f.cluster, min(f.cluster, limit-int64(len(data))))
		if part == nil {
			break
		}
		data = append(data, part...)
	}
	return data
}

// next returns the cluster that follows; one that is no cluster ends the chain.
func (f *fat) next(at uint32) uint32 {
	le := binary.LittleEndian
	switch f.bits {
	case 12:
		e := read(f.volume, f.table+int64(at+at/2), 2)
		if e == nil {
			return 0
		}
		return uint32(le.Uint16(e)>>(at%2*4)) & 0xfff
	case 16:
		e := read(f.volume, f.table+int64(at)*2, 2)
		if e == nil {
			return 0
		}
		return uint32(le.Uint16(e))
	default:
		e := read(f.volume, f.table+int64(at)*4, 4)
		if e == nil {
			return 0
		}
		return le.Uint32(e) & 0x0fff_ffff
	}
}
