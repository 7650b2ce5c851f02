package harness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"seatrial/harness/event"
	"seatrial/internal/consolecheck"
	"seatrial/internal/schedule"
	"seatrial/platforms"
)

// attempt is one try at a job.
type attempt struct {
	job      Job
	target   *target
	platform platforms.Platform // of the target, or what stands for it
	n        int
	start    Start
	verifies bool
	pack     []Job // that were run on the machine, this one at the end; nil where it is its own
	kind     queueKey
	lease    *schedule.Lease // of what the machines take of this host
	wake     func()          // tells the scheduler that a template was made

	dir    string
	opts   *Options
	log    *slog.Logger
	record func(event.Body)

	ctx    context.Context // of the machines; ends with a cause when one dies
	cancel context.CancelCauseFunc
	began  time.Time
	silent bool // a guest was asked for an answer and gave none

	events sync.RWMutex // held while an event is recorded
	over   bool         // the last event is recorded

	mu          sync.Mutex
	fatal       *event.Finding // the first that fails the test
	stale       *event.Finding // the first that tells of the emulator's fault
	found       int
	provisioned time.Duration
	names       []string
	starts      starts
}

// outcome is how an attempt ended.
type outcome struct {
	Outcome event.Outcome
	Class   event.Class
	Message string

	interrupted bool   // it is an error because the run ended
	start       string // "fork" or "cold"
}

// run does the attempt from its first event to its last.
func (a *attempt) run(ctx context.Context) outcome {
	a.began = time.Now()
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	defer a.cancel(nil)
	a.emit(&event.AttemptStarted{Cell: a.job.Cell, N: a.n, Start: a.planned(), Verifies: a.verifies, Pack: testNames(a.pack)})
	out, took := a.play()
	a.events.Lock()
	defer a.events.Unlock()
	a.over = true
	how, note := a.starts.summary(a.planned())
	a.record(&event.AttemptFinished{
		Cell: a.job.Cell, N: a.n, Outcome: out.Outcome, Class: out.Class, Message: clip(out.Message),
		Signature: a.signature(out), Interrupted: out.interrupted, Start: how, StartNote: clip(note),
		ProvisionSeconds: a.provisioned.Seconds(), Seconds: took.Seconds(), Machines: a.names,
	})
	out.start = how
	return out
}

// fails is the outcome of an attempt that could not even be made.
func (a *attempt) fails(err error) outcome {
	a.emit(&event.AttemptStarted{Cell: a.job.Cell, N: a.n, Start: a.planned()})
	out := outcome{Outcome: event.Error, Class: event.Infra, Message: err.Error(), start: a.planned()}
	a.emit(&event.AttemptFinished{
		Cell: a.job.Cell, N: a.n, Outcome: out.Outcome, Class: out.Class, Message: out.Message, Start: out.start,
	})
	return out
}

// planned is how the attempt's machines shall start.
func (a *attempt) planned() string {
	if a.target.forks(a.start, a.job.Test.Needs, a.job.Test.Needs.Spec) {
		return "fork"
	}
	return "cold"
}

// template makes what is missing to fork a machine of the spec, within the
// budget of a boot. It returns the spec as it has to be booted, and why that is
// cold if it should not be.
func (a *attempt) template(ctx context.Context, spec platforms.MachineSpec, budget time.Duration) (platforms.MachineSpec, error) {
	if spec.Cold || a.target.forker == nil {
		return spec, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, budget, errBootBudget)
	defer cancel()
	err := a.target.template(ctx, spec, a.job.Test.Needs.Exempt)
	spec.Cold = err != nil
	a.takes(!spec.Cold)
	if errors.Is(err, platforms.ErrUnsupported) {
		a.log.Info("cannot be forked", "machine", spec.Name, "why", err)
		err = nil
	}
	return spec, err
}

