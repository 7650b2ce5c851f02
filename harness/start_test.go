package harness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/internal/schedule"
	"seatrial/platforms"
	"seatrial/platforms/fake"
)

// forking makes a fake platform fork its machines.
func forking(o fake.Options) fake.Options {
	before := o.Capabilities
	o.Capabilities = func(c *platforms.Capabilities) {
		c.Has[platforms.Fork], c.Has[platforms.TPM2], c.ForkMiB = true, true, 100
		if before != nil {
			before(c)
		}
	}
	return o
}

// attempted returns the only attempt of a test.
func (e *engine) attempted(t *testing.T, test string) *event.AttemptFinished {
	t.Helper()
	for _, a := range of[*event.AttemptFinished](e) {
		if a.Test == test {
			return a
		}
	}
	t.Fatalf("%s was not attempted", test)
	return nil
}

// TestStartPolicy: which tests start as forks.
func TestStartPolicy(t *testing.T) {
	const script = "#!/bin/sh\n"
	tests := []struct {
		name string
		does Needs
		want map[Start]string
	}{
		{"plain", Needs{}, map[Start]string{"": "fork", StartAuto: "fork", StartFork: "fork", StartCold: "cold"}},
		{"user data", Needs{UserData: script}, map[Start]string{StartAuto: "cold", StartFork: "fork", StartCold: "cold"}},
		{"user data of the spec", Needs{Spec: platforms.MachineSpec{UserData: []byte(script)}}, map[Start]string{StartAuto: "cold", StartFork: "fork"}},
		{"cold", Needs{Cold: true}, map[Start]string{StartAuto: "cold", StartFork: "cold", StartCold: "cold"}},
		{"own key", Needs{Spec: platforms.MachineSpec{NoSSHKey: true}}, map[Start]string{StartAuto: "cold", StartFork: "cold"}},
		{"TPM", Needs{Spec: platforms.MachineSpec{TPM: true}}, map[Start]string{StartAuto: "cold", StartFork: "cold"}},
		{"three machines", Needs{Machines: 3}, map[Start]string{StartAuto: "fork", StartCold: "cold"}},
	}
	for _, tt := range tests {
		for start, want := range tt.want {
			t.Run(tt.name+"/"+string(start), func(t *testing.T) {
				e := newEngine(t, forking(fake.Options{}))
				e.Start = start
				test := named("a", passes)
				test.Needs = tt.does
				e.run(t.Context(), t, test)
				a := e.attempted(t, "a")
				if a.Start != want || a.StartNote != "" || a.Outcome != event.Pass {
					t.Errorf("started %s (%s) and ended as %s: %s", a.Start, a.StartNote, a.Outcome, a.Message)
				}
				for _, m := range of[*event.MachineReady](e) {
					if m.Start != want || m.Fallback != "" {
						t.Errorf("%s started %s: %s", m.Machine, m.Start, m.Fallback)
					}
				}
			})
		}
	}
}

// TestPrepare: machines are prepared once, wherever they come from, and one
// that cannot be has failed the test.
func TestPrepare(t *testing.T) {
	for _, start := range []Start{StartFork, StartCold} {
		t.Run(string(start), func(t *testing.T) {
			spec := platforms.MachineSpec{Prepare: "echo prepared >>/etc/log"}
			e := newEngine(t, forking(fake.Options{}))
			e.Start = start
			good := named("good", func(ctx context.Context, t *T) {
				for _, m := range []*Machine{t.Machine(0), t.Machine(1), t.Boot(ctx, spec)} {
					if got := m.Must(ctx, "cat /etc/log"); got != "prepared" {
						t.Errorf("%s has %q", m.ID(), got)
					}
				}
			})
			good.Needs = Needs{Machines: 2, Spec: spec}
			bad := named("bad", func(_ context.Context, t *T) { t.Errorf("it was run") })
			bad.Needs.Spec.Prepare = "echo no disk >&2; exit 3"
			e.run(t.Context(), t, good, bad)
			if a := e.attempted(t, "good"); a.Outcome != event.Pass || a.Start != string(start) {
				t.Errorf("started %s, ended as %s: %s", a.Start, a.Outcome, a.Message)
			}
			a := e.attempted(t, "bad")
			if a.Outcome != event.Fail || a.Class != event.Assertion || !strings.HasSuffix(a.Message, "exit status 3: no disk") || a.Start != "cold" {
				t.Errorf("started %s, ended as %s/%s: %s", a.Start, a.Outcome, a.Class, a.Message)
			}
		})
	}
}

