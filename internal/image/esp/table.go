package esp

import (
	"encoding/binary"
	"math"
)

// A partition is a range of the disk, in bytes.
type partition struct {
	start, end int64
	esp        bool // an EFI system partition
}

const (
	mbrTable      = 446 // of 4 entries of 16 bytes
	mbrSignature  = 510
	mbrProtective = 0xee
	mbrESP        = 0xef

	gptMinEntry = 128
	gptMaxEntry = 4096
	gptMaxCount = 1024
)

// espGUID is C12A7328-F81F-11D2-BA4B-00A0C93EC93B as a disk has it.
const espGUID = "\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b"

// partitions returns the kind of the disk's partition table, and what is in it.
func (d *reader) partitions() (string, []partition) {
	mbr := read(d, 0, 512)
	if mbr == nil || mbr[mbrSignature] != 0x55 || mbr[mbrSignature+1] != 0xaa {
		return "", nil
	}
	protective := false
	for i := range 4 {
		protective = protective || mbr[mbrTable+16*i+4] == mbrProtective
	}
	if protective {
		for _, sector := range []int64{512, 4096} {
			if ps, ok := d.gpt(sector); ok {
				return "gpt", ps
			}
		}
	}
	return "mbr", mbrPartitions(mbr)
}

// mbrPartitions returns the primary partitions. A boot sector whose table is no
// table, as that of a bare file system, yields none.
func mbrPartitions(mbr []byte) []partition {
	le := binary.LittleEndian
	var ps []partition
	for i := range 4 {
		e := mbr[mbrTable+16*i:][:16]
		if e[0]&0x7f != 0 {
			return nil
		}
		start, length := int64(le.Uint32(e[8:])), int64(le.Uint32(e[12:]))
		if e[4] == 0 || e[4] == mbrProtective || length == 0 {
			continue
		}
		ps = append(ps, partition{start * 512, (start + length) * 512, e[4] == mbrESP})
	}
	return ps
}

// gpt reads the GUID partition table of a disk with such sectors (UEFI 2.10,
// section 5.3), and reports whether there is one.
func (d *reader) gpt(sector int64) ([]partition, bool) {
	le := binary.LittleEndian
	head := read(d, sector, 92)
	if head == nil || string(head[:8]) != "EFI PART" {
		return nil, false
	}
	table, count, size := le.Uint64(head[72:]), int64(le.Uint32(head[80:])), int64(le.Uint32(head[84:]))
	if table > uint64(d.size/sector) || count > gptMaxCount || size < gptMinEntry || size > gptMaxEntry {
		return nil, true
	}
	entries := read(d, int64(table)*sector, count*size)
	var ps []partition
	for ; len(entries) > 0; entries = entries[size:] {
		first, last := le.Uint64(entries[32:]), le.Uint64(entries[40:])
		if string(entries[:16]) == string(make([]byte, 16)) || first > last || last >= math.MaxInt64/uint64(sector) {
			continue
		}
		ps = append(ps, partition{int64(first) * sector, int64(last+1) * sector, string(entries[:16]) == espGUID})
	}
	return ps, true
}
