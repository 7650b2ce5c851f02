package clusterhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// console keeps what a machine prints in a file, from which any number of readers follow it.
type console struct {
	conn net.Conn
	file *os.File

	mu    sync.Mutex
	size  int64
	ended bool
	grown chan struct{} // closed and replaced at each change
	err   error
}

// openConsole starts copying conn to a new file.
func openConsole(conn net.Conn, path string) (*console, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(err, file.Close(), conn.Close())
	}
	return &console{conn: conn, file: file, size: size, grown: make(chan struct{})}, nil
}

// batchTime is how long output gathers before it is read. An emulated serial port writes each
// character by itself; to pass these on one by one would cost more than the guest does.
const batchTime = 10 * time.Millisecond

// run copies until the machine's end is closed.
func (c *console) run() {
	buf := make([]byte, 32<<10)
	for {
		n, err := c.conn.Read(buf)
		var werr error
		if n > 0 {
			_, werr = c.file.Write(buf[:n])
		}
		c.mu.Lock()
		if werr == nil {
			c.size += int64(n)
		} else if c.err == nil {
			c.err = fmt.Errorf("keep console: %w", werr) // reading goes on, or the guest would block
		}
		c.ended = err != nil
		close(c.grown)
		c.grown = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
		time.Sleep(batchTime)
	}
}

// follow copies the console to w from its beginning until it ends, ctx ends or w fails.
func (c *console) follow(ctx context.Context, w io.Writer) error {
	var offset int64
	for {
		c.mu.Lock()
		size, ended, grown := c.size, c.ended, c.grown
		c.mu.Unlock()
		if n, err := io.Copy(w, io.NewSectionReader(c.file, offset, size-offset)); err != nil {
			return err
		} else if offset += n; n > 0 {
			continue
		}
		if ended {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *console) close() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	return errors.Join(err, c.conn.Close(), c.file.Close())
}
