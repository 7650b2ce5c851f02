package vnet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
)

const (
	portQueue    = 1024      // frames that wait for a slow receiver before more are dropped
	streamBuffer = 128 << 10 // bytes read or written at once on a port's stream
)

// port is one end of the switch. Its receiver takes frames from out.
type port struct {
	name  string
	out   chan []byte
	stats *portStats
}

// portStats are the counters of a machine, over all its ports and reconnections.
type portStats struct {
	rxFrames, rxBytes, txFrames, txBytes atomic.Uint64
	overflowed, faulted, malformed       atomic.Uint64
	foreign                              atomic.Uint64
}

// PortStats counts what passed a machine's ports since the network was made. Received and sent are
// as the switch sees it: received is what the machine transmitted.
type PortStats struct {
	ReceivedFrames, ReceivedBytes uint64
	SentFrames, SentBytes         uint64
	Overflowed                    uint64 // frames to the machine, dropped because it read too slowly
	Faulted                       uint64 // frames to the machine, dropped by an impairment
	Malformed                     uint64 // frames from the machine too short to be Ethernet
	Foreign                       uint64 // frames from the machine, dropped because they claim another's address
}

func (s *portStats) snapshot() PortStats {
	return PortStats{
		ReceivedFrames: s.rxFrames.Load(), ReceivedBytes: s.rxBytes.Load(),
		SentFrames: s.txFrames.Load(), SentBytes: s.txBytes.Load(),
		Overflowed: s.overflowed.Load(), Faulted: s.faulted.Load(), Malformed: s.malformed.Load(),
		Foreign: s.foreign.Load(),
	}
}

// enqueue hands a frame to the port's receiver, or drops it when too many wait already.
func (p *port) enqueue(frame []byte) {
	select {
	case p.out <- frame:
		p.stats.txFrames.Add(1)
		p.stats.txBytes.Add(uint64(len(frame)))
	default:
		p.stats.overflowed.Add(1)
	}
}

// serve connects a stream to the switch until it ends, and closes it. The error says why it ended;
// it is nil when the peer closed the stream between two frames.
func (f *fabric) serve(ctx context.Context, name string, conn net.Conn) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(f.ctx, func() { cancel(errClosed) })()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()

	p := f.attach(name)
	defer f.detach(p)
	written := make(chan struct{})
	go func() {
		defer close(written)
		// A stream that cannot be written to has been closed by its peer, which the reader
		// notices, too, and knows better: whether it was between two frames.
		_ = p.drain(ctx, conn)
	}()

	err := f.readFrom(p, conn)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // the stream was closed from here: say why
	}
	cancel(errors.New("stream ended"))
	conn.Close()
	<-written
	if err != nil {
		return fmt.Errorf("switch port %s: %w", name, err)
	}
	return nil
}

// readFrom forwards the frames of a stream until it ends.
func (f *fabric) readFrom(p *port, conn io.Reader) error {
	r := bufio.NewReaderSize(conn, streamBuffer)
	for {
		frame, err := readFrame(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read frame: %w", err)
		}
		f.forward(p, frame)
	}
}

// drain writes the port's frames to a stream until ctx ends. Frames that wait together are
// written together.
func (p *port) drain(ctx context.Context, conn io.Writer) error {
	w := bufio.NewWriterSize(conn, streamBuffer)
	for {
		select {
		case <-ctx.Done():
			return nil
		case frame := <-p.out:
			if err := writeFrame(w, frame); err != nil {
				return err
			}
		}
		if len(p.out) == 0 {
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
}
