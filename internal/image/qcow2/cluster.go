package qcow2

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// A clusterKind says where the contents of a cluster are.
type clusterKind int

const (
	clusterZero       clusterKind = iota // nowhere: it reads as zeros
	clusterPlain                         // in a cluster of the file
	clusterCompressed                    // packed, anywhere in the file
)

// A cluster is the place of one in the file. The length is in bytes, and for a
// compressed one the most that its packed form takes.
type cluster struct {
	kind           clusterKind
	offset, length int64
}

// locate takes an L2 entry apart.
func (h *Header) locate(entry uint64) (cluster, error) {
	if entry&flagCompressed != 0 {
		lengthBits := h.clusterBits - 8
		offsetBits := 62 - lengthBits
		sectors := int64(entry>>offsetBits)&(1<<lengthBits-1) + 1
		offset := int64(entry & (1<<offsetBits - 1))
		return cluster{clusterCompressed, offset, sectors*sectorSize - offset%sectorSize}, nil
	}
	offset := int64(entry & offsetMask)
	switch {
	case offset&(h.ClusterSize-1) != 0:
		return cluster{}, fmt.Errorf("%w: L2 entry %#x does not point to the start of a cluster", ErrCorrupt, entry)
	case offset == 0, h.Version >= 3 && entry&flagZero != 0:
		return cluster{kind: clusterZero}, nil
	}
	return cluster{clusterPlain, offset, h.ClusterSize}, nil
}

// An unpacker unpacks compressed clusters, and keeps its decoders for the next.
type unpacker struct {
	compression Compression
	flate       io.ReadCloser
	zstd        *zstd.Decoder
}

// maxWindow is the most memory, in bytes, that a zstd frame may ask for: what
// its specification wants every decoder to support. A cluster has 2 MiB.
const maxWindow = 8 << 20

// unpack fills dst with the start of what packed unpacks to. Behind it may be
// whatever the rest of the last sector holds.
func (u *unpacker) unpack(dst, packed []byte) error {
	var from io.Reader
	in := bytes.NewReader(packed)
	switch u.compression {
	case Zstd:
		if u.zstd == nil {
			// One at a time works without goroutines, so there is nothing to close.
			d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return err
			}
			u.zstd = d
		}
		if err := u.zstd.Reset(in); err != nil {
			return err
		}
		from = u.zstd
	default:
		if u.flate == nil {
			u.flate = flate.NewReader(in)
		} else if err := u.flate.(flate.Resetter).Reset(in, nil); err != nil {
			return err
		}
		from = u.flate
	}
	_, err := io.ReadFull(from, dst)
	return err
}

// A cache keeps the clusters that were used last. It is small enough to be
// looked through from end to end.
type cache struct {
	max     int
	entries []cached // the last used is the last
}

type cached struct {
	key  uint64
	data []byte
}

// get returns what is kept for the key; nil if nothing is.
func (c *cache) get(key uint64) []byte {
	i := slices.IndexFunc(c.entries, func(e cached) bool { return e.key == key })
	if i < 0 {
		return nil
	}
	e := c.entries[i]
	c.entries = append(slices.Delete(c.entries, i, i+1), e)
	return e.data
}

// room returns a buffer of the size for the next put: that of the entry which
// was not used for longest, if the cache is full.
func (c *cache) room(size int64) []byte {
	if len(c.entries) < c.max {
		return make([]byte, size)
	}
	data := c.entries[0].data
	c.entries = slices.Delete(c.entries, 0, 1)
	return data
}

func (c *cache) put(key uint64, data []byte) {
	c.entries = append(c.entries, cached{key, data})
}