// TestFallback: what cannot be forked though it should be boots cold, fails no
// test, and is told. A template that cannot be made is tried once.
func TestFallback(t *testing.T) {
	broken := errors.New("state file is truncated")
	var made atomic.Int32
	tests := []struct {
		name string
		fake fake.Options
		note string
		made int32
	}{
		{"restore", fake.Options{Restore: func(context.Context, *fake.Machine, platforms.MachineSpec) error { return broken }},
			"m0 fell back to a cold boot: state file is truncated", 1},
		{"template", fake.Options{Template: func(context.Context, platforms.MachineSpec) error { made.Add(1); return broken }},
			"m0 fell back to a cold boot: make a template: state file is truncated", 1},
		{"template takes too long", fake.Options{Template: func(ctx context.Context, _ platforms.MachineSpec) error {
			made.Add(1)
			<-ctx.Done()
			return context.Cause(ctx)
		}},
			"m0 fell back to a cold boot: make a template: boot took too long", 1},
		{"template cannot boot", fake.Options{Template: func(ctx context.Context, spec platforms.MachineSpec) error {
			made.Add(1)
			fmt.Fprint(spec.Console, "[    1.0] Kernel panic - not syncing: No working init found.\r\n")
			<-ctx.Done()
			return context.Cause(ctx)
		}},
			"m0 fell back to a cold boot: make a template: its console says: kernel panic: No working init found.", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				made.Store(0)
				e := newEngine(t, forking(tt.fake))
				e.Budget = one()
				e.run(t.Context(), t, named("a", passes), named("b", passes))
				for _, name := range []string{"a", "b"} {
					if a := e.attempted(t, name); a.Start != "cold" || a.StartNote != tt.note || a.Outcome != event.Pass {
						t.Errorf("%s started %s (%s) and ended as %s: %s", name, a.Start, a.StartNote, a.Outcome, a.Message)
					}
				}
				for _, m := range of[*event.MachineReady](e) {
					if m.Start != "cold" || !strings.Contains(tt.note, m.Fallback) || m.Fallback == "" {
						t.Errorf("%s started %s: %s", m.Machine, m.Start, m.Fallback)
					}
				}
				if got := made.Load(); tt.fake.Template != nil && got != tt.made {
					t.Errorf("the template was tried %d times, want %d", got, tt.made)
				}
			})
		})
	}
}

// TestMixedStart: an attempt with a cold machine is no attempt on forks.
func TestMixedStart(t *testing.T) {
	e := newEngine(t, forking(fake.Options{}))
	e.run(t.Context(), t, named("a", func(ctx context.Context, t *T) {
		t.Boot(ctx, platforms.MachineSpec{Name: "other", Cold: true})
	}))
	if a := e.attempted(t, "a"); a.Start != "cold" || a.StartNote != "m0 forked, other booted cold" {
		t.Errorf("it started %s (%s)", a.Start, a.StartNote)
	}
}

