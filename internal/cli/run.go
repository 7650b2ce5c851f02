package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/kballard/go-shellquote"
	"github.com/spf13/cobra"

	"seatrial/harness"
	"seatrial/harness/event"
	"seatrial/internal/rollup"
	"seatrial/internal/runstore"
	"seatrial/internal/triage/policy"
)

// runsDir is where run directories are made unless --out says otherwise.
const runsDir = "runs"

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [flags] [PATTERN ...]",
		Short: "Run tests on an image and judge it",
		Long: `Run the tests that the patterns match on an image, and say whether it may ship.

A pattern is a glob on test names; TEST/SUBTEST selects a part of a test,
tag:NAME selects by tag, and ! before a pattern excludes what it matches. Without
patterns, every test runs that is not tagged needs-internet, slow or destructive.

The first interrupt lets running tests finish; the second tears down now. An
interrupted run can be gone on with by --resume.`,
		RunE: func(cmd *cobra.Command, words []string) error {
			if err := applyConfig(cmd.Flags(), f.config); err != nil {
				return err
			}
			if err := f.resolveShard(a.env.Getenv); err != nil {
				return err
			}
			if err := f.check(); err != nil {
				return err
			}
			r := &run{app: a, flags: &f}
			return r.main(cmd.Context(), words)
		},
	}
	f.register(cmd.Flags())
	return cmd
}

// run is one execution of the run command.
type run struct {
	*app
	flags    *runFlags
	jobs     []harness.Job
	digest   string // of the whole plan, also when only a shard of it is run
	policy   rollup.Policy
	gate     *policy.Gate
	lasts    func(event.Cell) time.Duration // in earlier runs; nil if that does not matter
	store    *runstore.Store
	progress runstore.Progress
	resumed  bool
	report   *reporter
	watch    func(event.Event) error // told each event, when not nil
	shells   shells
	testing  atomic.Bool // there are tests to finish
}

func (r *run) main(ctx context.Context, words []string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	drain := r.watchInterrupts(cancel)
	if r.flags.maxDuration > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, r.flags.maxDuration, harness.ErrDeadline)
		defer stop()
	}
	selected, err := r.selection(words)
	if err != nil {
		return err
	}
	if r.policy, err = r.flags.policy(); err != nil {
		return err
	}
	if r.gate, err = gatePolicy(r.flags.policyFile); err != nil {
		return err
	}
	machines, err := r.openTargets(ctx, &r.flags.targetFlags)
	if err != nil {
		return err
	}
	defer machines.Close()
	result, err := r.on(ctx, drain, selected, machines)
	if err != nil {
		return err
	}
	return verdictError(result)
}

// on runs the selected tests on the targets.
func (r *run) on(ctx context.Context, drain <-chan struct{}, selected []harness.Selected, machines *targets) (rollup.Result, error) {
	shard, err := r.flags.shardOf()
	if err != nil {
		return rollup.Result{}, usage(err)
	}
	plan := harness.Plan(selected, machines.platforms, r.flags.seed)
	r.jobs, r.digest = harness.InShard(plan, shard), harness.Digest(plan)
	if r.flags.seed == 0 && len(r.jobs) > 1 { // a seed asks for an order of its own
		if r.lasts, err = r.expected(ctx, r.flags.historyFlags); err != nil {
			return rollup.Result{}, err
		}
	}
	applyKnown(r.jobs, r.policy.Known, r.policy.Now, versions(machines.images, r.facts()))
	if err := r.openStore(); err != nil {
		return rollup.Result{}, err
	}
	result, err := r.execute(ctx, drain, shard, machines.images)
	return result, errors.Join(err, r.store.Close())
}

// selection returns the tests that were asked for.
func (r *run) selection(words []string) ([]harness.Selected, error) {
	if r.flags.lastFailed {
		failed, err := lastFailed(filepath.Join(runsDir, "latest"))
		if err != nil {
			return nil, err
		}
		words = append(words, failed...)
	}
	var breakages []harness.Breakage
	for _, word := range r.flags.broken {
		breakages = append(breakages, harness.ParseBreakage(word))
	}
	catalogue, err := harness.Broken(r.catalogue(r.flags.sabotage), breakages)
	if err != nil {
		return nil, usage(fmt.Errorf("--break: %w", err))
	}
	if len(breakages) == 0 {
		return selectTests(catalogue, words)
	}
	var selected []harness.Selected
	if len(words) > 0 {
		if selected, err = selectTests(catalogue, words); err != nil {
			return nil, err
		}
	}
	for _, b := range breakages {
		if !slices.ContainsFunc(selected, func(s harness.Selected) bool { return s.Test.Name == b.Test }) {
			words = append(words, b.Test)
		}
	}
	return selectTests(catalogue, words)
}

// lastFailed lists the tests of a run that did not come out well.
func lastFailed(dir string) ([]string, error) {
	result, err := load(dir, rollup.Policy{})
	if err != nil {
		return nil, usage(err)
	}
	var names []string
	for _, row := range result.Results {
		switch row.Verdict {
		case rollup.Fail, rollup.Error, rollup.Missing:
			names = append(names, row.Test)
		}
	}
	if len(names) == 0 {
		return nil, usagef("--last-failed: nothing failed in %s", dir)
	}
	return unique(names), nil
}

