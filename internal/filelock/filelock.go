// Package filelock has locks between processes: flock(2) on a file. Closing the file gives its lock
// back, as does the death of the process.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHeld is in the error if another has the lock.
var ErrHeld = errors.New("another process has it")

// Mode is how a lock is shared.
type Mode int

// Modes: one holder, or any number of those who share it.
const (
	Exclusive Mode = unix.LOCK_EX
	Shared    Mode = unix.LOCK_SH
)

// poll is how often Wait tries a lock that another holds.
const poll = 50 * time.Millisecond

// Lock locks an open file if it is free.
func Lock(f *os.File, mode Mode) error {
	err := unix.Flock(int(f.Fd()), int(mode)|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrHeld
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// Open opens a file that is nothing but a lock, and locks it if it is free. It makes the file if need
// be; only who has the lock may remove it.
func Open(path string, mode Mode) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(Lock(f, mode), current(f)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// current returns ErrHeld if the file is not that of its name any more, since who had the lock before
// removed it: the lock is another file's now.
func current(f *os.File) error {
	held, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(f.Name())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(held, there) {
		return fmt.Errorf("lock %s: %w", f.Name(), ErrHeld)
	}
	return err
}

// Wait is Open, but for waiting for the lock for as long as ctx allows.
func Wait(ctx context.Context, path string, mode Mode) (*os.File, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		f, err := Open(path, mode)
		if !errors.Is(err, ErrHeld) {
			return f, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the lock on %s: %w", path, context.Cause(ctx))
		}
	}
}
