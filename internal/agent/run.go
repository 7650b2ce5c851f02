package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"seatrial/platforms"
)

// ErrRefused is wrapped by errors of commands that were not started: there are too many, or the
// line is too long. Nothing has happened.
var ErrRefused = errors.New("refused by the agent")

// Run runs a command in the login's shell. Its Stdout and Stderr must not be nil; the result has
// neither. Errors are those of [platforms.Machine.Exec], or wrap ErrRefused. When ctx ends first,
// the command is killed with its process group.
//
// As with SSH, a command has ended when it exited and nobody holds its output open any more.
func (c *Client) Run(ctx context.Context, l Login, cmd platforms.Command) (platforms.Result, error) {
	payload := l.command(cmd.Line)
	if len(payload) > maxPayload {
		return platforms.Result{}, fmt.Errorf("%w: the line has %d bytes", ErrRefused, len(cmd.Line))
	}
	if ctx.Err() != nil {
		return platforms.Result{}, context.Cause(ctx)
	}
	b := c.inbox()
	defer c.forget(b)
	frames := []frame{{kind: 'x', id: b.id, payload: payload}}
	if cmd.Stdin == nil {
		frames = append(frames, frame{kind: 'i', id: b.id})
	}
	if err := c.send(frames...); err != nil {
		return platforms.Result{}, err
	}
	outer := ctx
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	taken := make(chan struct{}, 1)
	if cmd.Stdin != nil {
		go c.feed(ctx, b.id, cmd.Stdin, taken, abort)
	}
	result, err := c.follow(ctx, b, cmd, taken)
	if err != nil && ctx.Err() != nil && outer.Err() == nil {
		err = context.Cause(ctx) // its input failed
	}
	if err != nil && c.Err() == nil && !errors.Is(err, ErrRefused) {
		_ = c.send(frame{kind: 'q', id: b.id, payload: numbers(uint32(syscall.SIGKILL))}) // err says why
	}
	return result, err
}

// follow takes a command's output until it ends.
func (c *Client) follow(ctx context.Context, b *inbox, cmd platforms.Command, taken chan<- struct{}) (platforms.Result, error) {
	for {
		frames, err := c.await(ctx, b)
		if err != nil {
			return platforms.Result{}, err
		}
		credit := 0
		for _, f := range frames {
			switch f.kind {
			case 'o':
				credit += len(f.payload)
				if _, err := cmd.Stdout.Write(f.payload); err != nil {
					return platforms.Result{}, fmt.Errorf("write stdout: %w", err)
				}
			case 'e':
				credit += len(f.payload)
				if _, err := cmd.Stderr.Write(f.payload); err != nil {
					return platforms.Result{}, fmt.Errorf("write stderr: %w", err)
				}
			case 'i':
				taken <- struct{}{} // there is one chunk on its way at most
			case 'x', 'f':
				return end(f)
			}
		}
		if credit > 0 {
			if err := c.send(frame{kind: 'c', id: b.id, payload: numbers(uint32(credit))}); err != nil {
				return platforms.Result{}, err
			}
		}
	}
}

// end reads the last frame of a command.
func end(f frame) (platforms.Result, error) {
	n, err := f.number()
	switch {
	case err != nil:
		return platforms.Result{}, err
	case f.kind == 'f':
		return platforms.Result{}, fmt.Errorf("%w: %w", ErrRefused, syscall.Errno(n))
	default:
		return exit(n), nil
	}
}

// feed sends a command its input, a chunk at a time. It aborts the command when the input cannot
// be read: the command must not take what it got for the whole.
func (c *Client) feed(ctx context.Context, id uint32, stdin io.Reader, taken <-chan struct{}, abort context.CancelCauseFunc) {
	buf := make([]byte, maxInput)
	for {
		n, err := stdin.Read(buf)
		if ctx.Err() != nil {
			return // the command has ended
		}
		if n > 0 {
			if c.send(frame{kind: 'i', id: id, payload: buf[:n]}) != nil {
				return // the connection is lost, which ends the command
			}
			select {
			case <-taken:
			case <-ctx.Done():
				return
			}
		}
		if err == io.EOF {
			_ = c.send(frame{kind: 'i', id: id}) // as above
			return
		}
		if err != nil {
			abort(fmt.Errorf("read stdin: %w", err))
			return
		}
	}
}
