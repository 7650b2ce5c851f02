package image

import (
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// A compression is how a whole file is packed.
type compression string

const (
	uncompressed compression = ""
	gzipped      compression = "gzip"
	bzipped      compression = "bzip2"
	xzed         compression = "xz"
	zstded       compression = "zstd"
)

// magicSize is how many bytes compressionOf needs.
const magicSize = 6

// compressionOf tells the compression by the magic number at a file's start.
func compressionOf(head []byte) compression {
	for _, m := range []struct {
		magic string
		c     compression
	}{
		{"\x1f\x8b\x08", gzipped},
		{"BZh", bzipped},
		{"\xfd7zXZ\x00", xzed},
		{"\x28\xb5\x2f\xfd", zstded},
	} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.c
		}
	}
	return uncompressed
}

// suffixes returns the file name endings of compressed images, which an
// unpacked one does without.
func suffixes() []string { return []string{".gz", ".bz2", ".xz", ".zst", ".zstd"} }

// unpack writes what r holds, unpacked if it is compressed, to f, and leaves
// out blocks of zeros, so that a raw disk takes no more space than it has data.
func unpack(f *os.File, r io.Reader, c compression) error {
	plain, closer, err := decompressor(r, c)
	if err != nil {
		return unpackError(c, err)
	}
	defer closer()
	return copySparse(f, &unpackReader{plain, c})
}

func decompressor(r io.Reader, c compression) (plain io.Reader, closer func(), err error) {
	closer = func() {}
	switch c {
	case gzipped:
		plain, err = gzip.NewReader(r)
	case bzipped:
		plain = bzip2.NewReader(r)
	case xzed:
		plain, err = xz.NewReader(r)
	case zstded:
		var d *zstd.Decoder
		if d, err = zstd.NewReader(r, zstd.WithDecoderMaxWindow(1<<30)); err == nil {
			plain, closer = d, d.Close
		}
	default:
		plain = r
	}
	return plain, closer, err
}

// A sourceError is one of reading the packed bytes, as apart from what they say.
// It is never io.EOF or io.ErrUnexpectedEOF itself.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// An unpackReader makes the errors of unpacking those of the image's contents,
// and never ends with io.ErrUnexpectedEOF.
type unpackReader struct {
	r io.Reader
	c compression
}

func (u *unpackReader) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if err != nil && err != io.EOF {
		err = unpackError(u.c, err)
	}
	return n, err
}

func unpackError(c compression, err error) error {
	if source, ok := errors.AsType[*sourceError](err); ok {
		return source
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the %s data is cut short", ErrNotImage, c)
	}
	return fmt.Errorf("%w: damaged %s data: %w", ErrNotImage, c, err)
}

// sparseBlock is the size of the holes that copySparse leaves, in bytes.
const sparseBlock = 64 << 10

// copySparse copies r to the start of f, which is empty, and leaves holes where
// there are zeros.
func copySparse(f *os.File, r *unpackReader) error {
	buf := make([]byte, sparseBlock)
	zeros := make([]byte, sparseBlock)
	var size int64
	for {
		n, err := io.ReadFull(r, buf)
		if !bytes.Equal(buf[:n], zeros[:n]) {
			if _, err := f.WriteAt(buf[:n], size); err != nil {
				return err
			}
		}
		size += int64(n)
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return f.Truncate(size)
		default:
			return err
		}
	}
}
