package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"seatrial/platforms"
)

// shell connects the user's terminal to a login shell in a machine.
func (a *app) shell(ctx context.Context, m platforms.Sheller) error {
	if !isTerminal(a.env.Stdin) {
		return m.Shell(ctx, a.env.Stdin, a.env.Stdout, a.env.Stderr, nil)
	}
	terminal, restore, err := a.rawTerminal()
	if err != nil {
		return err
	}
	defer restore()
	return m.Shell(ctx, a.env.Stdin, a.env.Stdout, a.env.Stderr, terminal)
}

// rawTerminal passes each key on as it is typed until restore is called.
func (a *app) rawTerminal() (*platforms.Terminal, func(), error) {
	fd := int(a.env.Stdin.Fd())
	columns, rows, err := term.GetSize(fd)
	if err != nil {
		return nil, nil, fmt.Errorf("find out the size of the terminal: %w", err)
	}
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, nil, fmt.Errorf("set up the terminal: %w", err)
	}
	resized := make(chan platforms.Size, 1)
	changes := make(chan os.Signal, 1)
	stopped := make(chan struct{})
	signal.Notify(changes, syscall.SIGWINCH)
	go func() {
		for {
			select {
			case <-changes:
				if columns, rows, err := term.GetSize(fd); err == nil {
					select {
					case resized <- platforms.Size{Columns: columns, Rows: rows}:
					case <-stopped:
					}
				}
			case <-stopped:
				return
			}
		}
	}()
	restore := func() {
		signal.Stop(changes)
		close(stopped)
		if err := term.Restore(fd, old); err != nil {
			a.log.Warn("restore the terminal", "err", err)
		}
	}
	return &platforms.Terminal{
		Name: a.env.Getenv("TERM"), Size: platforms.Size{Columns: columns, Rows: rows}, Resized: resized,
	}, restore, nil
}
