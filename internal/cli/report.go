package cli

import (
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
	var required []string
	var o reports.Options
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
