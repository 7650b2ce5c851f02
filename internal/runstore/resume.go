package runstore

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"seatrial/harness/event"
)

// CutOff is the message of an attempt whose runner died.
const CutOff = "cut off: the runner died"

// Progress is how far a run had come when it was resumed.
type Progress struct {
	// Run is the run.started of the run, as it was last started.
	Run event.RunStarted
	// Planned has the cells in the order in which they were planned.
	Planned []event.Cell
	// Cells has the state of each cell that was planned or begun.
	Cells map[event.Cell]CellProgress
}

// CellProgress is how far a cell had come.
type CellProgress struct {
	Finished bool
	// Attempts counts the attempts begun; the next one has the next number.
	Attempts int
	// Cut counts those of them that were cut off by the death of a runner.
	// They are outside the retry budget.
	Cut int
	// Ended has the attempts that ended by themselves, in order.
	Ended []event.AttemptFinished
}

// Resume opens the run in dir to go on with it under the same plan, and takes
// its lock. A last line that was torn is removed. The caller appends
// a run.started with Resumed set first; right after it the store itself closes
// each attempt that was cut off, as an error of class harness. now is the
// clock; nil means time.Now.
//
// The error wraps ErrNoRun, ErrLocked or ErrPlanChanged where that is the
// reason; the stream is then as it was.
func Resume(dir, plan string, now func() time.Time) (*Store, Progress, error) {
	if now == nil {
		now = time.Now
	}
	file, err := os.OpenFile(filepath.Join(dir, EventsFile), os.O_RDWR, 0)
	if err != nil {
		return nil, Progress{}, openError(dir, err)
	}
	s := newStore(dir, now, file)
	progress, err := s.reopen(plan)
	if err != nil {
		return nil, Progress{}, errors.Join(err, file.Close())
	}
	return s, progress, nil
}

func (s *Store) reopen(plan string) (Progress, error) {
	if err := lock(s.file); err != nil {
		return Progress{}, err
	}
	t := newTracker()
	d := event.NewDecoder(s.file)
	for {
		e, err := d.Decode()
		if err != nil {
			if isEnd(err) {
				break
			}
			return Progress{}, fmt.Errorf("resume %s: %w", s.dir, err)
		}
		s.seq = e.Seq
		s.note(e)
		t.add(e)
	}
	if t.starts == 0 {
		return Progress{}, fmt.Errorf("%w: %s ends before its run began; start a new run", ErrNoRun, s.file.Name())
	}
	if t.progress.Run.Plan != plan {
		return Progress{}, fmt.Errorf("%w: %s has %s, now it is %s; resume with the same tests and images, or start a new run",
			ErrPlanChanged, s.dir, t.progress.Run.Plan, plan)
	}
	s.size = d.Offset()
	if err := s.file.Truncate(s.size); err != nil {
		return Progress{}, fmt.Errorf("resume %s: cut the torn line: %w", s.dir, err)
	}
	s.pending = t.cut()
	return t.progress, nil
}

// tracker follows the attempts of a stream.
type tracker struct {
	progress Progress
	starts   int // run.started events
	open     map[attemptKey]openAttempt
}

type attemptKey struct {
	cell event.Cell
	n    int
}

// openAttempt is an attempt without its end.
type openAttempt struct {
	event.AttemptStarted
	start    int // the number of the run.started before it
	seq      int64
	time     time.Time // when it began
	last     time.Time // when it was last heard of
	machines []string
}

func newTracker() *tracker {
	return &tracker{
		progress: Progress{Cells: make(map[event.Cell]CellProgress)},
		open:     make(map[attemptKey]openAttempt),
	}
}

func (t *tracker) add(e event.Event) {
	switch b := e.Body.(type) {
	case *event.RunStarted:
		t.progress.Run = *b
		t.starts++
	case *event.TestPlanned:
		if _, known := t.progress.Cells[b.Cell]; !known {
			t.progress.Planned = append(t.progress.Planned, b.Cell)
			t.progress.Cells[b.Cell] = CellProgress{}
		}
	case *event.AttemptStarted:
		c := t.progress.Cells[b.Cell]
		c.Attempts = max(c.Attempts, b.N)
		t.progress.Cells[b.Cell] = c
		t.open[attemptKey{b.Cell, b.N}] = openAttempt{AttemptStarted: *b, start: t.starts, seq: e.Seq, time: e.Time, last: e.Time}
	case *event.MachineBooting:
		t.heard(b.Cell, b.N, e.Time, b.Machine)
	case *event.MachineReady:
		t.heard(b.Cell, b.N, e.Time, b.Machine)
	case *event.SubtestFinished:
		t.heard(b.Cell, b.N, e.Time, "")
	case *event.Output:
		t.heard(b.Cell, b.N, e.Time, "")
	case *event.AttemptFinished:
		t.ended(b)
	case *event.TestFinished:
		c := t.progress.Cells[b.Cell]
		c.Finished = true
		t.progress.Cells[b.Cell] = c
	}
}

// ended takes the end of an attempt. One that began under an earlier
// run.started was cut off then and closed when the run was resumed.
func (t *tracker) ended(b *event.AttemptFinished) {
	key := attemptKey{b.Cell, b.N}
	c := t.progress.Cells[b.Cell]
	if a, ok := t.open[key]; ok && a.start != t.starts {
		c.Cut++
	} else {
		c.Ended = append(c.Ended, *b)
	}
	t.progress.Cells[b.Cell] = c
	delete(t.open, key)
}

// heard notes a sign of life of an attempt.
func (t *tracker) heard(cell event.Cell, n int, at time.Time, machine string) {
	key := attemptKey{cell, n}
	a, ok := t.open[key]
	if !ok {
		return
	}
	a.last = at
	if machine != "" && !slices.Contains(a.machines, machine) {
		a.machines = append(a.machines, machine)
	}
	t.open[key] = a
}

// cut counts the open attempts as cut off and returns the events that close
// them, in the order in which the attempts began.
func (t *tracker) cut() []event.Body {
	var open []openAttempt
	for _, a := range t.open {
		open = append(open, a)
	}
	slices.SortFunc(open, func(a, b openAttempt) int { return cmp.Compare(a.seq, b.seq) })
	var bodies []event.Body
	for _, a := range open {
		c := t.progress.Cells[a.Cell]
		c.Cut++
		t.progress.Cells[a.Cell] = c
		bodies = append(bodies, &event.AttemptFinished{
			Cell: a.Cell, N: a.N, Start: a.Start, Outcome: event.Error, Class: event.Harness, Message: CutOff,
			Seconds: a.last.Sub(a.time).Seconds(), Machines: a.machines,
		})
	}
	return bodies
}
