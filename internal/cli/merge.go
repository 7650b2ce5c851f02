package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"seatrial/internal/gate"
	"seatrial/internal/rollup"
	"seatrial/internal/runstore"
	"seatrial/reports"
	"seatrial/reports/console"
)

func (a *app) mergeCommand() *cobra.Command {
	var out string
	var files policyFlags
	var past historyFlags
	cmd := &cobra.Command{
		Use: "merge DIR ...", Short: "Merge the shards of a run into one",
		Long: `Merge runs that were shards of one plan (run --shard) into one run directory,
and judge it. What a shard did not finish is missing in the merged run.`,
		Args: positional(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			policy, err := files.policy()
			if err != nil {
				return err
			}
			return a.merge(cmd.Context(), out, policy, past, dirs)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "directory of the merged run (default runs/TIME-ID)")
	files.register(cmd.Flags())
	past.register(cmd.Flags())
	return cmd
}

func (a *app) merge(ctx context.Context, out string, policy rollup.Policy, past historyFlags, dirs []string) error {
	dir, err := runstore.Merge(runstore.Config{Root: runsDir, ID: runstore.NewID(), Dir: out}, dirs...)
	if errors.Is(err, runstore.ErrPlanChanged) || errors.Is(err, runstore.ErrNoRun) || errors.Is(err, runstore.ErrInUse) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	result, policy, err := a.loadWith(ctx, dir, policy, past)
	if err != nil {
		return err
	}
	if err := writeReports(dir, result, nil, reports.Options{}); err != nil {
		return err
	}
	if err := a.record(ctx, past, result, policy, dir); err != nil {
		fmt.Fprintf(a.env.Stderr, "seatrial: the run is not in the history: %v\n", err)
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
