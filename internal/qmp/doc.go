// Package qmp is a client of the QEMU Machine Protocol.
//
// [Monitor] implements go-qemu's [goqemu.Monitor] interface, so that what is built on that
// interface works with it, and adds what that library's own socket monitor lacks: contexts and
// deadlines for commands, several commands in flight, replies of any size, error classes, and
// events that are neither lost nor able to block a command.
//
// The package knows the protocol (docs/interop/qmp-spec of QEMU) and not its commands: argument
// and result types belong to the callers.
package qmp
