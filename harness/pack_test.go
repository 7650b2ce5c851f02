package harness

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/platforms"
	"seatrial/platforms/fake"
)

// packed is a test that may run on a machine with others.
func packed(name string, run func(context.Context, *T)) Test {
	t := named(name, run)
	t.NonExclusive = true
	return t
}

// packing makes an engine that packs on one machine at a time and counts boots.
func packing(t *testing.T) (*engine, *atomic.Int32) {
	var boots atomic.Int32
	e := newEngine(t, fake.Options{Boot: func(context.Context, *fake.Machine, platforms.MachineSpec) error {
		boots.Add(1)
		return nil
	}})
	e.Pack, e.Budget = true, one()
	return e, &boots
}

// trail lists the attempts with those who ran on the machine, and their outcomes.
func trail(e *engine) []string {
	var all []string
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range e.events {
		switch b := b.(type) {
		case *event.AttemptStarted:
			all = append(all, b.Test+" on ["+strings.Join(b.Pack, " ")+"]")
		case *event.AttemptFinished:
			all[len(all)-1] += " " + string(b.Outcome)
		}
	}
	return all
}

// TestPack: tests that are not exclusive share a machine, and each has results
// and artifacts of its own.
func TestPack(t *testing.T) {
	e, boots := packing(t)
	says := func(text string) func(context.Context, *T) {
		return func(_ context.Context, t *T) {
			m := t.Machine(0).m.(*packMachine).Machine.(*fake.Machine)
			m.Print(text + " on the console\n")
			m.Log("test", text+" in the journal")
		}
	}
	e.run(t.Context(), t, packed("c", says("third")), packed("a", says("first")), packed("b", says("second")), named("d", passes))
	want := []string{"a on [a] pass", "b on [a b] pass", "c on [a b c] pass", "d on [] pass"}
	if diff := cmp.Diff(want, trail(e)); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	if n := boots.Load(); n != 2 {
		t.Errorf("%d boots", n)
	}
	for test, want := range map[string][3]bool{"a": {true, false, false}, "b": {false, true, false}, "c": {false, false, true}} {
		dir, err := e.ArtifactDir(event.Cell{Test: test, Arch: "amd64"}, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"journal.txt", "console.txt"} {
			data, err := os.ReadFile(filepath.Join(dir, "m0", file))
			got := [3]bool{strings.Contains(string(data), "first"), strings.Contains(string(data), "second"), strings.Contains(string(data), "third")}
			if file == "console.txt" && test == "a" {
				want = [3]bool{true, true, true} // that of the machine
			}
			if err != nil || got != want {
				t.Errorf("%s of %s has %v, want %v, %v:\n%s", file, test, got, want, err, data)
			}
		}
	}
}

// TestPackBlame: what fails on a shared machine is run alone, and the outcome
// is that. The others go on.
func TestPackBlame(t *testing.T) {
	leaves := func(ctx context.Context, t *T) { t.Machine(0).Must(ctx, "echo x | tee /tmp/left") }
	finds := func(ctx context.Context, t *T) {
		if t.Machine(0).Status(ctx, "cat /tmp/left") == 0 {
			t.Errorf("there is something left")
		}
	}
	halts := func(ctx context.Context, t *T) { t.Machine(0).MustRoot(ctx, "systemctl poweroff") }
	reboots := func(ctx context.Context, t *T) { t.Machine(0).Reboot(ctx) }
	tests := []struct {
		name      string
		b         func(context.Context, *T)
		trail     []string
		outcome   event.Outcome
		reproduce string
	}{
		{"broken", fails, []string{"a on [a] pass", "b on [a b] fail", "c on [a b c] pass", "b on [] fail"}, event.Fail, "seatrial run b"},
		{"depends on the order", finds, []string{"a on [a] pass", "b on [a b] fail", "c on [a b c] pass", "b on [] pass"}, event.Pass, "seatrial run a b"},
		{"takes the machine along", halts, []string{"a on [a] pass", "b on [a b] fail", "c on [c] pass", "b on [] fail"}, event.Fail, "seatrial run b"},
		{"is exclusive", reboots, []string{"a on [a] pass", "b on [a b] error", "c on [c] pass", "b on [] pass"}, event.Pass, "seatrial run a b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, _ := packing(t)
				end := e.run(t.Context(), t, packed("a", leaves), packed("b", tt.b), packed("c", passes))
				if diff := cmp.Diff(tt.trail, trail(e)); diff != "" || end != event.Complete {
					t.Errorf("it ended as %s, with the attempts (-want +got):\n%s", end, diff)
				}
				f := e.finished("b")
				if f.Outcome != tt.outcome || f.Attempts != 2 || f.Reproduce != tt.reproduce {
					t.Errorf("it ended as %s after %d attempts, reproduced by %q", f.Outcome, f.Attempts, f.Reproduce)
				}
			})
		})
	}
}

// TestPackApart: only what needs the same machine shares one.
func TestPackApart(t *testing.T) {
	e, boots := packing(t)
	large := packed("large", passes)
	large.Needs.Spec.MemoryMiB = 4096
	lone := packed("lone", passes)
	lone.Needs.UserData = "#!/bin/sh\n"
	e.run(t.Context(), t, packed("a", passes), large, lone, packed("b", passes))
	if n := boots.Load(); n != 3 {
		t.Errorf("%d boots, for %v", n, trail(e))
	}
}

// TestVerifyForks: passes from forks are repeated cold after everything else; a
// difference is shown by attempts of their own, and the outcome stands.
func TestVerifyForks(t *testing.T) {
	onlyAsFork := func(_ context.Context, t *T) {
		if how, _ := started(t.Machine(0).m); how == platforms.StartCold {
			t.Errorf("it is cold")
		}
	}
	cold := named("cold", passes)
	cold.Needs.Cold = true
	e := newEngine(t, forking(fake.Options{}))
	e.Budget, e.VerifyForks, e.Retries = one(), 1, 1
	end := e.run(t.Context(), t, named("a", passes), named("b", onlyAsFork), cold)
	var got []string
	for _, a := range of[*event.AttemptStarted](e) {
		if line := a.Test + " " + a.Start; a.Verifies {
			got = append(got, line+" again")
		} else {
			got = append(got, line)
		}
	}
	want := []string{"a fork", "b fork", "cold cold", "a cold again", "b cold again", "b cold again"}
	if diff := cmp.Diff(want, got); diff != "" || end != event.Complete {
		t.Errorf("it ended as %s, with the attempts (-want +got):\n%s", end, diff)
	}
	for test, attempts := range map[string]int{"a": 2, "b": 3, "cold": 1} {
		if f := e.finished(test); f.Outcome != event.Pass || f.Attempts != attempts {
			t.Errorf("%s ended as %s after %d attempts", test, f.Outcome, f.Attempts)
		}
	}
}

// TestVerifyDropped: a run that is drained keeps the passes that it has not
// repeated.
func TestVerifyDropped(t *testing.T) {
	e := newEngine(t, forking(fake.Options{}))
	e.Budget, e.VerifyForks = one(), 1
	end := e.run(t.Context(), t, named("a", passes), named("b", func(context.Context, *T) { close(e.drain) }))
	if want := map[string]event.Outcome{"a": event.Pass, "b": event.Pass}; end != event.Complete || !cmp.Equal(want, e.outcomes()) {
		t.Errorf("it ended as %s, with %v", end, e.outcomes())
	}
}
