package platforms

import (
	"errors"
	"fmt"
)

// ErrConnectionLost is wrapped by errors of Machine methods when the
// connection to a guest that had been reached broke.
var ErrConnectionLost = errors.New("connection lost")

// ErrUnsupported is wrapped by errors for requests that the platform's
// capabilities exclude.
var ErrUnsupported = errors.New("not supported by the platform")

// ErrMachineGone is wrapped by errors of Machine methods after the machine
// ended.
var ErrMachineGone = errors.New("machine is gone")

// GuestError is an error that is the image's fault, as far as the platform can
// tell.
type GuestError struct {
	Machine string // ID of the machine
	Op      string // what the guest failed to do: "boot", "reboot", "stay up"
	Err     error
}

func (e *GuestError) Error() string {
	return fmt.Sprintf("%s: guest did not %s: %v", e.Machine, e.Op, e.Err)
}

func (e *GuestError) Unwrap() error { return e.Err }
