package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"seatrial/platforms"
)

// Client is a connection to an agent. All methods are safe for concurrent use.
type Client struct {
	conn    io.ReadWriteCloser
	tasks   sync.WaitGroup
	done    chan struct{} // closed when the connection has failed
	writing sync.Mutex

	mu     sync.Mutex
	err    error
	nextID uint32
	open   map[uint32]*inbox
}

// New makes a client that owns conn.
func New(conn io.ReadWriteCloser) *Client {
	c := &Client{conn: conn, done: make(chan struct{}), open: make(map[uint32]*inbox)}
	c.tasks.Go(c.read)
	return c
}

// errClosed is why a connection that was closed from here failed.
var errClosed = errors.New("closed")

// Close ends the connection. What runs in the guest goes on.
func (c *Client) Close() error {
	c.fail(errClosed)
	c.tasks.Wait()
	return nil
}

// Err says why the connection failed; nil while it works.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	_ = c.conn.Close() // it is of no use any more
	close(c.done)
}

// lost is the error of what the end of the connection cut off.
func (c *Client) lost() error { return fmt.Errorf("%w: %w", platforms.ErrConnectionLost, c.Err()) }

// inbox holds the frames for one command or question. Its owner takes them; how many bytes wait is
// bounded by the credit that the agent has.
type inbox struct {
	id   uint32
	wake chan struct{} // holds a token while there may be frames

	mu     sync.Mutex
	frames []frame
}

// take returns what has come.
func (b *inbox) take() []frame {
	b.mu.Lock()
	defer b.mu.Unlock()
	frames := b.frames
	b.frames = nil
	return frames
}

func (b *inbox) add(f frame) {
	b.mu.Lock()
	b.frames = append(b.frames, f)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// inbox opens a new one; it is to be closed by forget.
func (c *Client) inbox() *inbox {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nextID++
	b := &inbox{id: c.nextID, wake: make(chan struct{}, 1)}
	c.open[b.id] = b
	return b
}

func (c *Client) forget(b *inbox) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, b.id)
}

// read takes frames to their inboxes until the connection ends.
func (c *Client) read() {
	r := bufio.NewReaderSize(c.conn, maxPayload)
	for {
		f, err := readFrame(r)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the guest's end is closed")
			}
			c.fail(err)
			return
		}
		c.mu.Lock()
		b := c.open[f.id]
		c.mu.Unlock()
		if b != nil {
			b.add(f)
		}
	}
}

// send writes frames at once.
func (c *Client) send(frames ...frame) error {
	var b []byte
	for _, f := range frames {
		b = f.append(b)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if _, err := c.conn.Write(b); err != nil {
		c.fail(err)
		return c.lost()
	}
	return nil
}

// await waits for frames.
func (c *Client) await(ctx context.Context, b *inbox) ([]frame, error) {
	for {
		if frames := b.take(); len(frames) > 0 {
			return frames, nil
		}
		select {
		case <-b.wake:
		case <-c.done:
			if frames := b.take(); len(frames) > 0 {
				return frames, nil
			}
			return nil, c.lost()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Knock asks the agent for its nonce.
func (c *Client) Knock(ctx context.Context) (nonce [NonceSize]byte, err error) {
	nonce, _, err = c.Do(ctx)
	return nonce, err
}

// Do has the agent do steps, in their order and all within one round trip, and asks it for its
// nonce before them. The first step that failed is the error; asked says that the agent answered.
func (c *Client) Do(ctx context.Context, steps ...Step) (nonce [NonceSize]byte, asked bool, err error) {
	b := c.inbox()
	defer c.forget(b)
	frames := []frame{{kind: 'k', id: b.id}}
	for _, s := range steps {
		frames = append(frames, frame{kind: s.kind, id: b.id, payload: s.payload()})
	}
	if err := c.send(frames...); err != nil {
		return nonce, false, err
	}
	var answers []frame
	for len(answers) < len(frames) {
		more, err := c.await(ctx, b)
		if err != nil {
			return nonce, false, fmt.Errorf("ask the agent: %w", err)
		}
		answers = append(answers, more...)
	}
	copy(nonce[:], answers[0].payload)
	for i, s := range steps {
		errno, err := answers[i+1].number()
		if err == nil && errno != 0 {
			err = syscall.Errno(errno)
		}
		if err != nil {
			return nonce, true, fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nonce, true, nil
}

// Random returns random numbers of the guest's kernel, with nothing that runs there before them.
func (c *Client) Random(ctx context.Context) ([]byte, error) {
	b := c.inbox()
	defer c.forget(b)
	if err := c.send(frame{kind: 'g', id: b.id}); err != nil {
		return nil, err
	}
	answers, err := c.await(ctx, b)
	if err != nil {
		return nil, err
	}
	return answers[0].payload, nil
}

// Watch knocks at intervals until ctx ends, and has the connection fail when there was no answer
// for the given patience: then the guest hangs.
func (c *Client) Watch(ctx context.Context, interval, patience time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.done:
			return
		case <-ctx.Done():
			return
		}
		asking, cancel := context.WithTimeout(ctx, patience)
		_, err := c.Knock(asking)
		cancel()
		if err != nil && ctx.Err() == nil {
			c.fail(fmt.Errorf("guest did not answer for %v", patience))
			return
		}
	}
}
