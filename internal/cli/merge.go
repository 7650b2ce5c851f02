package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"seatrial/internal/gate"
	"seatrial/internal/rollup"
	"seatrial/internal/runstore"
	"seatrial/reports"
	"seatrial/reports/console"
)

func (a *app) mergeCommand() *cobra.Command {
	var out string
	var required []string
	cmd := &cobra.Command{
		Use: "merge DIR ...", Short: "Merge the shards of a run into one",
		Long: `Merge runs that were shards of one plan (run --shard) into one run directory,
and judge it. What a shard did not finish is missing in the merged run.`,
		Args: positional(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, dirs []string) error {
			names, err := readRequired(required)
			if err != nil {
				return err
			}
			return a.merge(out, rollup.Policy{Required: names}, dirs)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "directory of the merged run (default runs/TIME-ID)")
	cmd.Flags().StringArrayVar(&required, "required", nil, "file of tests that must have run, a line each; repeatable")
	return cmd
}

func (a *app) merge(out string, policy rollup.Policy, dirs []string) error {
	dir, err := runstore.Merge(runstore.Config{Root: runsDir, ID: runstore.NewID(), Dir: out}, dirs...)
	if errors.Is(err, runstore.ErrPlanChanged) || errors.Is(err, runstore.ErrNoRun) || errors.Is(err, runstore.ErrInUse) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	result, err := load(dir, policy)
	if err != nil {
		return err
	}
	if err := writeReports(dir, result, nil, reports.Options{}); err != nil {
		return err
	}
	c := console.New(a.env.Stdout, console.ForFile(a.env.Stdout, a.env.Getenv("NO_COLOR") != ""))
	if err := c.Summary(result, dir, htmlReport(dir)); err != nil {
		return err
	}
	if err := a.toGitHub(a.env.Stdout, result, dir); err != nil {
		return err
	}
	return verdictError(result)
}

// verdictError is the exit code of a judged result as an error.
func verdictError(result rollup.Result) error {
	if code := gate.ExitCode(result.Gate.Verdict); code != exitGo {
		return &exitError{Code: code}
	}
	return nil
}
