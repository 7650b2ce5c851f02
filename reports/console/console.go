// Package console shows a run on a terminal or in the log of a CI job.
//
// It is fed with events. The plain lines depend on the events alone, so that
// a replayed run reads as the live one did. On a terminal the state of the
// machines at work is drawn below them and drawn over as it changes. At the
// end a summary is made from the judged result.
package console

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// Options says how to show a run. The zero value gives plain lines.
type Options struct {
	// Color allows ANSI colors.
	Color bool
	// Size is that of the terminal in columns and lines; nil if there is
	// none, and nothing is then drawn over. Zero or less means unknown.
	Size func() (columns, lines int)
	// Now is the clock for the live lines; time.Now if nil.
	Now func() time.Time
}

// ForFile returns the options that suit a file: live lines and, unless
// noColor is set, colors if it is a terminal.
func ForFile(f *os.File, noColor bool) Options {
	fd := int(f.Fd())
	if !term.IsTerminal(fd) {
		return Options{}
	}
	return Options{Color: !noColor, Size: func() (int, int) {
		columns, lines, err := term.GetSize(fd)
		if err != nil {
			return 0, 0
		}
		return columns, lines
	}}
}

// Console writes what happens in a run to a writer. It is safe for concurrent
// use.
type Console struct {
	opts Options
	out  io.Writer

	mu      sync.Mutex
	buf     bytes.Buffer // what the current call has to write
	drawn   int          // live lines on the screen
	paused  bool         // something else has the terminal
	started time.Time
	cells   map[event.Cell]*cellState
	planned []event.Cell
	places  rollup.Places
	said    bool // the size of the plan
	done    int
	counts  map[event.Outcome]int
	running []*attemptState
}

// cellState is what the console must remember of a cell.
type cellState struct {
	finished bool
	last     *event.AttemptFinished
}

// attemptState is an attempt at work.
type attemptState struct {
	cell     event.Cell
	n        int
	started  time.Time
	machines []machineState
}

type machineState struct {
	id, state string
	since     time.Time
}

// New returns a Console that writes to w.
func New(w io.Writer, o Options) *Console {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Console{opts: o, out: w, cells: make(map[event.Cell]*cellState), counts: make(map[event.Outcome]int)}
}

// Event takes the next event of the run.
func (c *Console) Event(e event.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.take(e)
	return c.flush()
}

// Past takes an event that happened before a run was resumed: it counts, but
// is not shown again.
func (c *Console) Past(e event.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.take(e)
	c.buf.Reset()
}

func (c *Console) take(e event.Event) {
	switch b := e.Body.(type) {
	case *event.RunStarted:
		c.runStarted(e.Time, b)
	case *event.TestPlanned:
		c.plan(b.Cell)
	case *event.AttemptStarted:
		c.attemptStarted(e.Time, b)
	case *event.MachineBooting:
		c.machine(b.Cell, b.N, b.Machine, "booting "+b.State, e.Time)
	case *event.MachineReady:
		c.machine(b.Cell, b.N, b.Machine, "ready", e.Time)
	case *event.MachineGone:
		c.machine(b.Cell, b.N, b.Machine, "gone: "+b.Reason, e.Time)
	case *event.Finding:
		if b.Fatal {
			c.linef(e.Time, "", red, "console", "%s: %s on %s (%s line %d)", c.label(b.Cell), b.Title, b.Machine, b.Source, b.Line)
		}
	case *event.AttemptFinished:
		c.state(b.Cell).last = b
		c.drop(b.Cell, b.N)
	case *event.TestFinished:
		c.testFinished(e.Time, b)
	case *event.CleanupFailed:
		c.linef(e.Time, "", red, "leftover", "%s: could not remove %s: %s", b.Platform, b.Resource, b.Message)
	case *event.RunFinished:
		c.running = nil
		c.linef(e.Time, "", "", "end", "%s", rollup.EndText(rollup.Run{End: b.End, Message: b.Message}))
	}
}

func (c *Console) state(cell event.Cell) *cellState {
	if c.cells[cell] == nil {
		c.cells[cell] = &cellState{}
	}
	return c.cells[cell]
}

func (c *Console) plan(cell event.Cell) {
	if c.cells[cell] == nil {
		c.state(cell)
		c.planned = append(c.planned, cell)
		c.said = false
	}
}

