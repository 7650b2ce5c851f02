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
	// Reproduce is the command line that runs a cell again.
	Reproduce func(Job) string
	// Facts keeps what is known of images.
	Facts FactsCache
	// Log is for diagnosis.
	Log *slog.Logger

	// Budget is what machines that run on this host may take of it.
	Budget *schedule.Budget
	// Expected is how long a cell is thought to take, 0 if that is not known:
	// what takes longest starts first. nil keeps the order of the plan.
	Expected func(event.Cell) time.Duration
	// Start says which machines are forked; the zero value is StartAuto.
	Start Start
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

// job runs the attempts of one cell and says how it ended. The lease is for
// its first attempt.
func (r *runner) job(ctx context.Context, j Job, lease *schedule.Lease) {
	t := r.targets[j.platform]
	skip := j.Skip
	if known := t.facts(); skip == "" && known.Has != nil {
		if missing := known.Has.Missing(j.Test.Needs.Image...); len(missing) > 0 {
			skip = lacks("image", missing)
		}
	}
	if skip != "" {
		r.emit(&event.TestFinished{Cell: j.Cell, Outcome: event.Skip, Message: skip})
		r.settle()
		return
	}
	out, attempts := r.attempts(ctx, j, t, lease)
	if isInterrupted(ctx) && out.Outcome == event.Error {
		return // The cell stays unfinished: resuming the run tries it again.
	}
	done := &event.TestFinished{
		Cell: j.Cell, Outcome: out.Outcome, Class: out.Class, Message: clip(out.Message), Attempts: attempts,
	}
	if out.Outcome == event.Fail || out.Outcome == event.Error {
		done.Reproduce = r.opts.Reproduce(j)
	}
	r.emit(done)
	r.settle()
	r.account(out)
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
func (r *runner) attempts(ctx context.Context, j Job, t *target, lease *schedule.Lease) (out outcome, n int) {
	began := time.Now()
	budget := time.Duration(float64(retryBudget) * t.slowness() * r.opts.TimeoutScale)
	if r.opts.Tried != nil {
		n = r.opts.Tried(j.Cell)
	}
	worst := outcome{Outcome: event.Pass}
	count := map[event.Outcome]int{}
	for round := 1; ; round++ {
		if lease == nil {
			if lease = r.acquire(ctx, t, j); lease == nil {
				return worst, n
			}
		}
		n++
		out = r.attempt(ctx, j, t, n, lease)
		lease = nil
		count[out.Outcome]++
		if severity(out.Outcome) > severity(worst.Outcome) {
			worst = out
		}
		again := round < r.opts.Repeat
		if r.opts.Repeat <= 1 {
			if out.Outcome == event.Pass || out.Outcome == event.Skip {
				return out, n
			}
			again = count[event.Fail] <= r.opts.Retries && count[event.Error] <= errorRetries &&
				out.Class != event.Harness && time.Since(began) <= budget && !r.tooMany()
		}
		if isInterrupted(ctx) {
			return out, n // what this attempt would have shown is not known
		}
		if !again || r.draining(ctx) {
			return worst, n
		}
	}
}

// severity orders outcomes by how bad they are.
func severity(o event.Outcome) int {
	return slices.Index([]event.Outcome{event.Pass, event.Skip, event.Error, event.Fail}, o)
}

// attempt makes one attempt, and gives its lease back.
func (r *runner) attempt(ctx context.Context, j Job, t *target, n int, lease *schedule.Lease) outcome {
	defer lease.Release()
	dir, err := r.opts.ArtifactDir(j.Cell, n)
	if err != nil {
		r.emit(&event.AttemptStarted{Cell: j.Cell, N: n, Start: "cold"})
		out := outcome{Outcome: event.Error, Class: event.Infra, Message: fmt.Sprintf("make artifact directory: %v", err)}
		r.emit(&event.AttemptFinished{Cell: j.Cell, N: n, Outcome: out.Outcome, Class: out.Class, Message: out.Message, Start: "cold"})
		return out
	}
	kind, _ := r.kind(j, r.opts.Start)
	a := &attempt{
		job: j, target: t, n: n, dir: dir, opts: r.opts, record: r.emit,
		startPolicy: r.opts.Start, kind: kind, lease: lease, wake: r.wake,
		log: r.opts.Log.With("test", j.Cell.Test, "arch", j.Cell.Arch, "attempt", n),
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
