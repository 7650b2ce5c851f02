package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"unicode/utf8"

	"seatrial/internal/image/esp"
	"seatrial/internal/image/qcow2"
)

// A Format is the container that a disk image comes in, by QEMU's name.
type Format string

// The formats that guests can be started from.
const (
	Qcow2 Format = "qcow2"
	Raw   Format = "raw"
)

// Info is what an image is.
type Info struct {
	Format      Format `json:"format"`
	VirtualSize int64  `json:"virtual_size"` // of the disk, in bytes
	// Table is the partition table: "gpt", "mbr", or "" for none.
	Table string `json:"table,omitempty"`
	// Arch is the architecture of the boot loader in the EFI system partition:
	// "amd64" or "arm64". It is empty if there is none, or if there is one for
	// each.
	Arch string `json:"arch,omitempty"`
}

const (
	sectorSize = 512
	// minRaw is the least size in bytes of a disk without a partition table: less
	// is no disk that anything boots from.
	minRaw = 1 << 20
	// headSize is how much of a file tells what it is: up to an ISO's magic.
	headSize = 64 << 10
)

// Inspect says what the file at path is. An error that wraps ErrNotImage is
// about its contents: it is no image, or not all of one. It reads metadata only,
// and takes milliseconds.
//
// A raw disk without a partition table cannot be told from noise: it is taken
// for one if its size is that of a disk and it does not look like anything else.
func Inspect(path string) (Info, error) {
	info, err := inspectFile(path)
	if err != nil {
		return Info{}, fmt.Errorf("inspect image %s: %w", path, err)
	}
	return info, nil
}

func inspectFile(path string) (Info, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	head := make([]byte, min(headSize, size))
	if _, err := io.ReadFull(f, head); err != nil {
		return Info{}, err
	}
	if bytes.HasPrefix(head, []byte(qcow2.Magic)) {
		return inspectQcow2(f, size)
	}
	return inspectRaw(f, size, head)
}

// openRegular opens a regular file and returns its size in bytes.
func openRegular(path string) (*os.File, int64, error) {
	// A named pipe would block the opening of it for good, so the look comes first.
	st, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !st.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%w: it is no regular file but %s", ErrNotImage, describeMode(st.Mode()))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	return f, st.Size(), nil
}

func describeMode(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeDevice != 0:
		return "a device; copy it to a file"
	default:
		return "a pipe or socket"
	}
}

func inspectQcow2(f io.ReaderAt, size int64) (Info, error) {
	img, err := qcow2.Open(f, size)
	if err == nil {
		err = img.Check()
	}
	if err != nil {
		return Info{}, contentError(err)
	}
	disk, err := esp.Probe(img, img.Size())
	if err != nil {
		return Info{}, contentError(err)
	}
	return Info{Format: Qcow2, VirtualSize: img.Size(), Table: disk.Table, Arch: disk.Arch}, nil
}

// contentError adds ErrNotImage to the errors that are about an image's
// contents, and passes on those of reading it.
func contentError(err error) error {
	for _, content := range []error{qcow2.ErrNotQcow2, qcow2.ErrTruncated, qcow2.ErrCorrupt, qcow2.ErrUnsupported} {
		if errors.Is(err, content) {
			return fmt.Errorf("%w: %w", ErrNotImage, err)
		}
	}
	return err
}

func inspectRaw(f io.ReaderAt, size int64, head []byte) (Info, error) {
	if what := recognize(head); what != "" {
		return Info{}, fmt.Errorf("%w: it is %s", ErrNotImage, what)
	}
	disk, err := esp.Probe(f, size)
	if err != nil {
		return Info{}, err
	}
	switch {
	case disk.End > size:
		return Info{}, fmt.Errorf("%w: the file is cut short: its partitions need %d bytes, and it has %d", ErrNotImage, disk.End, size)
	case disk.Table == "" && looksLikeText(head):
		return Info{}, fmt.Errorf("%w: it is text", ErrNotImage)
	case disk.Table == "" && (size < minRaw || size%sectorSize != 0):
		return Info{}, fmt.Errorf("%w: it is neither qcow2 nor a raw disk: %d bytes without a partition table", ErrNotImage, size)
	}
	return Info{Format: Raw, VirtualSize: size, Table: disk.Table, Arch: disk.Arch}, nil
}

// A signature is how a kind of file that is no disk image shows itself.
type signature struct {
	offset int
	magic  string
	what   string
}

// signatures are from file(1)'s list and the formats' own descriptions.
func signatures() []signature {
	const convert = `; make it qcow2 with "qemu-img convert -O qcow2"`
	return []signature{
		{0, "\x7fELF", "an ELF program"},
		{0, "PK\x03\x04", "a zip archive; unpack it"},
		{257, "ustar", "a tar archive; unpack it"},
		{0, "conectix", "a VHD image" + convert},
		{0, "vhdxfile", "a VHDX image" + convert},
		{0, "KDMV", "a VMDK image" + convert},
		{0, "# Disk DescriptorFile", "a VMDK descriptor" + convert},
		{64, "\x7f\x10\xda\xbe", "a VDI image" + convert},
		{0, "QED\x00", "a QED image" + convert},
		{0, "hsqs", "a squashfs file system"},
	}
}

// recognize says what a file that starts with head is, if it is something that
// no disk image can be.
func recognize(head []byte) string {
	if len(head) == 0 {
		return "empty"
	}
	if c := compressionOf(head); c != uncompressed {
		return string(c) + "-compressed; unpack it, or give it to be fetched as it is"
	}
	for _, s := range signatures() {
		if len(head) > s.offset && bytes.HasPrefix(head[s.offset:], []byte(s.magic)) {
			return s.what
		}
	}
	// A hybrid ISO has a partition table as well, but it is for installing from.
	const isoMagic = 32<<10 + 1
	if len(head) > isoMagic && bytes.HasPrefix(head[isoMagic:], []byte("CD001")) {
		return "an ISO 9660 image; a disk image is needed"
	}
	return ""
}

// looksLikeText reports whether the head of a file is text: UTF-8 without
// control characters but white space.
func looksLikeText(head []byte) bool {
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		switch {
		case r == utf8.RuneError && n == 1:
			return len(head) < utf8.UTFMax && !utf8.FullRune(head) // a rune cut at the end
		case r < ' ' && r != '\n' && r != '\t' && r != '\r' && r != '\f', r == 0x7f:
			return false
		}
		head = head[n:]
	}
	return true
}
