package cli

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"seatrial/internal/rollup"
	"seatrial/internal/runstore"
	"seatrial/reports"
	"seatrial/reports/console"
)

func (a *app) reportCommand() *cobra.Command {
	var format string
	var o reports.Options
	var files policyFlags
	var past historyFlags
	cmd := &cobra.Command{
		Use: "report DIR", Short: "Write a report of a run to standard output",
		Long: `Write a report of the run in DIR to standard output.

The run is judged anew, so other policy files may be given. The formats:
  console   what the run printed
  json junit tap matrix html
            the files of the run directory; matrix is Markdown
  csv       the matrix for spreadsheets, a row for each cell
  slide     failing tests under their causes (Markdown)
  issue     the body of an issue for each cluster of failures (Markdown)
  github    annotations for a job of GitHub Actions; run writes them, and the
            job summary, by itself when it runs there`,
		Args: positional(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			policy, err := files.policy()
			if err != nil {
				return err
			}
			if format == "console" {
				return a.replay(cmd.Context(), words[0], policy, past)
			}
			f, err := reports.Find(format)
			if err != nil {
				return usage(err)
			}
			result, _, err := a.loadWith(cmd.Context(), words[0], policy, past)
			if err != nil {
				return err
			}
			o.Artifacts = os.DirFS(words[0])
			err = f.Write(cmd.OutOrStdout(), result, o)
			if errors.Is(err, reports.ErrNoCluster) {
				return usage(err)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", "console", "console, json, junit, tap, matrix, html, csv, slide, issue or github")
	cmd.Flags().StringVar(&o.Cluster, "cluster", "", "with issue: this cluster only")
	cmd.Flags().StringVar(&o.Attachments, "attachments", "", "with junit: what stands before the paths of attachments")
	files.register(cmd.Flags())
	past.register(cmd.Flags())
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
func (a *app) replay(ctx context.Context, dir string, policy rollup.Policy, past historyFlags) error {
	c := console.New(a.env.Stdout, console.Options{})
	for e, err := range runstore.Read(dir) {
		if err != nil {
			return noRun(err)
		}
		if err := c.Event(e); err != nil {
			return err
		}
	}
	result, _, err := a.loadWith(ctx, dir, policy, past)
	if err != nil {
		return err
	}
	return c.Summary(result, dir, "")
}