// openStore makes the run directory, or opens the one that is gone on with.
func (r *run) openStore() (err error) {
	if dir := r.flags.resume; dir != "" {
		r.resumed = true
		r.store, r.progress, err = runstore.Resume(dir, r.digest, nil)
		if errors.Is(err, runstore.ErrNoRun) || errors.Is(err, runstore.ErrLocked) || errors.Is(err, runstore.ErrPlanChanged) {
			return usage(err)
		}
		return err
	}
	r.store, err = runstore.Create(runstore.Config{Root: runsDir, ID: runstore.NewID(), Dir: r.flags.out})
	if errors.Is(err, runstore.ErrInUse) || errors.Is(err, runstore.ErrLocked) {
		return usage(err)
	}
	return err
}

// execute runs the plan and returns the judged result.
func (r *run) execute(ctx context.Context, drain <-chan struct{}, shard *event.Shard, images []event.Image) (rollup.Result, error) {
	budget, err := budget(r.flags.slots())
	if err != nil {
		return rollup.Result{}, err
	}
	if r.policy, err = r.remembering(ctx, r.policy, r.flags.historyFlags, r.runID()); err != nil {
		return rollup.Result{}, err
	}
	r.report, err = r.newReporter()
	if err != nil {
		return rollup.Result{}, err
	}
	began := time.Now()
	started := &event.RunStarted{
		ID: r.runID(), Version: versionText(), Command: r.args, Seed: r.flags.seed,
		Host: host(), Images: images, Plan: r.digest, Shard: shard, Resumed: r.resumed,
	}
	if err := r.store.Append(started); err != nil {
		return rollup.Result{}, err
	}
	if r.watch != nil {
		r.store.Subscribe("watch", r.watch)
	}
	r.testing.Store(true)
	end, err := harness.Run(ctx, r.jobs, r.options(budget, drain))
	if err == nil {
		err = r.store.Append(&event.RunFinished{End: end, Seconds: time.Since(began).Seconds()})
	}
	result, reportErr := r.report.finish()
	if r.flags.shard == "" && len(r.flags.broken) == 0 { // shards are recorded when they are merged
		if err := r.record(context.WithoutCancel(ctx), r.flags.historyFlags, result, r.policy, r.store.Dir()); err != nil {
			fmt.Fprintf(r.env.Stderr, "seatrial: the run is not in the history: %v\n", err)
		}
	}
	return result, errors.Join(err, reportErr, r.toGitHub(r.report.out, result, r.store.Dir()))
}

// runID is that of the run which is gone on with, or a new one: the time and
// some digits, which also name the run directory unless --out does.
func (r *run) runID() string {
	switch {
	case r.resumed:
		return r.progress.Run.ID
	case r.flags.out != "":
		return time.Now().UTC().Format("20060102-150405-") + runstore.NewID()
	}
	return filepath.Base(r.store.Dir())
}

// reproduce is the command line that runs a job again, and only it; of several
// jobs, that which runs them in their order on one machine.
func (r *run) reproduce(jobs ...harness.Job) string {
	j := jobs[0]
	words := []string{"seatrial", "run", "--arch", j.Cell.Arch}
	if j.Cell.Platform != "qemu" {
		words = append(words, "--platform", j.Cell.Platform)
	}
	if r.flags.accel != "auto" {
		words = append(words, "--accel", r.flags.accel)
	}
	if r.flags.start != "auto" {
		words = append(words, "--start", r.flags.start)
	}
	if image, err := r.flags.imageFor(j.Cell.Arch); err == nil && image != "" {
		words = append(words, "--image", image)
	}
	if r.flags.timeoutScale != 1 {
		words = append(words, "--timeout-scale", strconv.FormatFloat(r.flags.timeoutScale, 'g', -1, 64))
	}
	if r.flags.sabotage {
		words = append(words, "--sabotage")
	}
	for _, b := range r.flags.broken {
		if slices.ContainsFunc(jobs, func(j harness.Job) bool { return j.Cell.Test == harness.ParseBreakage(b).Test }) {
			words = append(words, "--break", b)
		}
	}
	if len(jobs) > 1 {
		words = append(words, "--pack", "--parallel", "1")
	}
	for _, j := range jobs {
		if len(j.Subtests) == 0 {
			words = append(words, j.Cell.Test)
		}
		for _, s := range j.Subtests {
			words = append(words, j.Cell.Test+"/"+s)
		}
	}
	return shellquote.Join(words...)
}

// watchInterrupts returns a channel that is closed at the first interrupt; the
// second ends the run's context. Before there are tests to finish, the first
// does.
func (r *run) watchInterrupts(cancel context.CancelCauseFunc) <-chan struct{} {
	drain := make(chan struct{})
	go func() {
		<-r.env.Interrupts
		close(drain)
		if r.testing.Load() {
			fmt.Fprintln(r.env.Stderr, "seatrial: interrupted: running tests finish, no others start; once more tears down now")
			<-r.env.Interrupts
		}
		cancel(harness.ErrInterrupted)
	}()
	return drain
}
