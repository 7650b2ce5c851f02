package runstore

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
)

const plan = "sha256:01"

// cutRun is the stream of a run that died: a is finished, b is at its second
// attempt, c was not begun.
func cutRun() []event.Body {
	a, b, c := cellNamed("a"), cellNamed("b"), cellNamed("c")
	return []event.Body{
		&event.RunStarted{ID: "r", Plan: plan},
		&event.TestPlanned{Cell: a}, &event.TestPlanned{Cell: b}, &event.TestPlanned{Cell: c},
		&event.AttemptStarted{Cell: a, N: 1, Start: "fork"},
		&event.AttemptFinished{Cell: a, N: 1, Outcome: event.Pass, Start: "fork"},
		&event.TestFinished{Cell: a, Outcome: event.Pass, Attempts: 1},
		&event.AttemptStarted{Cell: b, N: 1, Start: "fork"},
		&event.AttemptFinished{Cell: b, N: 1, Outcome: event.Fail, Start: "fork"},
		&event.AttemptStarted{Cell: b, N: 2, Start: "cold"},
		&event.MachineBooting{Cell: b, N: 2, Machine: "m1"},
		&event.MachineReady{Cell: b, N: 2, Machine: "m1"},
		&event.Output{Cell: b, N: 2, Text: "x"},
	}
}

// tear adds half a line to a stream, as a writer that was killed does.
func tear(t *testing.T, dir string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, EventsFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(`{"seq":14,"time":"2026-`); err != nil {
		t.Fatal(err)
	}
}

func resume(t *testing.T, dir string) (*Store, Progress) {
	t.Helper()
	now := begin.Add(time.Hour)
	s, progress, err := Resume(dir, plan, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return s, progress
}

func TestResume(t *testing.T) {
	first := create(t, cutRun()...)
	dir := first.Dir()
	closeStore(t, first)
	tear(t, dir)
	if n := len(readAll(t, dir)); n != 13 {
		t.Fatalf("a torn stream has %d events, want 13", n)
	}

	s, got := resume(t, dir)
	want := Progress{
		Run:     event.RunStarted{ID: "r", Plan: plan},
		Planned: []event.Cell{cellNamed("a"), cellNamed("b"), cellNamed("c")},
		Cells: map[event.Cell]CellProgress{
			cellNamed("a"): {Finished: true, Attempts: 1, Ended: []event.AttemptFinished{{Cell: cellNamed("a"), N: 1, Outcome: event.Pass, Start: "fork"}}},
			cellNamed("b"): {Attempts: 2, Cut: 1, Ended: []event.AttemptFinished{{Cell: cellNamed("b"), N: 1, Outcome: event.Fail, Start: "fork"}}},
			cellNamed("c"): {},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	appendAll(t, s, &event.RunStarted{ID: "r", Plan: plan, Resumed: true})
	closeStore(t, s)
	events := readAll(t, dir)
	if len(events) != 15 {
		t.Fatalf("%d events after resuming, want 15", len(events))
	}
	closed := event.Event{Seq: 15, Time: begin.Add(time.Hour), Body: &event.AttemptFinished{
		Cell: cellNamed("b"), N: 2, Outcome: event.Error, Class: event.Harness, Message: "cut off: the runner died",
		Start: "cold", Seconds: 3, Machines: []string{"m1"},
	}}
	if diff := cmp.Diff(closed, events[14]); diff != "" {
		t.Error(diff)
	}

	// Resumed once more, the attempt that was cut is known to have been.
	s, got = resume(t, dir)
	if b := got.Cells[cellNamed("b")]; b.Cut != 1 || b.Attempts != 2 || len(b.Ended) != 1 {
		t.Errorf("after a second death: %+v", b)
	}
	appendAll(t, s, &event.RunStarted{ID: "r", Plan: plan, Resumed: true})
	closeStore(t, s)
	if n := len(readAll(t, dir)); n != 16 {
		t.Errorf("%d events, want 16: nothing was open", n)
	}

	fold := rollup.New()
	for _, e := range readAll(t, dir) {
		fold.Add(e)
	}
	attempts := fold.Result().Results[1].Attempts
	if attempts[0].Cut || !attempts[1].Cut {
		t.Errorf("the fold does not tell the attempt that was cut: %+v", attempts)
	}
}

func TestResumeRefuses(t *testing.T) {
	tests := []struct {
		name   string
		bodies []event.Body
		spoil  func(t *testing.T, dir string)
		plan   string
		want   error
		text   string
	}{
		{"another plan", cutRun(), nil, "sha256:02", ErrPlanChanged, "has sha256:01, now it is sha256:02"},
		{"not begun", nil, tear, plan, ErrNoRun, "start a new run"},
		{"no stream", cutRun(), func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, EventsFile)); err != nil {
				t.Fatal(err)
			}
		}, plan, ErrNoRun, "has no events.jsonl"},
		{"damaged", cutRun(), func(t *testing.T, dir string) {
			tear(t, dir)
			s, err := os.OpenFile(filepath.Join(dir, EventsFile), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			fmt.Fprintln(s)
		}, plan, nil, "events line 14"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := create(t, tt.bodies...)
			closeStore(t, s)
			if tt.spoil != nil {
				tt.spoil(t, s.Dir())
			}
			before, _ := os.ReadFile(filepath.Join(s.Dir(), EventsFile))
			_, _, err := Resume(s.Dir(), tt.plan, nil)
			if err == nil || !strings.Contains(err.Error(), tt.text) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got error %v, want one of %v that says %q", err, tt.want, tt.text)
			}
			if after, _ := os.ReadFile(filepath.Join(s.Dir(), EventsFile)); string(after) != string(before) {
				t.Error("the stream was changed")
			}
		})
	}
}

