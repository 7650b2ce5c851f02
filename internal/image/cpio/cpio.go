// Package cpio reads and writes archives in the "newc" format that the Linux
// kernel takes as an initramfs (Documentation/driver-api/early-userspace/
// buffer-format.rst). It holds whole files in memory and knows no other format.
package cpio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
)

// File types within Entry.Mode, as in stat(2).
const (
	TypeMask    = 0o170000
	TypeDir     = 0o040000
	TypeRegular = 0o100000
	TypeSymlink = 0o120000
)

const (
	magic      = "070701"
	trailer    = "TRAILER!!!"
	headerSize = 110
	maxName    = 4096
	maxData    = 1 << 30
)

// ErrFormat means that the input is not a newc archive.
var ErrFormat = errors.New("not a newc cpio archive")

// Entry is one file. Data is the content of a regular file or the target of a
// symbolic link.
type Entry struct {
	Name                 string // relative, without leading "./"
	Mode                 uint32 // type and permissions as in stat(2)
	UID, GID             uint32
	MTime                uint32 // seconds since 1970
	RDevMajor, RDevMinor uint32
	Data                 []byte
}

// Type returns the entry's file type bits.
func (e Entry) Type() uint32 { return e.Mode & TypeMask }

// Perm returns the entry's permission bits.
func (e Entry) Perm() fs.FileMode { return fs.FileMode(e.Mode & 0o777) }

// Read returns the entries of an archive in their order, up to its trailer.
func Read(r io.Reader) ([]Entry, error) {
	br := bufio.NewReaderSize(r, 1<<20)
	var all []Entry
	for {
		e, err := readEntry(br)
		if err != nil {
			return nil, err
		}
		if e.Name == trailer {
			return all, nil
		}
		all = append(all, e)
	}
}

func readEntry(r *bufio.Reader) (Entry, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Entry{}, fmt.Errorf("read cpio header: %w", err)
	}
	if string(head[:6]) != magic {
		return Entry{}, ErrFormat
	}
	var f [13]uint32
	for i := range f {
		v, err := strconv.ParseUint(string(head[6+8*i:14+8*i]), 16, 32)
		if err != nil {
			return Entry{}, ErrFormat
		}
		f[i] = uint32(v)
	}
	nameSize, dataSize := f[11], f[6]
	if nameSize == 0 || nameSize > maxName || dataSize > maxData {
		return Entry{}, ErrFormat
	}
	name := make([]byte, nameSize+pad(headerSize+nameSize))
	if _, err := io.ReadFull(r, name); err != nil {
		return Entry{}, fmt.Errorf("read cpio name: %w", err)
	}
	data := make([]byte, dataSize+pad(dataSize))
	if _, err := io.ReadFull(r, data); err != nil {
		return Entry{}, fmt.Errorf("read cpio data: %w", err)
	}
	return Entry{
		Name: string(name[:nameSize-1]), Mode: f[1], UID: f[2], GID: f[3], MTime: f[5],
		RDevMajor: f[9], RDevMinor: f[10], Data: data[:dataSize],
	}, nil
}

// Write writes an archive of these entries, each with a link count of one.
func Write(w io.Writer, entries []Entry) error {
	bw := bufio.NewWriterSize(w, 1<<20)
	for i, e := range append(entries[:len(entries):len(entries)], Entry{Name: trailer}) {
		ino := uint32(i + 1)
		if e.Name == trailer {
			ino = 0
		}
		size := uint32(len(e.Name) + 1)
		fmt.Fprintf(bw, "%s%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", magic,
			ino, e.Mode, e.UID, e.GID, 1, e.MTime, len(e.Data), 0, 0, e.RDevMajor, e.RDevMinor, size, 0, e.Name)
		bw.Write(zeros(pad(headerSize + size)))
		bw.Write(e.Data)
		bw.Write(zeros(pad(uint32(len(e.Data)))))
	}
	if err := bw.Flush(); err != nil {
		return fmt.Errorf("write cpio archive: %w", err)
	}
	return nil
}

// pad is how many bytes bring n to a multiple of four.
func pad(n uint32) uint32 { return -n & 3 }

func zeros(n uint32) []byte { return []byte{0, 0, 0}[:n] }
