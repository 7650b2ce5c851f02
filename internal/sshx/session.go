package sshx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"seatrial/platforms"
)

// streams are the ends of a session's streams on this side. stdin may be nil.
type streams struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// session opens a session, has start set it going, and waits for its end. The
// result carries exit code and signal only.
func (c *Client) session(ctx context.Context, s streams, start func(*ssh.Session) error) (platforms.Result, error) {
	outer := ctx
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)

	select {
	case c.slots <- struct{}{}:
	case <-c.done:
		return platforms.Result{}, c.lost(nil)
	case <-ctx.Done():
		return platforms.Result{}, context.Cause(ctx)
	}
	defer func() { <-c.slots }()
	sess, err := c.open(ctx)
	if err != nil {
		return platforms.Result{}, err
	}
	out := &gate{abort: abort}
	sess.Stdout = out.to("stdout", s.stdout)
	sess.Stderr = out.to("stderr", s.stderr)
	defer out.shut()

	ended := make(chan error, 1)
	go func() { ended <- drive(sess, s.stdin, abort, start) }()
	select {
	case err := <-ended:
		// A stream that failed ends the command, too: that failure comes first.
		if cause := context.Cause(ctx); cause != context.Cause(outer) {
			return platforms.Result{}, cause
		}
		return c.exit(err)
	case <-ctx.Done():
		// Both calls write to the connection, which may be stuck.
		go func() {
			_ = sess.Signal(ssh.SIGKILL) // the guest may not know signals
			_ = sess.Close()
		}()
		return platforms.Result{}, context.Cause(ctx)
	}
}

// open opens a session channel. A server frees the place of a session a moment
// after it has reported the session's end, so a refusal is not final at once.
func (c *Client) open(ctx context.Context) (*ssh.Session, error) {
	type opened struct {
		sess *ssh.Session
		err  error
	}
	answer := make(chan opened)
	request := func() {
		sess, err := c.conn.NewSession()
		select {
		case answer <- opened{sess, err}:
		case <-ctx.Done():
			if err == nil {
				_ = sess.Close() // nobody waits for it any more
			}
		}
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for range 50 {
		go request()
		var err error
		select {
		case a := <-answer:
			if a.err == nil {
				return a.sess, nil
			}
			err = a.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if _, refused := errors.AsType[*ssh.OpenChannelError](err); !refused {
			return nil, c.lost(err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, errors.New("guest opens no further session on the connection")
}

// drive starts a session, feeds its standard input and waits for its end. It
// aborts the session when the input cannot be read: the command must not take
// what it got for the whole.
func drive(sess *ssh.Session, stdin io.Reader, abort context.CancelCauseFunc, start func(*ssh.Session) error) error {
	var pipe io.WriteCloser
	if stdin != nil {
		var err error
		if pipe, err = sess.StdinPipe(); err != nil {
			return err
		}
	}
	if err := start(sess); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if pipe != nil {
		go func() {
			input := &source{r: stdin}
			_, _ = io.Copy(pipe, input) // the command need not read its input
			if input.err != nil {
				abort(fmt.Errorf("read stdin: %w", input.err))
				return
			}
			_ = pipe.Close()
		}()
	}
	return sess.Wait()
}

// exit turns what ended a session into a result.
func (c *Client) exit(err error) (platforms.Result, error) {
	if err == nil {
		return platforms.Result{}, nil
	}
	if status, ok := errors.AsType[*ssh.ExitError](err); ok {
		return platforms.Result{
			ExitCode: exitCode(status.ExitStatus(), status.Signal()),
			Signal:   status.Signal(),
		}, nil
	}
	_, unknown := errors.AsType[*ssh.ExitMissingError](err)
	if unknown || errors.Is(err, io.EOF) {
		err = c.lost(err)
	}
	return platforms.Result{}, err
}

// exitCode adds the numbers of signals that RFC 4254 does not name but OpenSSH
// reports; the library gives 128 for them.
func exitCode(status int, signal string) int {
	switch {
	case status == 128 && signal == string(ssh.SIGUSR1):
		return 128 + 10
	case status == 128 && signal == string(ssh.SIGUSR2):
		return 128 + 12
	default:
		return status
	}
}

// source remembers why its reader failed.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// gate stands between a session and the caller's writers. It writes one at a
// time, since both may be the same writer, and nothing once it is shut.
type gate struct {
	mu     sync.Mutex
	closed bool
	abort  context.CancelCauseFunc // told about a writer that failed
}

var errShut = errors.New("session is over")

func (g *gate) to(name string, w io.Writer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.closed {
			return 0, errShut
		}
		n, err := w.Write(p)
		if err != nil {
			g.abort(fmt.Errorf("write %s: %w", name, err))
		}
		return n, err
	})
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