func (c *Console) runStarted(at time.Time, b *event.RunStarted) {
	first := c.started.IsZero()
	if first {
		c.started = at
	}
	c.running = nil
	what := "run " + b.ID
	if b.Resumed {
		what += " goes on"
	}
	if b.Shard != nil {
		what += fmt.Sprintf(", shard %d of %d", b.Shard.I, b.Shard.N)
	}
	c.linef(at, "", bold, "run", "seatrial %s, %s, seed %d", b.Version, what, b.Seed)
	if !first {
		return
	}
	for _, i := range b.Images {
		text := fmt.Sprintf("%s %s", i.Arch, i.Name)
		if i.SHA256 != "" {
			text += " sha256:" + i.SHA256[:min(12, len(i.SHA256))]
		}
		c.linef(at, "", "", "image", "%s", text)
	}
}

// sayPlan says how many tests there are, once they all are known.
func (c *Console) sayPlan(at time.Time) {
	if c.said {
		return
	}
	c.said = true
	c.places = rollup.NewPlaces(func(yield func(event.Cell) bool) {
		for _, cell := range c.planned {
			if !yield(cell) {
				return
			}
		}
	})
	c.linef(at, "", "", "plan", "%s", view.Plural(len(c.planned), "test"))
}

func (c *Console) attemptStarted(at time.Time, b *event.AttemptStarted) {
	c.sayPlan(at)
	c.running = append(c.running, &attemptState{cell: b.Cell, n: b.N, started: at})
	last := c.state(b.Cell).last
	if last != nil && b.Verifies {
		c.linef(at, "", "", "verify", "%s: attempt %d repeats cold what attempt %d passed as a fork", c.label(b.Cell), b.N, last.N)
		return
	}
	if last != nil && last.Outcome == event.Pass {
		c.linef(at, "", "", "repeat", "%s: attempt %d", c.label(b.Cell), b.N)
		return
	}
	if last != nil {
		c.linef(at, "", yellow, "retry", "%s: attempt %d, since attempt %d ended as %s: %s",
			c.label(b.Cell), b.N, last.N, outcome(last.Outcome, last.Class), brief(last.Message))
		return
	}
	c.linef(at, "", "", "start", "%s (%s)", c.label(b.Cell), b.Start)
}

func (c *Console) testFinished(at time.Time, b *event.TestFinished) {
	c.sayPlan(at)
	state := c.state(b.Cell)
	if !state.finished {
		state.finished = true
		c.done++
		c.counts[b.Outcome]++
	}
	text := c.label(b.Cell)
	if state.last != nil && b.Attempts > 0 {
		text += fmt.Sprintf(" (%s", view.Seconds(state.last.Seconds))
		if b.Attempts > 1 {
			text += fmt.Sprintf(", attempt %d", b.Attempts)
		}
		text += ")"
	}
	if b.Outcome != event.Pass {
		if b.Class != "" {
			text += " " + string(b.Class)
		}
		text += ": " + brief(b.Message)
	}
	c.linef(at, fmt.Sprintf("%*d/%d ", len(fmt.Sprint(len(c.cells))), c.done, len(c.cells)), colorOf(b.Outcome), word(b.Outcome), "%s", text)
}

// machine notes the state of a machine at work.
func (c *Console) machine(cell event.Cell, n int, id, state string, at time.Time) {
	for _, a := range c.running {
		if a.cell != cell || a.n != n {
			continue
		}
		state = strings.TrimSpace(state)
		for i := range a.machines {
			if m := &a.machines[i]; m.id == id {
				m.state = state
				return
			}
		}
		a.machines = append(a.machines, machineState{id, state, at})
		return
	}
}

func (c *Console) drop(cell event.Cell, n int) {
	for i, a := range c.running {
		if a.cell == cell && a.n == n {
			c.running = append(c.running[:i], c.running[i+1:]...)
			return
		}
	}
}

// label names a cell as people do: test, then place.
func (c *Console) label(cell event.Cell) string {
	row := rollup.Row{Platform: cell.Platform, Arch: cell.Arch, Variant: c.places.Variant(cell)}
	return cell.Test + " on " + row.Place()
}

func outcome(o event.Outcome, class event.Class) string {
	if class == "" {
		return string(o)
	}
	return string(o) + "/" + string(class)
}

// word is the outcome as it begins a line; what needs attention is in capitals.
func word(o event.Outcome) string {
	if o == event.Fail || o == event.Error {
		return strings.ToUpper(string(o))
	}
	return string(o)
}

// brief is a message cut to one line of a log.
func brief(message string) string { return view.FirstLine(message, 200) }
