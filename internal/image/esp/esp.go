// Package esp looks for the EFI system partition of a disk, and for the boot
// loaders in it, to tell what architecture the disk is for.
//
// It reads what that takes, and no more: the partition table (GPT or MBR), a
// FAT file system's directories, the head of a PE file. What it does not
// understand is not there; only the disk's own read errors are errors. The disk
// is not trusted: all reads are bounded.
package esp

import (
	"encoding/binary"
	"errors"
	"io"
)

// Disk is what was found on a disk.
type Disk struct {
	Table string // "gpt", "mbr", or "" without a partition table
	End   int64  // where the last partition ends, in bytes
	Arch  string // "amd64", "arm64", or "" if unknown or both
}

// Probe looks at a disk of size bytes.
func Probe(disk io.ReaderAt, size int64) (Disk, error) {
	d := &reader{disk: disk, size: size}
	table, partitions := d.partitions()
	found := Disk{Table: table}
	archs := map[string]bool{}
	for _, p := range partitions {
		found.End = max(found.End, p.end)
		if p.esp && p.end <= size && len(archs) == 0 {
			d.bootArchs(io.NewSectionReader(d, p.start, p.end-p.start), archs)
		}
	}
	if len(archs) == 1 {
		for a := range archs {
			found.Arch = a
		}
	}
	return found, d.err
}

// bootArchs adds the architectures whose boot loader is where firmware looks for
// it on a disk that it does not know (UEFI 2.10, section 3.5.1.1).
func (d *reader) bootArchs(volume *io.SectionReader, archs map[string]bool) {
	v, ok := openFAT(volume)
	if !ok {
		return
	}
	for _, b := range []struct {
		name    string
		arch    string
		machine uint16
	}{
		{"BOOTX64 EFI", "amd64", 0x8664},
		{"BOOTAA64EFI", "arm64", 0xaa64},
	} {
		head, ok := v.readFile([]string{"EFI        ", "BOOT       ", b.name}, peHead)
		if ok && peMachine(head) == b.machine {
			archs[b.arch] = true
		}
	}
}

// peHead is how much of a PE file is read, in bytes: its header is at its start.
const peHead = 4096

// peMachine returns the machine that a PE file is for; 0 if it is none.
func peMachine(head []byte) uint16 {
	if len(head) < 64 || string(head[:2]) != "MZ" {
		return 0
	}
	at := int64(binary.LittleEndian.Uint32(head[60:]))
	if at+6 > int64(len(head)) || string(head[at:at+4]) != "PE\x00\x00" {
		return 0
	}
	return binary.LittleEndian.Uint16(head[at+4:])
}

// A reader reads the disk, and keeps its first error. The end of the disk is no
// error: it is only the end of the search.
type reader struct {
	disk io.ReaderAt
	size int64
	err  error
}

func (d *reader) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.disk.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) && d.err == nil {
		d.err = err
	}
	return n, err
}

// read returns n bytes at off, or nil if they are not there.
func read(r io.ReaderAt, off, n int64) []byte {
	buf := make([]byte, n)
	if got, _ := r.ReadAt(buf, off); int64(got) < n {
		return nil
	}
	return buf
}
