package clusterhost

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"sync"
)

// connHeader is the first line of a connection from a guest to a listener of the client.
type connHeader struct{ Remote, Local string }

// bufferedConn is a connection of which a reader holds the first bytes.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// CloseWrite says that nothing follows, and goes on reading.
func (c *bufferedConn) CloseWrite() error { return closeWrite(c.Conn) }

// closeWrite ends one direction of a connection, or, where there is no such thing, both.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

func isDatagram(network string) bool { return strings.HasPrefix(network, "udp") }

// packetConn carries datagrams over a stream: each has its length, two bytes in network order,
// before it.
type packetConn struct{ net.Conn }

func (c packetConn) Read(p []byte) (int, error) {
	var size [2]byte
	if _, err := io.ReadFull(c.Conn, size[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	kept := min(n, len(p)) // the rest of a datagram is lost, as with a socket
	if _, err := io.ReadFull(c.Conn, p[:kept]); err != nil {
		return 0, err
	}
	_, err := io.CopyN(io.Discard, c.Conn, int64(n-kept))
	return kept, err
}

func (c packetConn) Write(p []byte) (int, error) {
	if len(p) > math.MaxUint16 {
		return 0, errors.New("datagram is too long")
	}
	frame := binary.BigEndian.AppendUint16(make([]byte, 0, len(p)+2), uint16(len(p)))
	if _, err := c.Conn.Write(append(frame, p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// join copies both ways between two connections until both directions have ended or ctx ends, and
// closes them.
func join(ctx context.Context, a, b net.Conn) {
	closeBoth := func() {
		_ = a.Close() // copying has ended, or is meant to
		_ = b.Close()
	}
	defer closeBoth()
	defer context.AfterFunc(ctx, closeBoth)()
	var wg sync.WaitGroup
	pump := func(dst, src net.Conn) {
		_, err := io.Copy(dst, src)
		if err != nil || closeWrite(dst) != nil {
			closeBoth() // one side broke: the other must not wait for it
		}
	}
	wg.Go(func() { pump(a, b) })
	wg.Go(func() { pump(b, a) })
	wg.Wait()
}
