package sshx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// ErrDenied is wrapped by errors of Dial when the guest refused all keys.
var ErrDenied = errors.New("permission denied")

// Step is a part of connecting.
type Step string

// The steps, in their order.
const (
	StepDial      Step = "dial"
	StepHandshake Step = "handshake" // banner and key exchange
	StepLogin     Step = "log in"
)

// DialError says at which step connecting failed.
type DialError struct {
	Step Step
	Err  error
}

func (e *DialError) Error() string { return fmt.Sprintf("ssh %s: %v", e.Step, e.Err) }

func (e *DialError) Unwrap() error { return e.Err }

// state describes the error in a few words that stay the same from try to try.
func (e *DialError) state() string {
	// A user-space network stack has the texts of the errors, not their numbers.
	text := e.Err.Error()
	switch {
	case errors.Is(e.Err, ErrDenied):
		return "permission denied"
	case strings.Contains(text, "refused"):
		return "connection refused"
	case strings.Contains(text, "no route"), strings.Contains(text, "unreachable"):
		return "no route to host"
	case errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("no answer to the %s", e.Step)
	case errors.Is(e.Err, io.EOF), errors.Is(e.Err, syscall.ECONNRESET):
		return fmt.Sprintf("connection closed during the %s", e.Step)
	default:
		return fmt.Sprintf("%s failed", e.Step)
	}
}

// HostKeyError says that the guest has another key than the pinned one.
type HostKeyError struct {
	Want, Got ssh.PublicKey
}

func (e *HostKeyError) Error() string {
	return fmt.Sprintf("host key is %s %s, want %s %s",
		e.Got.Type(), ssh.FingerprintSHA256(e.Got), e.Want.Type(), ssh.FingerprintSHA256(e.Want))
}

// timeoutError is the cause of a context whose time for one step ran out. It
// is a [context.DeadlineExceeded] with a reason.
type timeoutError struct{ text string }

func (e timeoutError) Error() string { return e.text }

func (e timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// loginError marks the errors of a handshake that mean that no key was
// accepted. The library has no type for them.
func loginError(err error) error {
	if strings.Contains(err.Error(), "unable to authenticate") {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return err
}
