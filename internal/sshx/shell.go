package sshx

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"

	"seatrial/platforms"
)

// Shell runs the user's login shell until it ends, on a terminal of the guest
// when term is not nil. The caller puts its own terminal into raw mode. The
// result has no output; errors are those of Run.
func (c *Client) Shell(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, term *platforms.Terminal) (platforms.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := streams{stdin: stdin, stdout: stdout, stderr: stderr}
	result, err := c.session(ctx, s, func(sess *ssh.Session) error {
		if term != nil {
			if err := requestTerminal(ctx, sess, term); err != nil {
				return err
			}
		}
		return sess.Shell()
	})
	if err != nil {
		return result, fmt.Errorf("run a shell: %w", err)
	}
	return result, nil
}

// requestTerminal asks for a terminal that follows the size of term until ctx
// ends.
func requestTerminal(ctx context.Context, sess *ssh.Session, term *platforms.Terminal) error {
	const baud = 38400 // of no effect; what a pseudo-terminal reports
	modes := ssh.TerminalModes{ssh.ECHO: 1, ssh.TTY_OP_ISPEED: baud, ssh.TTY_OP_OSPEED: baud}
	if err := sess.RequestPty(term.Name, term.Size.Rows, term.Size.Columns, modes); err != nil {
		return fmt.Errorf("request a terminal: %w", err)
	}
	if term.Resized == nil {
		return nil
	}
	go func() {
		for {
			select {
			case size, open := <-term.Resized:
				if !open || sess.WindowChange(size.Rows, size.Columns) != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return nil
}
