// Package cli is the command line: it reads flags and the environment, builds
// the parts of the program, joins them, and turns the result into an exit
// code. What the parts do is theirs.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"seatrial/harness"
	"seatrial/suites"
)

// Env is what the program is given by its surroundings.
type Env struct {
	Stdin          *os.File
	Stdout, Stderr *os.File
	Getenv         func(string) string
	// Interrupts delivers the signals that ask the program to stop.
	Interrupts <-chan os.Signal
}

// The exit codes of CONTRACT.md.
const (
	exitGo      = 0
	exitNoGo    = 1
	exitUsage   = 2
	exitUnknown = 3
)

// app is the program with its surroundings.
type app struct {
	args   []string // the program's name first
	env    Env
	suites []harness.Suite
	log    *slog.Logger
	debug  bool
}

// exitError carries an exit code to Main. A nil Err prints nothing: the
// command has said what there was to say.
type exitError struct {
	Code int
	Err  error
}

func (e *exitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *exitError) Unwrap() error { return e.Err }

// usage marks an error as the fault of what the user typed or wrote.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{Code: exitUsage, Err: err}
}

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// Main runs the program with its arguments, of which the first is its name,
// and returns its exit code.
func Main(args []string, env Env) int {
	a := &app{args: args, env: env, suites: suites.All(), log: slog.New(slog.DiscardHandler)}
	root := a.command()
	root.SetArgs(args[1:])
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return exitGo
	}
	exit, ok := errors.AsType[*exitError](err)
	if !ok {
		exit = &exitError{Code: exitCodeOf(err), Err: err}
	}
	if exit.Err != nil {
		for line := range strings.Lines(exit.Err.Error()) {
			fmt.Fprintf(env.Stderr, "seatrial: %s\n", strings.TrimRight(line, "\n"))
		}
	}
	return exit.Code
}

// exitCodeOf is the code of an error that nobody marked: the fault is the
// environment's, save for what the command line library finds wrong itself.
func exitCodeOf(err error) int {
	if strings.HasPrefix(err.Error(), "unknown command") {
		return exitUsage
	}
	return exitUnknown
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "seatrial",
		Short: "Put OS images through conformance tests",
		Long: `seatrial boots an OS image, puts it through conformance tests, and says whether
it may ship.

Exit codes: 0 go; 1 no-go, something that blocks failed; 2 wrong use; 3 unknown,
the environment kept it from finding out.`,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { a.setLog() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w (`%s --help` shows what there is)", usage(err), cmd.CommandPath())
	})
	root.PersistentFlags().BoolVar(&a.debug, "debug", false, "log diagnosis to standard error")
	root.AddCommand(
		a.runCommand(), a.listCommand(), a.imageCommand(), a.reportCommand(), a.mergeCommand(),
		a.bisectCommand(), a.investigateCommand(),
		a.triageCommand(), a.gateCommand(), a.compareCommand(), a.historyCommand(),
		a.spawnCommand(), a.sshCommand(), a.consoleCommand(), a.gcCommand(), a.doctorCommand(),
		a.versionCommand(), a.clusterHostCommand(),
	)
	return root
}

func (a *app) setLog() {
	level := slog.LevelWarn
	if a.debug {
		level = slog.LevelDebug
	}
	a.log = slog.New(slog.NewTextHandler(a.env.Stderr, &slog.HandlerOptions{Level: level}))
}

// positional wraps cobra's checks of positional arguments so that their errors are
// wrong use.
func positional(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, words []string) error { return usage(check(cmd, words)) }
}

// interruptible returns a context that ends at the first interrupt.
func (a *app) interruptible(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-a.env.Interrupts:
			cancel(harness.ErrInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
