package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"seatrial/internal/rollup"
	"seatrial/internal/runstore"
	"seatrial/reports"
	"seatrial/reports/console"
)

func (a *app) reportCommand() *cobra.Command {
	var format string
	var required []string
	cmd := &cobra.Command{
		Use: "report DIR", Short: "Write a report of a run to standard output",
		Long: `Write a report of the run in DIR to standard output.

The format "console" is what the run printed; the others are those of the files
in the run directory. The run is judged anew, so other policy files may be given.`,
		Args: positional(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			names, err := readRequired(required)
			if err != nil {
				return err
			}
			policy := rollup.Policy{Required: names}
			if format == "console" {
				return a.replay(words[0], policy)
			}
			f, err := reports.Find(format)
			if err != nil {
				return usage(err)
			}
			result, err := load(words[0], policy)
			if err != nil {
				return noRun(err)
			}
			return f.Write(cmd.OutOrStdout(), result)
		},
	}
	cmd.Flags().StringVar(&format, "format", "console", "console, or a format of the run directory's files")
	cmd.Flags().StringArrayVar(&required, "required", nil, "file of tests that must have run, a line each; repeatable")
	return cmd
}

// noRun makes the error for a directory without a run wrong use.
func noRun(err error) error {
	if errors.Is(err, runstore.ErrNoRun) {
		return usage(err)
	}
	return err
}

// replay prints what the run in dir printed.
func (a *app) replay(dir string, policy rollup.Policy) error {
	c := console.New(a.env.Stdout, console.Options{})
	fold := rollup.New()
	for e, err := range runstore.Read(dir) {
		if err != nil {
			return noRun(err)
		}
		fold.Add(e)
		if err := c.Event(e); err != nil {
			return err
		}
	}
	return c.Summary(judged(fold, policy), dir, "")
}
