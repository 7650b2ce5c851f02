package harness

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"seatrial/harness/event"
	"seatrial/internal/schedule"
	"seatrial/platforms"
	"seatrial/platforms/fake"
)

// engine runs tests on a fake platform and keeps the events.
type engine struct {
	Options
	platform *fake.Platform
	drain    chan struct{}
	hook     func(event.Body) // told each event, when not nil

	mu     sync.Mutex
	events []event.Body
	err    error // of Run
}

// newEngine makes an engine with room for everything and no retries.
func newEngine(t testing.TB, o fake.Options) *engine {
	t.Helper()
	e := &engine{platform: fake.New(o), drain: make(chan struct{})}
	dir := t.TempDir()
	e.Options = Options{
		Emit: e.record,
		ArtifactDir: func(cell event.Cell, n int) (string, error) {
			dir := filepath.Join(dir, cell.Arch, cell.Test, fmt.Sprint(n))
			return dir, os.MkdirAll(dir, 0o777)
		},
		Reproduce: func(js ...Job) string { return "seatrial run " + strings.Join(testNames(js), " ") },
		Facts:     FactsCache{Dir: filepath.Join(dir, "facts")}, Log: slog.New(slog.DiscardHandler),
		Budget: schedule.NewBudget(schedule.Cost{MemoryMiB: 1 << 20, CPUs: 1 << 10}, 0), TimeoutScale: 1,
		Drain: e.drain, Keep: KeepNever,
	}
	return e
}

func (e *engine) record(b event.Body) error {
	e.mu.Lock()
	e.events = append(e.events, b)
	e.mu.Unlock()
	if e.hook != nil {
		e.hook(b)
	}
	return nil
}

// jobs plans tests of the suite "s".
func (e *engine) jobs(tests ...Test) []Job {
	var selected []Selected
	for _, test := range tests {
		selected = append(selected, Selected{Suite: "s", Test: test})
	}
	return Plan(selected, []platforms.Platform{e.platform}, 0)
}

// run runs tests and looks after what they have left behind.
func (e *engine) run(ctx context.Context, t *testing.T, tests ...Test) event.End {
	t.Helper()
	end, err := Run(ctx, e.jobs(tests...), e.Options)
	e.err = err
	if err := e.platform.Close(); err != nil {
		t.Error(err)
	}
	checkOrder(t, e.events)
	return end
}

// of returns the events of a type.
func of[E event.Body](e *engine) []E {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []E
	for _, b := range e.events {
		if body, ok := b.(E); ok {
			found = append(found, body)
		}
	}
	return found
}

// finished returns the end of a test, or nil.
func (e *engine) finished(test string) *event.TestFinished {
	for _, f := range of[*event.TestFinished](e) {
		if f.Test == test {
			return f
		}
	}
	return nil
}

// outcomes lists how the cells ended, by test.
func (e *engine) outcomes() map[string]event.Outcome {
	all := map[string]event.Outcome{}
	for _, f := range of[*event.TestFinished](e) {
		all[f.Test] = f.Outcome
	}
	return all
}

// attempts lists how the attempts of a test ended.
func (e *engine) attempts(test string) []string {
	var all []string
	for _, a := range of[*event.AttemptFinished](e) {
		if a.Test == test {
			how := string(a.Outcome)
			if a.Interrupted {
				how += ", interrupted"
			}
			all = append(all, fmt.Sprintf("%d %s", a.N, how))
		}
	}
	return all
}

// checkOrder checks what holds for the events of every run.
func checkOrder(t *testing.T, events []event.Body) {
	t.Helper()
	type attemptKey struct {
		test string
		n    int
	}
	planned, finished := map[string]bool{}, map[string]bool{}
	open, booted := map[attemptKey]bool{}, map[string]int{}
	bad := func(b event.Body, why string) { t.Errorf("%s: %s", b.Type(), why) }
	within := func(b event.Body, test string, n int) {
		if !open[attemptKey{test, n}] {
			bad(b, fmt.Sprintf("%s: attempt %d is not open", test, n))
		}
	}
	for _, b := range events {
		switch b := b.(type) {
		case *event.TestPlanned:
			if planned[b.Test] {
				bad(b, b.Test+" is planned twice")
			}
			planned[b.Test] = true
		case *event.AttemptStarted:
			if !planned[b.Test] || finished[b.Test] {
				bad(b, b.Test+" is not planned, or finished")
			}
			open[attemptKey{b.Test, b.N}] = true
		case *event.MachineBooting:
			within(b, b.Test, b.N)
			if b.State == "" {
				booted[fmt.Sprint(b.Test, b.N, b.Machine)]++
			}
		case *event.MachineReady:
			within(b, b.Test, b.N)
		case *event.MachineGone:
			within(b, b.Test, b.N)
			booted[fmt.Sprint(b.Test, b.N, b.Machine)]--
		case *event.SubtestFinished:
			within(b, b.Test, b.N)
		case *event.Output:
			within(b, b.Test, b.N)
		case *event.Finding:
			within(b, b.Test, b.N)
		case *event.AttemptFinished:
			within(b, b.Test, b.N)
			delete(open, attemptKey{b.Test, b.N})
		case *event.CleanupFailed:
			clear(booted) // the machines of the cluster stay
		case *event.TestFinished:
			if !planned[b.Test] || finished[b.Test] {
				bad(b, b.Test+" is not planned, or finished twice")
			}
			finished[b.Test] = true
		}
	}
	for key := range open {
		t.Errorf("attempt %d of %s has no end", key.n, key.test)
	}
	for machine, n := range booted {
		if n != 0 {
			t.Errorf("machine %s: %d more starts than ends", machine, n)
		}
	}
}

// faked is the fake machine behind machine i of a test.
func faked(t *T, i int) *fake.Machine { return t.Machine(i).m.(*fake.Machine) }

func passes(ctx context.Context, t *T) { t.Machine(0).Must(ctx, "true") }

func fails(_ context.Context, t *T) { t.Errorf("one is not two") }

// named is a test with the given name.
func named(name string, run func(context.Context, *T)) Test {
	return Test{Name: name, Doc: "Is a test.", Run: run}
}

// failing is a test that fails at its first n attempts.
func failing(name string, n int) Test {
	var mu sync.Mutex
	return named(name, func(_ context.Context, t *T) {
		mu.Lock()
		defer mu.Unlock()
		if n > 0 {
			n--
			t.Errorf("not yet")
		}
	})
}