// noteStart completes a machine's event by how it came to run, and returns that.
func (a *attempt) noteStart(ready *event.MachineReady, m platforms.Machine, noTemplate error) platforms.Start {
	how, fallback := started(m)
	if fallback == nil {
		fallback = noTemplate
	}
	ready.Start = string(how)
	if fallback != nil {
		ready.Fallback = clip(fallback.Error())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.starts.note(ready.Machine, how, fallback)
	a.takes(len(a.starts.cold) == 0)
	return how
}

// takes corrects what the attempt was thought to take of this host.
func (a *attempt) takes(fork bool) {
	switch {
	case !a.kind.forks():
	case fork:
		a.lease.Change(a.kind.cost, a.kind.share)
	default:
		a.lease.Change(a.kind.cold, schedule.Share{})
	}
	a.wake()
}

// play makes the cluster, runs the test in it, and removes it. The time is
// until the outcome was known.
func (a *attempt) play() (outcome, time.Duration) {
	defer func() { a.names = slices.Sorted(slices.Values(a.names)) }()
	pc, err := a.platform.NewCluster(a.ctx, platforms.ClusterSpec{
		Name:     fmt.Sprintf("%s-%s-%d", a.job.Cell.Test, a.job.Cell.Arch, a.n),
		Dir:      a.dir,
		Networks: a.job.Test.Needs.Networks,
		Internet: len(a.job.Test.Needs.Internet) > 0,
		Capture:  a.opts.Capture,
	})
	if err != nil {
		return classify(observed{boot: err, cause: context.Cause(a.ctx)}), time.Since(a.began)
	}
	c := &cluster{a: a, c: pc}
	o := a.observe(c)
	a.lease.Rest()
	c.collect(a.ctx)
	o.fatal, o.stale = a.first(&a.fatal), a.first(&a.stale)
	out := classify(o)
	took := time.Since(a.began)
	if a.afterwards(c, out) {
		c.destroy(a.ctx)
	} else {
		c.leave()
	}
	return out, took
}

// afterwards lets the user into the machines of a failed attempt, and says
// whether the cluster shall be destroyed.
func (a *attempt) afterwards(c *cluster, out outcome) bool {
	if a.pack != nil || a.verifies {
		return true
	}
	failed := out.Outcome == event.Fail || out.Outcome == event.Error
	machines := make([]platforms.Machine, 0, 1)
	for _, g := range c.live() {
		machines = append(machines, g.m)
	}
	if failed && a.opts.OnFailure != nil && len(machines) > 0 {
		a.opts.OnFailure(context.WithoutCancel(a.ctx), a.job.Cell, machines)
	}
	if a.opts.Keep == KeepNever || a.opts.Keep == KeepFailed && !failed || len(machines) == 0 {
		return true
	}
	keeper, ok := c.c.(platforms.Keeper)
	if !ok {
		a.log.Warn("machines cannot be kept on this platform", "platform", a.job.Cell.Platform)
		return true
	}
	handle, err := keeper.Keep(context.WithoutCancel(a.ctx), a.opts.KeepFor)
	if err != nil {
		a.log.Warn("machines could not be kept", "err", err)
		return true
	}
	a.opts.Kept(a.job.Cell, handle)
	return false
}

// observe boots the machines and runs the test, and returns what it saw.
func (a *attempt) observe(c *cluster) (o observed) {
	defer func() { o.cause = context.Cause(a.ctx) }()
	if err := c.bootAll(a.ctx); err != nil {
		o.boot = err
		return o
	}
	a.provisioned = time.Since(a.began)
	facts := a.target.facts()
	if missing := facts.Has.Missing(a.job.Test.Needs.Image...); len(missing) > 0 {
		o.verdict = verdict{skipped: true, msgs: []string{lacks("image", missing)}}
		return o
	}
	ctx, cancel := context.WithTimeoutCause(a.ctx, a.scaled(a.job.Test.timeout()), errTestBudget)
	defer cancel()
	v := a.newT(c, facts, "").call(ctx, prepare, a.scaled(testGrace))
	if !v.failed && v.err == nil {
		v = a.runTest(ctx, c, facts)
	}
	return a.look(ctx, c, v)
}

// prepare prepares the machines that were not when they were started.
func prepare(ctx context.Context, t *T) {
	for _, g := range t.cluster.live() {
		(&Machine{t: t, guest: g}).prepare(ctx)
	}
}

// look finds out what else there is to know when a test, or a part of it, has
// ended with a verdict; ctx is the test's.
func (a *attempt) look(ctx context.Context, c *cluster, v verdict) observed {
	o := observed{verdict: v, timedOut: errors.Is(context.Cause(ctx), errTestBudget)}
	if o.timedOut || errors.Is(v.err, platforms.ErrConnectionLost) || errors.Is(v.err, platforms.ErrMachineGone) {
		o.answers = !a.silent && a.allAnswer(c)
		a.silent = !o.answers
	}
	o.cause = context.Cause(a.ctx)
	return o
}

// errTestBudget is the cause for which a test's context ends when its time is
// up.
var errTestBudget = errors.New("the test's time ran out")

// runTest runs the test function or the selected subtests.
func (a *attempt) runTest(ctx context.Context, c *cluster, facts Facts) verdict {
	grace := a.scaled(testGrace)
	if a.job.Test.Run != nil {
		return a.newT(c, facts, "").call(ctx, a.job.Test.Run, grace)
	}
	var all verdict
	ran := 0
	for _, s := range a.job.subtests() {
		if ctx.Err() != nil {
			break
		}
		v := a.runSubtest(ctx, c, facts, s, grace)
		if !v.skipped {
			ran++
		}
		if v.failed {
			all.failed = true
			all.msgs = append(all.msgs, s.Name+": "+v.message())
		}
		if v.err != nil {
			all.err = fmt.Errorf("%s: %w", s.Name, v.err)
			break
		}
	}
	if ran == 0 && all.err == nil && ctx.Err() == nil {
		all.skipped = true
		all.msgs = append(all.msgs, "every subtest was skipped")
	}
	return all
}

// testGrace is how long a test may go on after its context ended, on a
// machine as fast as the reference.
const testGrace = 5 * time.Second

func (a *attempt) runSubtest(ctx context.Context, c *cluster, facts Facts, s Subtest, grace time.Duration) verdict {
	began := time.Now()
	var v verdict
	if why := a.job.SkipParts[s.Name]; why != "" {
		v = verdict{skipped: true, msgs: []string{why}}
	} else if missing := facts.Has.Missing(s.Image...); len(missing) > 0 {
		v = verdict{skipped: true, msgs: []string{lacks("image", missing)}}
	} else {
		v = a.newT(c, facts, s.Name).call(ctx, s.Run, grace)
	}
	o := a.look(ctx, c, v)
	o.fatal, o.stale = deadFinding(o.cause), a.first(&a.stale)
	out := classify(o)
	a.emit(&event.SubtestFinished{
		Cell: a.job.Cell, N: a.n, Name: s.Name, Outcome: out.Outcome, Class: out.Class,
		Message: clip(out.Message), Seconds: time.Since(began).Seconds(),
	})
	return v
}

func (a *attempt) newT(c *cluster, facts Facts, subtest string) *T {
	return &T{
		cell: a.job.Cell, n: a.n, subtest: subtest, scale: a.scaled(time.Second).Seconds(), dir: a.dir,
		cluster: c, has: a.target.caps.Has, facts: facts, emit: a.emit,
	}
}

// allAnswer reports whether every machine still runs commands. The grace time
// is shared: a guest that hangs costs it once.
func (a *attempt) allAnswer(c *cluster) bool {
	grace := a.scaled(answerGrace)
	guests := c.live()
	answers := make(chan bool, len(guests))
	for _, g := range guests {
		go func() { answers <- g.answers(a.ctx, grace) }()
	}
	all := true
	for range guests {
		all = <-answers && all
	}
	return all
}

// answerGrace is how long a guest may take to run a trivial command before it
// counts as hung, on a machine as fast as the reference.
const answerGrace = 10 * time.Second

// fill completes the spec of machine i from the test's needs.
func (a *attempt) fill(spec platforms.MachineSpec, i int) platforms.MachineSpec {
	needs := a.job.Test.Needs
	if i < needs.MachineCount() {
		spec = needs.Spec
		spec.Disks = slices.Clone(spec.Disks)
	}
	if spec.Name == "" {
		spec.Name = fmt.Sprintf("m%d", i)
	}
	if spec.UserData == nil {
		spec.UserData = []byte(needs.UserData)
	}
	spec.Cold = spec.Cold || needs.Cold || a.target.forker != nil && !a.target.forks(a.start, needs, spec)
	a.mu.Lock()
	a.names = append(a.names, spec.Name)
	a.mu.Unlock()
	return spec
}

// scaled multiplies a duration by the measured slowness of the guest and the
// user's factor.
func (a *attempt) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * a.target.slowness() * a.opts.TimeoutScale)
}

