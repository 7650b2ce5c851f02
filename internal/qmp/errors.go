package qmp

import (
	"errors"
	"fmt"
)

// ErrClosed is wrapped by the errors of commands that were given to, or waited on, a connection
// that QEMU or [Monitor.Disconnect] closed.
var ErrClosed = errors.New("qmp connection closed")

// ErrNotConnected is returned for commands before [Monitor.Connect].
var ErrNotConnected = errors.New("qmp monitor is not connected")

// ErrTooLong says that QEMU sent a message above [Options.MaxMessage]. The connection is closed.
var ErrTooLong = errors.New("qmp message too long")

// Error is QEMU's own refusal of a command.
type Error struct {
	Command string
	// Class is the machine-readable kind: "GenericError", "CommandNotFound", "DeviceNotFound" ...
	Class string
	// Desc is for people.
	Desc string
}

func (e *Error) Error() string {
	return fmt.Sprintf("qmp %s: %s (%s)", e.Command, e.Desc, e.Class)
}
