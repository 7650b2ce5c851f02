package vnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// QEMU's stream netdev (net/stream.c, net_stream_send and net_fill_rstate) puts a 4-byte big-endian
// length before each Ethernet frame.
const (
	lengthSize   = 4
	minFrameSize = 14           // an Ethernet header without payload
	maxFrameSize = 4096 + 65536 // NET_BUFSIZE in QEMU's include/net/net.h
)

// errFraming marks a stream whose framing is lost: it cannot be read any further.
var errFraming = errors.New("not QEMU stream framing")

// readFrame reads the next frame of r. It returns io.EOF at the end of a stream that ends between
// two frames, and errFraming for a length no frame can have.
func readFrame(r io.Reader) ([]byte, error) {
	var head [lengthSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrameSize {
		return nil, fmt.Errorf("frame of %d bytes exceeds %d: %w", n, maxFrameSize, errFraming)
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(r, frame); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return frame, nil
}

// writeFrame writes one frame to w in the framing that readFrame reads.
func writeFrame(w io.Writer, frame []byte) error {
	var head [lengthSize]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(frame)))
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	_, err := w.Write(frame)
	return err
}