// bootBudget bounds the start of one machine.
func (a *attempt) bootBudget() time.Duration {
	budget := a.job.Test.Needs.BootTimeout
	if budget == 0 {
		budget = DefaultBootTimeout
	}
	factor := 1.0
	if a.target.caps.Accel == "tcg" {
		factor = bootSlowness
	}
	return time.Duration(float64(budget) * factor * a.opts.TimeoutScale)
}

// bootSlowness multiplies boot budgets under emulation, before there is a
// guest whose slowness could be measured. Cold boots of the reference image
// were seen to take from 32 s to 106 s on two cores.
const bootSlowness = 5

// emit records an event, unless the attempt is over: a test that was abandoned
// may still have something to say.
func (a *attempt) emit(b event.Body) {
	a.events.RLock()
	defer a.events.RUnlock()
	if !a.over {
		a.record(b)
	}
}

func (a *attempt) booting(machine, state string) {
	a.emit(&event.MachineBooting{Cell: a.job.Cell, N: a.n, Machine: machine, State: state})
}

// scanner makes the scanner of a machine's console or journal.
func (a *attempt) scanner(machine, source string) *consolecheck.Scanner {
	return a.target.check(source, a.job.Test.Needs.Exempt).Scanner(func(f consolecheck.Finding) {
		e := event.Finding{
			Machine: machine, Source: source, Boot: f.Boot, Line: f.Line, Offset: f.Offset,
			Rule: f.Rule, Title: f.Title, Text: f.Text, Fatal: f.Severity >= consolecheck.Fatal && !f.Secondary,
		}
		a.finding(e)
		if f.Severity == consolecheck.Dead {
			a.cancel(&deadError{e})
		}
	})
}

