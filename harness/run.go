package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"seatrial/harness/event"
	"seatrial/internal/schedule"
	"seatrial/platforms"
)

// Keep says which machines outlive their attempt.
type Keep string

// The values of Options.Keep.
const (
	KeepNever  Keep = "never"
	KeepFailed Keep = "failed"
	KeepAlways Keep = "always"
)

// Options says how a plan is run. Functions must be set unless their comment
// says otherwise, and are called from several goroutines.
type Options struct {
	// Emit records an event. An error ends the run.
	Emit func(event.Body) error
	// ArtifactDir makes the directory of an attempt's artifacts.
	ArtifactDir func(cell event.Cell, n int) (string, error)
	// Reproduce is the command line that runs a cell again, or several in the
	// given order on one machine.
	Reproduce func(...Job) string
	// Facts keeps what is known of images.
	Facts FactsCache
	// Files finds what tests take to their guests.
	Files Files
	// Log is for diagnosis.
	Log *slog.Logger

	// Budget is what machines that run on this host may take of it.
	Budget *schedule.Budget
	// Expected is how long a cell is thought to take, 0 if that is not known:
	// what takes longest starts first. nil keeps the order of the plan.
	Expected func(event.Cell) time.Duration
	// Start says which machines are forked; the zero value is StartAuto.
	Start Start
	// VerifyForks is the share of the passes from forks that is repeated cold,
	// after everything else.
	VerifyForks float64
	// Pack runs tests that are not exclusive together on one machine. Those
	// that fail there run again alone.
	Pack bool
	// Retries is how often a failed cell is tried again to tell flaky from
	// broken. Errors are retried within a budget of their own.
	Retries int
	// Repeat runs each cell so many times, whatever the outcome; 0 means 1.
	Repeat int
	// TimeoutScale multiplies every time limit.
	TimeoutScale float64
	// FailFast ends the run at the first failure.
	FailFast bool
	// Capture writes packet captures beside the artifacts.
	Capture bool
	// Drain, when closed, lets running attempts finish and starts no other.
	Drain <-chan struct{}
	// OnFailure, when not nil, is called with the machines of a failed
	// attempt before they are removed.
	OnFailure func(ctx context.Context, cell event.Cell, machines []platforms.Machine)
	// Keep leaves machines running for KeepFor; Kept is told the handle by
	// which they can be entered. The zero value is KeepNever.
	Keep    Keep
	KeepFor time.Duration
	Kept    func(cell event.Cell, handle string)
	// Done tells which cells need not be run, since an earlier part of the
	// run finished them; nil means none. Tried is the number of attempts that
	// an unfinished cell has had.
	Done  func(event.Cell) bool
	Tried func(event.Cell) int
}

// The retry policy. Numbers are those of a desk and a CI alike: they bound
// what retries can cost, whatever Options.Retries says.
const (
	errorRetries   = 2                // of a cell that ended in an error
	retryBudget    = 10 * time.Minute // per cell, times the guest's slowness, from its first attempt
	massacreCutoff = 10               // failed cells after which nothing is retried
)

// Run runs the jobs and returns how the run ended. The error is not nil when
// events could not be recorded.
func Run(ctx context.Context, jobs []Job, o Options) (event.End, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o.Start, o.Keep = cmp.Or(o.Start, StartAuto), cmp.Or(o.Keep, KeepNever)
	r := &runner{
		opts: &o, cancel: cancel, targets: map[platforms.Platform]*target{},
		stop: make(chan struct{}), woken: make(chan struct{}, 1),
	}
	for _, j := range jobs {
		if r.targets[j.platform] == nil {
			r.targets[j.platform] = newTarget(j.platform, o.Facts, o.Log)
		}
		r.emit(&event.TestPlanned{Cell: j.Cell, Doc: j.Test.Doc, Tags: j.Test.Tags, Subtests: j.subtestNames()})
	}
	r.plan(jobs)
	r.schedule(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end(ctx, len(jobs)), r.err
}

type runner struct {
	opts    *Options
	targets map[platforms.Platform]*target
	cancel  context.CancelCauseFunc
	stop    chan struct{} // closed when no further job shall start
	woken   chan struct{} // holds a token when there may be something to start
	working sync.WaitGroup

	mu      sync.Mutex
	queues  []*queue
	running int   // tasks
	err     error // of recording events
	failed  int   // cells that ended in a failure
	settled int   // cells that need not be run any more
	stopped bool
}

// cell is a job with the attempts that it has had.
type cell struct {
	Job
	target *target
	n      int   // attempts so far
	pack   []Job // in which it failed, this one at the end; nil if it did not
}

func (r *runner) newCell(j Job) *cell {
	c := &cell{Job: j, target: r.targets[j.platform]}
	if r.opts.Tried != nil {
		c.n = r.opts.Tried(j.Cell)
	}
	return c
}

// job runs the attempts of one cell and says how it ended. The lease is for
// its first attempt.
func (r *runner) job(ctx context.Context, c *cell, lease *schedule.Lease) {
	if r.skipped(c) {
		return
	}
	out := r.attempts(ctx, c, lease)
	if isInterrupted(context.Cause(ctx)) && out.Outcome == event.Error {
		return // The cell stays unfinished: resuming the run tries it again.
	}
	r.conclude(ctx, c, out)
}

// skipped finishes a cell that cannot run here.
func (r *runner) skipped(c *cell) bool {
	skip := c.Skip
	if known := c.target.facts(); skip == "" && known.Has != nil {
		if missing := known.Has.Missing(c.Test.Needs.Image...); len(missing) > 0 {
			skip = lacks("image", missing)
		}
	}
	if skip == "" {
		skip = r.opts.Files.missing(c.Test.Needs.Files, c.Cell.Arch)
	}
	if skip == "" {
		return false
	}
	r.emit(&event.TestFinished{Cell: c.Cell, Outcome: event.Skip, Message: skip})
	r.settle()
	return true
}

// finish closes a cell.
func (r *runner) finish(c *cell, out outcome) {
	done := &event.TestFinished{
		Cell: c.Cell, Outcome: out.Outcome, Class: out.Class, Message: clip(out.Message), Attempts: c.n,
	}
	switch {
	case out.Outcome == event.Fail || out.Outcome == event.Error:
		done.Reproduce = r.opts.Reproduce(c.Job)
	case len(c.pack) > 0:
		done.Reproduce = r.opts.Reproduce(c.pack...)
	}
	r.account(out) // first: whoever sees the event may rely on its being counted
	r.emit(done)
	r.settle()
}

// settle counts a cell that is done with.
func (r *runner) settle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settled++
}

