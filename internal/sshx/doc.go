// Package sshx reaches a guest over SSH: one multiplexed connection on which
// commands run, files travel, TCP connections are forwarded and the guest is
// rebooted.
//
// Everything that waits has a deadline: dialing, the handshake, and, by the
// context, each command. A peer that falls silent is noticed by keepalives. An
// exit status is data; an error says that the connection or the guest's SSH
// server failed, and wraps [platforms.ErrConnectionLost] when nothing is known
// of a command's fate.
//
// The package knows neither platforms nor images: the caller brings a function
// that opens a connection to the guest's SSH port, and decides whose fault an
// error is.
package sshx
