// Package qcow2 reads QEMU's qcow2 disk images, versions 2 and 3, without QEMU.
//
// It is for looking into an image before a guest is started from it: is the
// file whole, and what is on the disk? It reads all that an image which stands
// by itself can hold: unallocated, zero, plain and compressed (zlib, zstd)
// clusters. It writes nothing, reads no internal snapshots, and refuses what
// needs a second file or a key: backing files, external data files, encryption;
// extended L2 entries (subclusters) are refused, too.
//
// The input is not trusted. Every offset is checked against the size of the
// file before anything is allocated or read, and memory is bounded: the L1
// table (at most 32 MiB, as in QEMU) and a few clusters of at most 2 MiB.
//
// The format is that of docs/interop/qcow2.txt in QEMU's source.
package qcow2

import "errors"

// The ways in which a file is no image that can be read. Errors of this package
// wrap one of them, with the details, or are those of the reader below.
var (
	// ErrNotQcow2: the file does not start as a qcow2 image.
	ErrNotQcow2 = errors.New("not a qcow2 image")
	// ErrTruncated: the image refers to parts of the file that lie beyond its end.
	ErrTruncated = errors.New("the file is cut short")
	// ErrCorrupt: the image contradicts itself or the format.
	ErrCorrupt = errors.New("damaged qcow2 image")
	// ErrUnsupported: the image uses a feature that this package does not read.
	ErrUnsupported = errors.New("unsupported qcow2 image")
)