// attempts tries a job as often as the policy says. The outcome is that of the
// last attempt if it passed, and else the worst: an error does not refute an
// earlier failure. With Repeat it is always the worst.
func (r *runner) attempts(ctx context.Context, c *cell, lease *schedule.Lease) (out outcome) {
	began := time.Now()
	budget := time.Duration(float64(retryBudget) * c.target.slowness() * r.opts.TimeoutScale)
	worst := outcome{Outcome: event.Pass}
	count := map[event.Outcome]int{}
	for round := 1; ; round++ {
		if lease == nil {
			if lease = r.acquire(ctx, c, r.opts.Start); lease == nil {
				return worst
			}
		}
		out = r.attempt(ctx, c, lease, how{start: r.opts.Start})
		lease = nil
		count[out.Outcome]++
		if round == 1 || severity(out.Outcome) > severity(worst.Outcome) {
			worst = out
		}
		again := round < r.opts.Repeat
		if r.opts.Repeat <= 1 {
			if out.Outcome == event.Pass || out.Outcome == event.Skip {
				return out
			}
			again = count[event.Fail] <= r.opts.Retries && count[event.Error] <= errorRetries &&
				out.Class != event.Harness && time.Since(began) <= budget && !r.tooMany()
		}
		if isInterrupted(context.Cause(ctx)) {
			return out // what this attempt would have shown is not known
		}
		if !again || r.draining(ctx) {
			return worst
		}
	}
}

// severity orders outcomes by how bad they are.
func severity(o event.Outcome) int {
	return slices.Index([]event.Outcome{event.Pass, event.Skip, event.Error, event.Fail}, o)
}

// how says in what way an attempt is made.
type how struct {
	start    Start
	verifies bool
	pack     *pack // whose machine is used; nil for one of its own
}

// attempt makes the next attempt of a cell, and gives its lease back.
func (r *runner) attempt(ctx context.Context, c *cell, lease *schedule.Lease, how how) outcome {
	defer lease.Release()
	c.n++
	kind, _ := r.kind(c.Job, how.start)
	a := &attempt{
		job: c.Job, target: c.target, platform: c.platform, n: c.n, opts: r.opts, record: r.emit,
		start: how.start, verifies: how.verifies, kind: kind, lease: lease, wake: r.wake,
		log: r.opts.Log.With("test", c.Cell.Test, "arch", c.Cell.Arch, "attempt", c.n),
	}
	if how.pack != nil {
		a.platform, a.pack = how.pack, how.pack.with(c.Job)
	}
	var err error
	if a.dir, err = r.opts.ArtifactDir(c.Cell, c.n); err != nil {
		return a.fails(fmt.Errorf("make artifact directory: %w", err))
	}
	return a.run(ctx)
}

// account counts failures and ends the run at the first if so asked.
func (r *runner) account(out outcome) {
	if out.Outcome != event.Fail {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed++
	if r.opts.FailFast && !r.stopped {
		r.stopped = true
		close(r.stop)
	}
}

func (r *runner) tooMany() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed >= massacreCutoff
}

// emit records an event; the first that cannot be recorded ends the run, since
// whatever happened after it would be lost.
func (r *runner) emit(b event.Body) {
	err := r.opts.Emit(b)
	if err == nil {
		return
	}
	r.mu.Lock()
	first := r.err == nil
	if first {
		r.err = err
	}
	r.mu.Unlock()
	if first {
		r.cancel(fmt.Errorf("record events: %w", err))
	}
}

// end says why a run of so many jobs ended. r.mu is held.
func (r *runner) end(ctx context.Context, jobs int) event.End {
	cause := context.Cause(ctx)
	switch {
	case r.err != nil:
		return event.Fault
	case r.settled == jobs:
		return event.Complete
	case errors.Is(cause, ErrDeadline):
		return event.Deadline
	case r.stopped && cause == nil:
		return event.FailFast
	}
	return event.Interrupted
}

// subtestNames lists the names of the selected subtests.
func (j Job) subtestNames() []string {
	var names []string
	for _, s := range j.subtests() {
		names = append(names, s.Name)
	}
	return names
}
