package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"seatrial/platforms"
)

const (
	headerSize = 12
	maxPayload = 64 << 10
	maxInput   = 32 << 10 // of a command, on its way at once
)

// NonceSize is the size of the nonce that tells templates apart.
const NonceSize = 16

// frame is one message. id tells commands, and questions, apart.
type frame struct {
	kind    byte
	id      uint32
	payload []byte
}

func (f frame) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(f.kind))
	b = binary.LittleEndian.AppendUint32(b, f.id)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.payload)))
	return append(b, f.payload...)
}

func readFrame(r io.Reader) (frame, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	size := binary.LittleEndian.Uint32(h[8:])
	if size > maxPayload || h[1] != 0 {
		return frame{}, errors.New("what came is no frame")
	}
	f := frame{kind: h[0], id: binary.LittleEndian.Uint32(h[4:]), payload: make([]byte, size)}
	_, err := io.ReadFull(r, f.payload)
	return f, err
}

// number is the payload of frames that hold one.
func (f frame) number() (uint32, error) {
	if len(f.payload) != 4 {
		return 0, fmt.Errorf("a frame %q has %d bytes", f.kind, len(f.payload))
	}
	return binary.LittleEndian.Uint32(f.payload), nil
}

func numbers(ns ...uint32) []byte {
	var b []byte
	for _, n := range ns {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

// Step is one thing that the agent does by itself.
type Step struct {
	what    string
	kind    byte
	payload func() []byte // made when it is sent
}

// SetNonce makes the agent answer knocks with a nonce.
func SetNonce(nonce [NonceSize]byte) Step {
	return Step{"set the nonce", 'n', func() []byte { return nonce[:] }}
}

// SetClock sets the guest's clock to the host's.
func SetClock() Step {
	return Step{"set the clock", 't', func() []byte {
		now := time.Now()
		b := binary.LittleEndian.AppendUint64(nil, uint64(now.Unix()))
		return binary.LittleEndian.AppendUint64(b, uint64(now.Nanosecond()))
	}}
}

// Seed mixes entropy, at most 512 bytes, into the kernel's random generator and reseeds it.
func Seed(entropy []byte) Step {
	return Step{"reseed", 's', func() []byte { return entropy }}
}

// WriteFile writes data to an existing file; AppendFile adds to it, or makes it.
func WriteFile(path, data string) Step { return writeStep(path, data, unix.O_WRONLY) }

// AppendFile adds data to a file, which it makes if need be.
func AppendFile(path, data string) Step {
	return writeStep(path, data, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT)
}

func writeStep(path, data string, flags uint32) Step {
	return Step{"write " + path, 'w', func() []byte {
		b := append(numbers(flags, 0o600, uint32(len(data))), path...)
		return append(append(b, 0), data...)
	}}
}

// SetMAC gives a network interface another address.
func SetMAC(name string, mac []byte) Step {
	return Step{"set the MAC address of " + name, 'm', func() []byte { return append(append([]byte(name), 0), mac...) }}
}

// HasAddress fails with EADDRNOTAVAIL as long as the guest does not have an address, ready for use.
func HasAddress(a netip.Addr) Step {
	return Step{"look for the address " + a.String(), 'a', func() []byte {
		if a.Is4() {
			b := binary.LittleEndian.AppendUint16(nil, unix.AF_INET)
			return append(append(append(b, 0, 0), a.AsSlice()...), make([]byte, 8)...)
		}
		b := binary.LittleEndian.AppendUint16(nil, unix.AF_INET6)
		return append(append(append(b, make([]byte, 6)...), a.AsSlice()...), make([]byte, 4)...)
	}}
}

// Login is how commands are run: as whom, and in what surroundings.
type Login struct {
	UID, GID uint32
	Groups   []uint32
	Umask    uint32
	Dir      string
	Shell    string // program
	Env      []string
}

// command is the payload that runs a line in the login's shell.
func (l Login) command(line string) []byte {
	name := l.Shell[strings.LastIndexByte(l.Shell, '/')+1:]
	argv := []string{name, "-c", line}
	b := numbers(l.UID, l.GID, l.Umask, uint32(len(l.Groups)))
	b = append(b, numbers(l.Groups...)...)
	b = append(b, numbers(uint32(len(argv)), uint32(len(l.Env)))...)
	for _, s := range append(append([]string{l.Dir, l.Shell}, argv...), l.Env...) {
		b = append(append(b, s...), 0)
	}
	return b
}

// exit makes a result of a wait status (wait(2)).
func exit(status uint32) platforms.Result {
	w := syscall.WaitStatus(status)
	if w.Signaled() {
		name := strings.TrimPrefix(unix.SignalName(w.Signal()), "SIG")
		return platforms.Result{ExitCode: 128 + int(w.Signal()), Signal: name}
	}
	return platforms.Result{ExitCode: w.ExitStatus()}
}
