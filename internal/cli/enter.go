package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"seatrial/platforms"
	"seatrial/platforms/qemu"
)

func (a *app) sshCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ssh [HANDLE [MACHINE]] [-- COMMAND]", Short: "Enter a machine that was kept",
		Long: `Enter a machine that --keep or spawn --detach left running, or run a command on
it and exit with its status. The handle may be left out where there is only one
kept cluster, and the machine where the first is meant.`,
		RunE: func(cmd *cobra.Command, words []string) error {
			where, command := splitCommand(cmd, words)
			return a.withKept(cmd.Context(), where, func(ctx context.Context, m *qemu.Machine) error {
				if len(command) == 0 {
					return a.shell(ctx, m)
				}
				result, err := m.Exec(ctx, platforms.Command{
					Line: strings.Join(command, " "), Stdin: a.env.Stdin, Stdout: a.env.Stdout, Stderr: a.env.Stderr,
				})
				if err == nil && result.ExitCode != 0 {
					err = &exitError{Code: result.ExitCode}
				}
				return err
			})
		},
	}
}

// splitCommand tells the words before "--" from those after it.
func splitCommand(cmd *cobra.Command, words []string) (where, command []string) {
	if i := cmd.ArgsLenAtDash(); i >= 0 {
		return words[:i], words[i:]
	}
	return words, nil
}

func (a *app) consoleCommand() *cobra.Command {
	return &cobra.Command{
		Use: "console [HANDLE [MACHINE]]", Short: "Attach to the serial console of a machine that was kept",
		Long: `Show what a kept machine has printed on its serial console and go on, and type
into it. Ctrl-] leaves it.`,
		RunE: func(cmd *cobra.Command, words []string) error {
			return a.withKept(cmd.Context(), words, func(ctx context.Context, m *qemu.Machine) error {
				conn, err := m.AttachConsole(ctx)
				if err != nil {
					return err
				}
				defer conn.Close()
				if isTerminal(a.env.Stdin) {
					_, restore, err := a.rawTerminal()
					if err != nil {
						return err
					}
					defer restore()
				}
				return a.converse(conn)
			})
		},
	}
}

// leaveKey is Ctrl-], as in telnet.
const leaveKey = 0x1d

// converse connects the terminal to a console until the console ends or the
// user leaves it.
func (a *app) converse(console io.ReadWriter) error {
	ended := make(chan error, 2)
	go func() {
		_, err := io.Copy(a.env.Stdout, console)
		ended <- err
	}()
	go func() { ended <- typeInto(console, a.env.Stdin) }()
	return <-ended
}

// typeInto copies keys until the one that leaves.
func typeInto(w io.Writer, r io.Reader) error {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		keys, _, left := bytes.Cut(buf[:n], []byte{leaveKey})
		if _, err := w.Write(keys); err != nil {
			return err
		}
		if left || errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// withKept calls use with a machine of a kept cluster.
func (a *app) withKept(ctx context.Context, where []string, use func(context.Context, *qemu.Machine) error) error {
	ctx, stop := a.interruptible(ctx)
	defer stop()
	if len(where) > 2 {
		return usagef("want at most a handle and a machine; a command stands after --")
	}
	handle, err := a.keptHandle(where)
	if err != nil {
		return err
	}
	cluster, err := qemu.Attach(ctx, a.runtimeDir(), handle, a.log)
	if errors.Is(err, qemu.ErrNotKept) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	names := cluster.Machines()
	if len(names) == 0 {
		return errors.Join(usagef("cluster %s has no machine any more", handle), cluster.Detach())
	}
	name := names[0]
	if len(where) == 2 {
		name = where[1]
	}
	m := cluster.Machine(name)
	if m == nil {
		return errors.Join(usagef("cluster %s has no machine %s, but %s", handle, name, strings.Join(names, ", ")), cluster.Detach())
	}
	return errors.Join(use(ctx, m), cluster.Detach())
}

// keptHandle is the handle that was given, or that of the only kept cluster.
func (a *app) keptHandle(where []string) (string, error) {
	if len(where) > 0 {
		return where[0], nil
	}
	handles, err := qemu.Kept(a.runtimeDir())
	if err != nil {
		return "", err
	}
	switch len(handles) {
	case 0:
		return "", usagef("no machines are kept; `seatrial spawn --detach` or `seatrial run --keep failed` leave some")
	case 1:
		return handles[0], nil
	}
	return "", usagef("several clusters are kept; say which: %s", strings.Join(handles, ", "))
}
