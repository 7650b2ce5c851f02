package harness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/internal/schedule"
	"seatrial/platforms"
	"seatrial/platforms/fake"
)

func TestRetries(t *testing.T) {
	killed := named("killed", func(ctx context.Context, t *T) {
		faked(t, 0).Kill()
		<-ctx.Done()
	})
	tests := []struct {
		name     string
		retries  int
		repeat   int
		test     Test
		attempts []string
		outcome  event.Outcome
	}{
		{"pass", 1, 0, named("t", passes), []string{"1 pass"}, event.Pass},
		{"fail without retries", 0, 0, failing("t", 1), []string{"1 fail"}, event.Fail},
		{"flaky", 1, 0, failing("t", 1), []string{"1 fail", "2 pass"}, event.Pass},
		{"broken", 2, 0, failing("t", 9), []string{"1 fail", "2 fail", "3 fail"}, event.Fail},
		{"error", 0, 0, killed, []string{"1 error", "2 error", "3 error"}, event.Error},
		{"repeat", 0, 3, named("t", passes), []string{"1 pass", "2 pass", "3 pass"}, event.Pass},
		{"repeat keeps the worst", 5, 3, failing("t", 1), []string{"1 fail", "2 pass", "3 pass"}, event.Fail},
		{"skip is not retried", 5, 0, named("t", func(_ context.Context, t *T) { t.Skipf("no") }), []string{"1 skip"}, event.Skip},
		{"a panic is not retried", 5, 0, named("t", func(context.Context, *T) { panic("boom") }), []string{"1 error"}, event.Error},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, fake.Options{})
				e.Retries, e.Repeat = tt.retries, tt.repeat
				end := e.run(t.Context(), t, tt.test)
				if end != event.Complete || e.err != nil {
					t.Errorf("it ended as %s, %v", end, e.err)
				}
				if diff := cmp.Diff(tt.attempts, e.attempts(tt.test.Name)); diff != "" {
					t.Errorf("attempts (-want +got):\n%s", diff)
				}
				f := e.finished(tt.test.Name)
				if f.Outcome != tt.outcome || f.Attempts != len(tt.attempts) {
					t.Errorf("the test ended as %s after %d attempts, want %s after %d", f.Outcome, f.Attempts, tt.outcome, len(tt.attempts))
				}
				if wrong := tt.outcome == event.Fail || tt.outcome == event.Error; wrong != (f.Reproduce == "seatrial run "+tt.test.Name) {
					t.Errorf("reproduced by %q", f.Reproduce)
				}
			})
		})
	}
}

// TestRetryBudget: what takes long is not tried again for ever.
func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, fake.Options{})
		e.Retries = 100
		slow := named("slow", func(_ context.Context, t *T) {
			time.Sleep(4 * time.Minute)
			t.Errorf("no")
		})
		slow.Timeout = time.Hour
		e.run(t.Context(), t, slow)
		if got := e.finished("slow").Attempts; got != 3 { // it has had 12 minutes then
			t.Errorf("%d attempts", got)
		}
	})
}

// TestMassacre: once so many tests have failed, nothing is tried again. A test
// may have been tried again just before that, so the order of the events says
// which could not.
func TestMassacre(t *testing.T) {
	e := newEngine(t, fake.Options{})
	e.Retries, e.Budget = 1, one()
	var tests []Test
	for i := range 3 * massacreCutoff {
		tests = append(tests, named(fmt.Sprintf("t%02d", i), fails))
	}
	e.run(t.Context(), t, tests...)
	failed, retried, late := 0, 0, map[string]bool{}
	for _, body := range e.events {
		switch b := body.(type) {
		case *event.AttemptFinished:
			if b.N == 1 && failed >= massacreCutoff {
				late[b.Cell.Test] = true
			}
		case *event.TestFinished:
			failed++
			retried += b.Attempts - 1
			if late[b.Cell.Test] && b.Attempts > 1 {
				t.Errorf("%s was tried again after %d failures", b.Cell.Test, massacreCutoff)
			}
		}
	}
	if failed != len(tests) || retried < massacreCutoff || len(late) == 0 {
		t.Errorf("%d failed, %d of them were tried again, %d ended too late for that", failed, retried, len(late))
	}
}

// one is a budget in which one test runs at a time.
func one() *schedule.Budget { return schedule.NewBudget(schedule.Cost{MemoryMiB: 1, CPUs: 1}, 1) }

func TestFailFast(t *testing.T) {
	e := newEngine(t, fake.Options{})
	e.FailFast, e.Budget = true, one()
	end := e.run(t.Context(), t, named("a", passes), named("b", fails), named("c", passes))
	if want := map[string]event.Outcome{"a": event.Pass, "b": event.Fail}; end != event.FailFast || !cmp.Equal(want, e.outcomes()) {
		t.Errorf("it ended as %s, with %v", end, e.outcomes())
	}
	if planned := of[*event.TestPlanned](e); len(planned) != 3 {
		t.Errorf("%d tests are planned", len(planned))
	}
}

