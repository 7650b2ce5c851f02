package sshx

import (
	"context"
	"fmt"

	"golang.org/x/crypto/ssh"

	"seatrial/platforms"
)

// Run runs a command in the login user's shell. A command that ran has a nil
// error, whatever its exit status. When ctx ends first, the command is killed
// as far as the guest's server does that (OpenSSH does not for root, nor for
// what sudo started) and the error wraps the context's cause; when the
// connection ends first, it wraps platforms.ErrConnectionLost. The Result
// holds what had been kept of the output in any case.
//
// After Run has returned, nothing is written to the command's writers. Its
// Stdin may still be read from once, if it was being read when the command
// ended.
func (c *Client) Run(ctx context.Context, cmd platforms.Command) (platforms.Result, error) {
	var stdout, stderr Capture
	s := streams{stdin: cmd.Stdin, stdout: cmd.Stdout, stderr: cmd.Stderr}
	if s.stdout == nil {
		s.stdout = &stdout
	}
	if s.stderr == nil {
		s.stderr = &stderr
	}
	result, err := c.session(ctx, s, func(sess *ssh.Session) error { return sess.Start(cmd.Line) })
	result.Stdout, result.Stderr = stdout.Kept, stderr.Kept
	result.Truncated = stdout.Truncated || stderr.Truncated
	if err != nil {
		return result, fmt.Errorf("run %s: %w", abbreviate(cmd.Line), err)
	}
	return result, nil
}

// abbreviate quotes the beginning of a command line.
func abbreviate(line string) string {
	const limit = 80
	if len(line) <= limit {
		return fmt.Sprintf("%q", line)
	}
	return fmt.Sprintf("%q...", line[:limit])
}

// Capture keeps the first platforms.MaxOutput bytes written to it.
type Capture struct {
	Kept      []byte
	Truncated bool
}

func (c *Capture) Write(p []byte) (int, error) {
	n := min(len(p), platforms.MaxOutput-len(c.Kept))
	c.Kept = append(c.Kept, p[:n]...)
	c.Truncated = c.Truncated || n < len(p)
	return len(p), nil
}