// TestTemplateMeanwhile: while a template is made, other tests run, and those
// that need it wait without a place in the budget.
func TestTemplateMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const made = 30 * time.Second
		e := newEngine(t, forking(fake.Options{Template: func(context.Context, platforms.MachineSpec) error {
			time.Sleep(made)
			return nil
		}}))
		e.Budget = schedule.NewBudget(schedule.Cost{MemoryMiB: 2 * 512, CPUs: 99}, 0)
		began := time.Now()
		var starts atomic.Pointer[map[string]time.Duration]
		starts.Store(&map[string]time.Duration{})
		e.hook = func(b event.Body) {
			if a, ok := b.(*event.AttemptStarted); ok {
				e.mu.Lock()
				(*starts.Load())[a.Test] = time.Since(began)
				e.mu.Unlock()
			}
		}
		lasting := func(name string, cold bool) Test {
			test := named(name, func(context.Context, *T) { time.Sleep(10 * time.Second) })
			test.Needs.Cold = cold
			return test
		}
		end := e.run(t.Context(), t, lasting("a", true), lasting("b", true), lasting("c", true),
			lasting("f1", false), lasting("f2", false), lasting("f3", false))
		if end != event.Complete {
			t.Errorf("it ended as %s", end)
		}
		// The maker of the template goes first, with a cold test beside it. When
		// there is a template, it has room for the forks that share it.
		want := map[string]time.Duration{"f1": 0, "a": 0, "b": 10 * time.Second, "c": 20 * time.Second, "f2": made, "f3": made}
		if diff := cmp.Diff(want, *starts.Load()); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}
	})
}

// TestForkAdmission: the pages that forks share count once.
func TestForkAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, forking(fake.Options{}))
		e.Budget = schedule.NewBudget(schedule.Cost{MemoryMiB: 512 + 300, CPUs: 99}, 0)
		var running, largest atomic.Int32
		var tests []Test
		for i := range 9 {
			tests = append(tests, named(fmt.Sprint("t", i), func(context.Context, *T) {
				largest.Store(max(largest.Load(), running.Add(1)))
				time.Sleep(time.Second)
				running.Add(-1)
			}))
		}
		e.run(t.Context(), t, tests...)
		if got := largest.Load(); got != 3 {
			t.Errorf("%d forks ran beside each other, want 3", got)
		}
	})
}

// TestLongestFirst: what is known to take long starts first; what is not known
// stands in the middle.
func TestLongestFirst(t *testing.T) {
	e := newEngine(t, fake.Options{})
	e.Budget = one()
	e.Expected = func(c event.Cell) time.Duration {
		return map[string]time.Duration{"b": time.Second, "c": time.Minute, "d": time.Hour}[c.Test]
	}
	e.run(t.Context(), t, named("a", passes), named("b", passes), named("c", passes), named("d", passes))
	var order []string
	for _, a := range of[*event.AttemptStarted](e) {
		order = append(order, a.Test)
	}
	if got := strings.Join(order, " "); got != "d a c b" {
		t.Errorf("the order is %s", got)
	}
}

// TestSlotBeforeTeardown: a test that is over makes room before its machines
// are gone, though not for what needs their memory.
func TestSlotBeforeTeardown(t *testing.T) {
	for _, tt := range []struct {
		name   string
		budget *schedule.Budget
		want   time.Duration // from the end of the first test to the start of the second
	}{
		{"slots", schedule.NewBudget(schedule.Cost{MemoryMiB: 1 << 20, CPUs: 99}, 1), 0},
		{"CPUs", schedule.NewBudget(schedule.Cost{MemoryMiB: 1 << 20, CPUs: 0.5}, 0), 0},
		{"memory", schedule.NewBudget(schedule.Cost{MemoryMiB: 600, CPUs: 99}, 0), time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, fake.Options{Destroy: func(platforms.ClusterSpec) error {
					time.Sleep(time.Minute)
					return nil
				}})
				e.Budget = tt.budget
				var ended, next time.Time
				e.hook = func(b event.Body) {
					if a, ok := b.(*event.AttemptStarted); ok && a.Test == "b" {
						next = time.Now()
					}
				}
				e.run(t.Context(), t, named("a", func(context.Context, *T) { ended = time.Now() }), named("b", passes))
				if got := next.Sub(ended); got != tt.want {
					t.Errorf("the next test started after %s, want %s", got, tt.want)
				}
				if a := e.attempted(t, "a"); a.Seconds > 1 {
					t.Errorf("the attempt took %g s with its teardown", a.Seconds)
				}
			})
		})
	}
}
