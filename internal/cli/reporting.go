package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"seatrial/harness/event"
	"seatrial/internal/gate"
	"seatrial/internal/rollup"
	"seatrial/internal/runstore"
	"seatrial/internal/triage/policy"
	"seatrial/reports"
	"seatrial/reports/console"
)

// reporter turns the events of a run into what people and machines read: the
// terminal, and the files of the run directory, which are written anew after
// each test.
type reporter struct {
	store   *runstore.Store
	policy  rollup.Policy
	gate    *policy.Gate
	copies  map[string]string // format to the path of an extra copy
	console *console.Console
	options reports.Options
	out     io.Writer // where people look
	stop    func()    // of the animation

	mu   sync.Mutex
	fold *rollup.Fold
	err  error // the first of a report

	dirty chan struct{} // holds a token when a report is out of date
	done  sync.WaitGroup
}

// newReporter subscribes to the run's events.
func (r *run) newReporter() (*reporter, error) {
	out := r.env.Stdout
	if r.flags.events == "-" {
		out = r.env.Stderr
	}
	rep := &reporter{
		store: r.store, policy: r.policy, gate: r.gate, fold: rollup.New(),
		console: console.New(out, console.ForFile(out, r.env.Getenv("NO_COLOR") != "")),
		copies:  map[string]string{"junit": r.flags.junit, "tap": r.flags.tap, "json": r.flags.json},
		out:     out,
		options: reports.Options{Attachments: r.flags.attachments},
		dirty:   make(chan struct{}, 1),
	}
	rep.policy.ReadText = textsIn(r.store.Dir())
	if r.resumed {
		for e, err := range runstore.Read(r.store.Dir()) {
			if err != nil {
				return nil, err
			}
			rep.fold.Add(e)
			rep.console.Past(e)
		}
	}
	if r.flags.events == "-" {
		r.store.Subscribe("events on standard output", func(e event.Event) error { return event.Encode(r.env.Stdout, e) })
	}
	r.store.Subscribe("terminal", rep.console.Event)
	r.store.Subscribe("reports", rep.take)
	ctx, cancel := context.WithCancel(context.Background())
	rep.done.Go(func() { rep.write(ctx) })
	rep.done.Go(func() {
		if err := rep.console.Animate(ctx); err != nil {
			rep.fail(err)
		}
	})
	rep.stop = cancel
	return rep, nil
}

func (r *reporter) take(e event.Event) error {
	r.mu.Lock()
	r.fold.Add(e)
	r.mu.Unlock()
	if _, ok := e.Body.(*event.TestFinished); ok {
		select {
		case r.dirty <- struct{}{}:
		default:
		}
	}
	return nil
}

// restFactor is how much longer the writer of files rests than it wrote: those
// of thousands of tests take a second, and guests need the CPUs.
const restFactor = 9

// write keeps the files up to date until ctx ends. Tests that finish while
// files are being written, or shortly after, share the next writing.
func (r *reporter) write(ctx context.Context) {
	rest := time.Duration(0)
	for {
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return
		}
		select {
		case <-r.dirty:
			start := time.Now()
			if err := r.files(r.result(false)); err != nil {
				r.fail(err)
			}
			rest = restFactor * time.Since(start)
		case <-ctx.Done():
			return
		}
	}
}

func (r *reporter) files(result rollup.Result) error {
	return writeReports(r.store.Dir(), result, r.copies, r.options)
}

// result is the judged result so far. Until the run is over, rules do without
// consoles, which are long.
func (r *reporter) result(over bool) rollup.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.policy
	if !over {
		p.ReadText = nil
	}
	return judged(r.fold, p, r.gate)
}

// judged is the result of a fold by a policy and a gate policy, nil for the
// default one.
func judged(fold *rollup.Fold, p rollup.Policy, by *policy.Gate) rollup.Result {
	if by != nil {
		p.Required, p.Thresholds = p.Required.And(by.Required), by.Thresholds
	}
	result := rollup.Judge(fold.Result(), p)
	result.Gate = gate.Judge(result, by)
	return result
}

// writeReports writes the result in every format into a run directory, and the
// extra copies, which are given as paths by the name of their format.
func writeReports(dir string, result rollup.Result, copies map[string]string, o reports.Options) error {
	o.Artifacts = os.DirFS(dir)
	errs := []error{reports.WriteAll(result, o, func(name string, content func(io.Writer) error) error {
		return runstore.WriteFile(filepath.Join(dir, name), content)
	})}
	for name, path := range copies {
		if path == "" {
			continue
		}
		f, err := reports.Find(name)
		if err == nil {
			err = f.Save(path, result, o, runstore.WriteFile)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// htmlReport is the path of a run's report for people.
func htmlReport(dir string) string { return filepath.Join(dir, "report.html") }

func (r *reporter) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

// finish writes the last state of every report and the summary.
func (r *reporter) finish() (rollup.Result, error) {
	r.stop()
	r.done.Wait()
	result := r.result(true)
	err := r.files(result)
	r.mu.Lock()
	defer r.mu.Unlock()
	return result, errors.Join(r.err, err, r.console.Summary(result, r.store.Dir(), htmlReport(r.store.Dir())))
}

// note prints a line that is for the person at the terminal only.
func (r *reporter) note(text string) {
	if err := r.console.Note(time.Now(), text); err != nil {
		r.fail(err)
	}
}

// pause lets something else have the terminal until resume is called.
func (r *reporter) pause() (resume func()) {
	again, err := r.console.Pause()
	if err != nil {
		r.fail(err)
	}
	return func() {
		if err := again(); err != nil {
			r.fail(err)
		}
	}
}

// load reads a run directory and judges it.
func load(dir string, policy rollup.Policy) (rollup.Result, error) {
	fold, err := folded(dir)
	if err != nil {
		return rollup.Result{}, err
	}
	policy.ReadText = textsIn(dir)
	return judged(fold, policy, nil), nil
}

// folded reads the facts of a run directory.
func folded(dir string) (*rollup.Fold, error) {
	fold := rollup.New()
	for e, err := range runstore.Read(dir) {
		if err != nil {
			return nil, err
		}
		fold.Add(e)
	}
	return fold, nil
}