// TestDrain: the first interrupt lets what runs finish.
func TestDrain(t *testing.T) {
	drain := func(e *engine) func(context.Context, *T) {
		return func(ctx context.Context, t *T) {
			close(e.drain)
			time.Sleep(10 * time.Second)
			t.Machine(0).Must(ctx, "true")
		}
	}
	t.Run("others wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, fake.Options{})
			e.Budget = one()
			end := e.run(t.Context(), t, named("a", passes), named("b", drain(e)), named("c", passes))
			if want := map[string]event.Outcome{"a": event.Pass, "b": event.Pass}; end != event.Interrupted || !cmp.Equal(want, e.outcomes()) {
				t.Errorf("it ended as %s, with %v", end, e.outcomes())
			}
		})
	})
	t.Run("nothing waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, fake.Options{})
			if end := e.run(t.Context(), t, named("b", drain(e))); end != event.Complete {
				t.Errorf("it ended as %s, though everything ran", end)
			}
		})
	})
	t.Run("no retries", func(t *testing.T) {
		e := newEngine(t, fake.Options{})
		e.Retries = 5
		e.run(t.Context(), t, named("b", func(_ context.Context, t *T) {
			close(e.drain)
			t.Errorf("no")
		}))
		if got := e.attempts("b"); !cmp.Equal(got, []string{"1 fail"}) {
			t.Errorf("attempts: %v", got)
		}
	})
	// The outcome is that of the last attempt, whatever came meanwhile.
	t.Run("while a failure is tried again", func(t *testing.T) {
		e := newEngine(t, fake.Options{})
		e.Retries = 5
		tries := 0
		e.run(t.Context(), t, named("b", func(_ context.Context, t *T) {
			if tries++; tries == 1 {
				t.Errorf("not yet")
				return
			}
			close(e.drain)
		}))
		if f := e.finished("b"); f.Outcome != event.Pass || f.Attempts != 2 {
			t.Errorf("it ended as %s after %d attempts", f.Outcome, f.Attempts)
		}
	})
}

// TestInterrupt: the second interrupt and the deadline end everything at once.
// Unfinished stay a cell whose attempt was cut short, though an earlier one
// failed, and one that had not begun.
func TestInterrupt(t *testing.T) {
	for cause, want := range map[error]event.End{ErrInterrupted: event.Interrupted, ErrDeadline: event.Deadline} {
		for _, failures := range []int{0, 1} {
			t.Run(fmt.Sprintf("%v/after %d failures", cause, failures), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := newEngine(t, fake.Options{})
					e.Budget, e.Retries = one(), 5
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					tries := 0
					hangs := named("b", func(ctx context.Context, t *T) {
						if tries++; tries <= failures {
							t.Fatalf("not yet")
						}
						time.AfterFunc(time.Second, func() { cancel(cause) })
						t.Machine(0).Must(ctx, "sleep infinity")
					})
					tests := []Test{named("a", passes), hangs}
					if failures == 0 { // or it might run before the second attempt
						tests = append(tests, named("c", passes))
					}
					began := time.Now()
					end := e.run(ctx, t, tests...)
					if d := time.Since(began); d > 2*time.Second {
						t.Errorf("it took %v", d)
					}
					if end != want || e.err != nil {
						t.Errorf("it ended as %s, %v", end, e.err)
					}
					if want := map[string]event.Outcome{"a": event.Pass}; !cmp.Equal(want, e.outcomes()) {
						t.Errorf("finished: %v", e.outcomes())
					}
					attempts := []string{"1 fail", "2 error, interrupted"}
					if failures == 0 {
						attempts = []string{"1 error, interrupted"}
					}
					if got := e.attempts("b"); !cmp.Equal(got, attempts) {
						t.Errorf("attempts: %v", got)
					}
				})
			})
		}
	}
}

// TestEmitFails: a run whose events are lost ends at once.
func TestEmitFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, fake.Options{})
		noSpace := errors.New("no space left")
		e.Budget = one()
		e.Emit = func(b event.Body) error {
			if _, ok := b.(*event.MachineReady); ok {
				return noSpace
			}
			return e.record(b)
		}
		began := time.Now()
		end, err := Run(t.Context(), e.jobs(named("a", func(ctx context.Context, t *T) { t.Machine(0).Must(ctx, "sleep infinity") }), named("b", passes)), e.Options)
		if end != event.Fault || !errors.Is(err, noSpace) {
			t.Errorf("it ended as %s, %v", end, err)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("it took %v", d)
		}
		if n := len(of[*event.AttemptStarted](e)); n != 1 {
			t.Errorf("%d attempts were made", n)
		}
		if err := e.platform.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestArtifactDirFails(t *testing.T) {
	e := newEngine(t, fake.Options{})
	e.ArtifactDir = func(event.Cell, int) (string, error) { return "", errors.New("read-only file system") }
	end := e.run(t.Context(), t, named("a", passes))
	f := e.finished("a")
	if end != event.Complete || f.Outcome != event.Error || f.Class != event.Infra || !strings.Contains(f.Message, "read-only file system") {
		t.Errorf("it ended as %s: %+v", end, f)
	}
}

// TestFailureStands: an error after a failure does not refute it.
func TestFailureStands(t *testing.T) {
	tries := 0
	e := newEngine(t, fake.Options{NewCluster: func(platforms.ClusterSpec) error {
		if tries++; tries > 1 {
			return errors.New("no space left")
		}
		return nil
	}})
	e.Retries = 1
	e.run(t.Context(), t, named("a", func(_ context.Context, t *T) { t.Errorf("wrong") }))
	if f := e.finished("a"); f.Outcome != event.Fail || f.Class != event.Assertion {
		t.Errorf("it ended as %s/%s: %s", f.Outcome, f.Class, f.Message)
	}
}