func TestLock(t *testing.T) {
	s := create(t, cutRun()...)
	if _, _, err := Resume(s.Dir(), plan, nil); !errors.Is(err, ErrLocked) {
		t.Errorf("resumed while it runs: %v", err)
	}
	closeStore(t, s)
	again, _ := resume(t, s.Dir())
	closeStore(t, again)
}

// killedRunner is the environment variable that makes this test binary a
// runner that writes events into the named directory until it is killed.
const killedRunner = "RUNSTORE_TEST_RUNNER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedRunner); dir != "" {
		os.Exit(runUntilKilled(dir))
	}
	os.Exit(m.Run())
}

func runUntilKilled(dir string) int {
	s, err := Create(Config{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if err := s.Append(&event.RunStarted{ID: "r", Plan: plan}); err != nil {
		return 1
	}
	for n := 1; ; n++ {
		c := cellNamed(fmt.Sprint(n))
		for _, b := range []event.Body{
			&event.AttemptStarted{Cell: c, N: 1},
			&event.Output{Cell: c, N: 1, Text: strings.Repeat("x", 50_000)},
			&event.AttemptFinished{Cell: c, N: 1, Outcome: event.Pass},
			&event.TestFinished{Cell: c, Outcome: event.Pass, Attempts: 1},
		} {
			if err := s.Append(b); err != nil {
				return 1
			}
		}
		fmt.Println(n) // this test is finished, and must not be lost
	}
}

// TestKilled kills a runner at some moment, several times: what it reported as
// finished is there, and the run can be resumed at once.
func TestKilled(t *testing.T) {
	for round := range 5 {
		dir := filepath.Join(t.TempDir(), "run")
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killedRunner+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		finished := 0
		for finished < 3+round {
			if _, err := fmt.Fscanln(out, &finished); err != nil {
				t.Fatalf("the runner ended: %v", err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the runner was not killed")
		}
		s, progress := resume(t, dir)
		for n := 1; n <= finished; n++ {
			if !progress.Cells[cellNamed(fmt.Sprint(n))].Finished {
				t.Errorf("test %d of %d is lost", n, finished)
			}
		}
		appendAll(t, s, &event.RunStarted{ID: "r", Plan: plan, Resumed: true})
		closeStore(t, s)
		readAll(t, dir)
	}
}