// maxFindings bounds the findings of an attempt that become events.
const maxFindings = 500

func (a *attempt) finding(e event.Finding) {
	e.Cell, e.N = a.job.Cell, a.n
	a.mu.Lock()
	a.found++
	if e.Fatal && a.fatal == nil {
		a.fatal = &e
	}
	if e.Rule == consolecheck.StaleCode && a.target.caps.StaleCode && a.stale == nil {
		a.stale = &e
	}
	tooMany := a.found > maxFindings
	a.mu.Unlock()
	if !tooMany {
		a.emit(&e)
	}
}

// first is one of the attempt's first findings, or nil.
func (a *attempt) first(kind **event.Finding) *event.Finding {
	a.mu.Lock()
	defer a.mu.Unlock()
	return *kind
}

// signature names what went wrong without the details that differ from run to
// run: the title of the fatal finding, else class and first line.
func (a *attempt) signature(out outcome) string {
	if out.Outcome != event.Fail && out.Outcome != event.Error {
		return ""
	}
	if f := a.first(&a.fatal); f != nil && out.Class == event.Console {
		return f.Title
	}
	return string(out.Class) + ": " + consolecheck.Normalize(firstLine(out.Message))
}

func lacks(who string, missing []platforms.Capability) string {
	what := make([]string, len(missing))
	for i, m := range missing {
		what[i] = string(m)
	}
	return fmt.Sprintf("%s lacks %s", who, joinAnd(what))
}

// subtests lists those that were selected, in their declared order.
func (j Job) subtests() []Subtest {
	if len(j.Subtests) == 0 {
		return j.Test.Subtests
	}
	var selected []Subtest
	for _, s := range j.Test.Subtests {
		if slices.Contains(j.Subtests, s.Name) {
			selected = append(selected, s)
		}
	}
	return selected
}

func (t Test) timeout() time.Duration {
	if t.Timeout == 0 {
		return DefaultTimeout
	}
	return t.Timeout
}
