package vnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Classic pcap file format, microsecond timestamps, Ethernet
// (https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html).
const (
	pcapMagic        = 0xa1b2c3d4
	pcapMajor        = 2
	pcapMinor        = 4
	pcapEthernet     = 1
	pcapHeaderSize   = 24
	pcapRecordHeader = 16

	captureQueue = 4096 // frames that wait for a slow writer before more are left out
)

// capture writes frames to a writer in the background.
type capture struct {
	now     func() time.Time
	frames  chan captured
	stop    chan struct{}
	once    sync.Once
	done    chan struct{}
	err     error // set before done is closed
	missing atomic.Uint64
}

type captured struct {
	at    time.Time
	frame []byte
}

// newCapture starts a capture of at most limit bytes; 0 is no limit.
func newCapture(w io.Writer, limit int64, now func() time.Time) (*capture, error) {
	if limit < 0 || limit > 0 && limit < pcapHeaderSize {
		return nil, fmt.Errorf("capture limit of %d bytes is below the %d of a file header", limit, pcapHeaderSize)
	}
	head := make([]byte, 0, pcapHeaderSize)
	head = binary.LittleEndian.AppendUint32(head, pcapMagic)
	head = binary.LittleEndian.AppendUint16(head, pcapMajor)
	head = binary.LittleEndian.AppendUint16(head, pcapMinor)
	head = append(head, make([]byte, 8)...) // time zone and accuracy: always zero
	head = binary.LittleEndian.AppendUint32(head, maxFrameSize)
	head = binary.LittleEndian.AppendUint32(head, pcapEthernet)
	if _, err := w.Write(head); err != nil {
		return nil, fmt.Errorf("write capture header: %w", err)
	}
	c := &capture{
		now:    now,
		frames: make(chan captured, captureQueue),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	go c.write(w, limit)
	return c, nil
}

// add records a frame; it never blocks.
func (c *capture) add(frame []byte) {
	select {
	case c.frames <- captured{c.now(), frame}:
	default:
		c.missing.Add(1)
	}
}

// write writes frames until the capture is stopped, and then those that still wait. After the
// limit or an error the rest is thrown away.
func (c *capture) write(w io.Writer, limit int64) {
	defer close(c.done)
	written := int64(pcapHeaderSize)
	full := false
	put := func(x captured) {
		size := int64(pcapRecordHeader + len(x.frame))
		full = full || limit > 0 && written+size > limit
		if full || c.err != nil {
			return
		}
		if _, err := w.Write(pcapRecord(x)); err != nil {
			c.err = fmt.Errorf("write capture: %w", err)
		}
		written += size
	}
	for {
		select {
		case x := <-c.frames:
			put(x)
		case <-c.stop:
			for {
				select {
				case x := <-c.frames:
					put(x)
				default:
					return
				}
			}
		}
	}
}

func pcapRecord(x captured) []byte {
	b := make([]byte, 0, pcapRecordHeader+len(x.frame))
	b = binary.LittleEndian.AppendUint32(b, uint32(x.at.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(x.at.Nanosecond()/1000))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(x.frame)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(x.frame)))
	return append(b, x.frame...)
}

// errIncomplete marks a capture with holes.
var errIncomplete = errors.New("capture is incomplete")

// close ends the capture and reports whether all of it was written.
func (c *capture) close() error {
	c.once.Do(func() { close(c.stop) })
	<-c.done
	if n := c.missing.Load(); n > 0 && c.err == nil {
		return fmt.Errorf("%w: %d frames came faster than they could be written", errIncomplete, n)
	}
	return c.err
}
