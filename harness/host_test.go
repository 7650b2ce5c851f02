package harness

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/internal/schedule"
	"seatrial/platforms"
	"seatrial/platforms/fake"
)

// TestAdmission: tests run beside each other as far as the host's memory
// goes, and one that alone is too large runs by itself.
func TestAdmission(t *testing.T) {
	const machine = 512 + 100
	tests := []struct {
		name    string
		budget  *schedule.Budget
		remote  bool
		busy    bool
		largest int // tests beside each other
	}{
		{"room for two", schedule.NewBudget(schedule.Cost{MemoryMiB: 2 * machine, CPUs: 99}, 0), false, false, 2},
		{"two slots", schedule.NewBudget(schedule.Cost{MemoryMiB: 1 << 20, CPUs: 99}, 2), false, false, 2},
		{"one CPU, half of one each", schedule.NewBudget(schedule.Cost{MemoryMiB: 1 << 20, CPUs: 1}, 0), false, false, 2},
		{"one CPU, all of one each", schedule.NewBudget(schedule.Cost{MemoryMiB: 1 << 20, CPUs: 1}, 0), false, true, 1},
		{"not of this host", schedule.NewBudget(schedule.Cost{MemoryMiB: 1, CPUs: 1}, 0), true, false, 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, fake.Options{Capabilities: func(c *platforms.Capabilities) { c.Local, c.OverheadMiB = !tt.remote, 100 }})
				e.Budget = tt.budget
				var mu sync.Mutex
				running, largest, beside := map[string]bool{}, 0, 0
				enter := func(name string) {
					mu.Lock()
					defer mu.Unlock()
					running[name] = true
					largest = max(largest, len(running))
					if running["big"] {
						beside = max(beside, len(running)-1)
					}
				}
				run := func(_ context.Context, t *T) {
					enter(t.Name())
					time.Sleep(time.Second)
					mu.Lock()
					defer mu.Unlock()
					delete(running, t.Name())
				}
				big := named("big", run)
				big.Needs.Machines = 3
				tests := []Test{big}
				for i := range 5 {
					small := named(fmt.Sprint("small", i), run)
					small.Needs.Busy = tt.busy
					tests = append(tests, small)
				}
				end := e.run(t.Context(), t, tests...)
				if end != event.Complete || len(e.outcomes()) != 6 {
					t.Errorf("it ended as %s, with %v", end, e.outcomes())
				}
				if largest != tt.largest {
					t.Errorf("%d tests ran beside each other, want %d", largest, tt.largest)
				}
				if tt.name == "room for two" && beside > 0 {
					t.Errorf("%d tests ran beside the one that is too large", beside)
				}
			})
		})
	}
}

// TestResume: what an earlier part of the run finished is not run, and what it
// had begun goes on counting.
func TestResume(t *testing.T) {
	e := newEngine(t, fake.Options{})
	e.Done = func(c event.Cell) bool { return c.Test == "a" }
	e.Tried = func(c event.Cell) int { return map[string]int{"b": 2}[c.Test] }
	end := e.run(t.Context(), t, named("a", fails), named("b", passes))
	if want := map[string]event.Outcome{"b": event.Pass}; end != event.Complete || !cmp.Equal(want, e.outcomes()) {
		t.Errorf("it ended as %s, with %v", end, e.outcomes())
	}
	if got := e.attempts("b"); !cmp.Equal(got, []string{"3 pass"}) || e.finished("b").Attempts != 3 {
		t.Errorf("attempts: %v", got)
	}
}

// TestKeep: which machines outlive their attempt.
func TestKeep(t *testing.T) {
	for keep, want := range map[Keep][]string{KeepNever: nil, KeepFailed: {"b"}, KeepAlways: {"a", "b"}} {
		t.Run(string(keep), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, fake.Options{})
				var kept []string
				var shown []int
				e.Keep, e.KeepFor, e.Budget = keep, time.Hour, one()
				e.Kept = func(c event.Cell, handle string) {
					kept = append(kept, c.Test)
					if handle != c.Test+"-"+c.Arch+"-1" {
						t.Errorf("%s is entered by %q", c.Test, handle)
					}
				}
				e.OnFailure = func(ctx context.Context, c event.Cell, machines []platforms.Machine) {
					shown = append(shown, len(machines))
					if _, err := machines[0].Exec(ctx, platforms.Command{Line: "true"}); err != nil {
						t.Errorf("%s: its machine is gone: %v", c.Test, err)
					}
				}
				two := named("b", fails)
				two.Needs.Machines = 2
				_, err := Run(t.Context(), e.jobs(named("a", passes), two), e.Options)
				if err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if n := watchers(); n > 0 {
					t.Errorf("%d watchers outlive the run", n)
				}
				if !slices.Equal(kept, want) || !slices.Equal(shown, []int{2}) {
					t.Errorf("kept: %v, want %v; shown after failures: %v", kept, want, shown)
				}
				// The end of what was kept belongs to no run any more.
				before := len(of[event.Body](e))
				if err := e.platform.Close(); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if more := of[event.Body](e)[before:]; len(more) > 0 {
					t.Errorf("%d events came after the run, the first %s", len(more), more[0].Type())
				}
			})
		})
	}
}

// watchers counts the goroutines that wait for the end of a machine. Others
// come and go with the runtime's own work.
func watchers() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return strings.Count(string(stacks), ").watchEnd(")
}

// TestCleanupFails: what could not be removed is told, and judges no test.
func TestCleanupFails(t *testing.T) {
	e := newEngine(t, fake.Options{Destroy: func(platforms.ClusterSpec) error { return errors.New("instance is stuck") }})
	e.run(t.Context(), t, named("a", passes))
	left := of[*event.CleanupFailed](e)
	if len(left) != 1 || left[0].Resource != "cluster of a" || !strings.Contains(left[0].Message, "instance is stuck") {
		t.Errorf("left behind: %+v", left)
	}
	if f := e.finished("a"); f.Outcome != event.Pass {
		t.Errorf("the test ended as %s", f.Outcome)
	}
}

// BenchmarkRun runs 10,000 tests that do next to nothing. TMPDIR decides what
// disk the artifacts are written to, and so most of the time that passes.
func BenchmarkRun(b *testing.B) {
	const n = 10_000
	began := usage(b)
	for b.Loop() {
		e := newEngine(b, fake.Options{NoFiles: true})
		e.Emit = func(event.Body) error { return nil }
		e.Budget = schedule.NewBudget(schedule.Cost{MemoryMiB: 16 << 10, CPUs: 16}, 0)
		var tests []Test
		for i := range n {
			tests = append(tests, named(fmt.Sprintf("t%d", i), passes))
		}
		if end, err := Run(b.Context(), e.jobs(tests...), e.Options); end != event.Complete || err != nil {
			b.Fatalf("it ended as %s, %v", end, err)
		}
	}
	ended := usage(b)
	cpu := time.Duration(ended.Utime.Nano() + ended.Stime.Nano() - began.Utime.Nano() - began.Stime.Nano())
	b.ReportMetric(cpu.Seconds()/float64(b.N), "CPU-s/op")
	b.ReportMetric(float64(ended.Maxrss)/1024, "peak-MiB")
}

// usage is what the process has taken so far.
func usage(b *testing.B) (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u
}
