package rollup

import (
	"fmt"
	"path"
	"slices"

	"seatrial/harness/event"
)

// maxFindings bounds the findings kept of an attempt.
const maxFindings = 100

// cell is the state of the fold for one cell.
type cell struct {
	key      event.Cell
	doc      string
	tags     []string
	declared []string // subtests
	attempts []*attempt
	finished *event.TestFinished

	changed bool
	row     Row // of the last snapshot
}

// attempt is the state of the fold for one attempt.
type attempt struct {
	facts    Attempt
	start    int // which run.started it began after
	machines []*Machine
	subtests []Subtest
	logs     map[string]*tail // by subtest, "" for the test itself
}

// attempt returns attempt n, which begins if it is not known.
func (c *cell) attempt(n int) *attempt {
	for _, a := range c.attempts {
		if a.facts.N == n {
			return a
		}
	}
	a := &attempt{facts: Attempt{N: n}, logs: make(map[string]*tail)}
	c.attempts = append(c.attempts, a)
	return a
}

func (a *attempt) machine(id string) *Machine {
	for _, m := range a.machines {
		if m.ID == id {
			return m
		}
	}
	m := &Machine{ID: id}
	a.machines = append(a.machines, m)
	return m
}

func (a *attempt) ready(b *event.MachineReady) {
	m := a.machine(b.Machine)
	m.State, m.Seconds, m.Addresses, m.Slowness = "ready", b.Seconds, b.Addresses, b.Slowness
	m.Start, m.Fallback = name(b.Start), clip(b.Fallback, maxMessage)
}

func (a *attempt) subtest(b *event.SubtestFinished) {
	s := Subtest{
		Name: b.Name, Message: clip(b.Message, maxMessage),
		Outcome: b.Outcome, Class: b.Class, Seconds: b.Seconds,
	}
	if log := a.logs[b.Name]; log != nil && quiet(b.Outcome) {
		log.shrink(maxPassed)
	}
	if i := slices.IndexFunc(a.subtests, func(s Subtest) bool { return s.Name == b.Name }); i >= 0 {
		a.subtests[i] = s
		return
	}
	a.subtests = append(a.subtests, s)
}

// quiet reports whether little of the output need be kept.
func quiet(o event.Outcome) bool { return o == event.Pass || o == event.Skip }

func (a *attempt) output(subtest string) *tail {
	if a.logs[subtest] == nil {
		a.logs[subtest] = new(tail)
	}
	return a.logs[subtest]
}

// finding keeps the finding. Where there are too many, fatal ones displace
// others.
func (a *attempt) finding(b *event.Finding) {
	f := Finding{
		Machine: b.Machine, Source: name(b.Source), Boot: b.Boot, Line: b.Line, Offset: b.Offset,
		Rule: name(b.Rule), Title: name(b.Title), Text: clip(b.Text, maxFinding), Fatal: b.Fatal,
	}
	if len(a.facts.Findings) < maxFindings {
		a.facts.Findings = append(a.facts.Findings, f)
		return
	}
	a.facts.FindingsCut++
	if !b.Fatal {
		return
	}
	for i, old := range slices.Backward(a.facts.Findings) {
		if !old.Fatal {
			a.facts.Findings = append(slices.Delete(a.facts.Findings, i, i+1), f)
			return
		}
	}
}

// finished closes the attempt. One that is closed after another run.started
// than it began after was cut off, too, and closed by the runner that resumed.
func (a *attempt) finished(b *event.AttemptFinished, starts int) {
	a.facts.Outcome, a.facts.Class, a.facts.Message = b.Outcome, b.Class, clip(b.Message, maxMessage)
	a.facts.Signature = clip(b.Signature, maxMessage)
	a.facts.Start, a.facts.StartNote, a.facts.Machines = b.Start, clip(b.StartNote, maxMessage), b.Machines
	a.facts.ProvisionSeconds, a.facts.Seconds = b.ProvisionSeconds, b.Seconds
	a.facts.Cut = b.Interrupted || a.start != 0 && a.start != starts
	if log := a.logs[""]; log != nil && quiet(b.Outcome) {
		log.shrink(maxPassed)
	}
}

// build makes the row of a snapshot. It shares nothing that later events
// change.
func (c *cell) build(places Places) Row {
	row := Row{
		Test: name(c.key.Test), Suite: name(c.key.Suite),
		Platform: name(c.key.Platform), Arch: name(c.key.Arch),
		Accel: name(c.key.Accel), Image: name(c.key.Image),
		Variant: name(places.Variant(c.key)),
		Doc:     c.doc, Tags: c.tags,
		Attempts: make([]Attempt, 0, len(c.attempts)),
	}
	for _, a := range c.attempts {
		row.Attempts = append(row.Attempts, a.build(places.ArtifactDir(c.key, a.facts.N)))
		row.Seconds += a.facts.Seconds
	}
	var decider *Attempt
	if f := c.finished; f != nil {
		row.Outcome, row.Class, row.Message = f.Outcome, f.Class, clip(f.Message, maxMessage)
		row.Reproduce = clip(f.Reproduce, maxMessage)
		decider = deciding(row.Attempts, f.Outcome)
	} else if n := len(row.Attempts); n > 0 {
		decider = &row.Attempts[n-1]
	}
	row.ForkDiffers, row.PackedOnly = forkDiffers(row.Attempts), packedOnly(row)
	row.Subtests = []Subtest{}
	if decider != nil {
		row.Signature = decider.Signature
		row.Subtests = append(row.Subtests, decider.Subtests...)
	}
	for _, declared := range names(c.declared) {
		if !slices.ContainsFunc(row.Subtests, func(s Subtest) bool { return s.Name == declared }) {
			row.Subtests = append(row.Subtests, Subtest{Name: declared})
		}
	}
	return row
}

// deciding returns the last attempt that ended as the test did and counted for
// it, or nil.
func deciding(attempts []Attempt, o event.Outcome) *Attempt {
	for i := len(attempts) - 1; i >= 0; i-- {
		if attempts[i].Outcome == o && !attempts[i].Verifies {
			return &attempts[i]
		}
	}
	return nil
}

func (a *attempt) build(dir string) Attempt {
	out := a.facts
	out.Artifacts = dir
	out.Machines = names(a.facts.Machines)
	if out.Machines == nil {
		out.Machines = []string{}
	}
	for _, m := range a.machines {
		built := *m
		built.ID = name(m.ID)
		built.Artifacts = path.Join(dir, SafeName(m.ID))
		built.Addresses = names(m.Addresses)
		out.Booted = append(out.Booted, built)
	}
	out.Findings = slices.Clone(a.facts.Findings)
	for i, f := range out.Findings {
		out.Findings[i].Machine = name(f.Machine)
		if f.Source == "console" || f.Source == "journal" {
			out.Findings[i].File = path.Join(dir, SafeName(f.Machine), f.Source+".txt")
		}
	}
	for _, s := range a.subtests {
		if log := a.logs[s.Name]; log != nil {
			s.Output = Printable(log.text())
		}
		s.Name = name(s.Name)
		out.Subtests = append(out.Subtests, s)
	}
	if log := a.logs[""]; log != nil {
		out.Output = Printable(log.text())
	}
	return out
}

// Where is the "FILE:LINE" of a finding, or dir if it has no file.
func (f Finding) Where(dir string) string {
	if f.File == "" {
		return dir
	}
	return fmt.Sprintf("%s:%d", f.File, f.Line)
}

// Evidence is where to look at what a row failed with: the first finding that
// fails it, else the console of its first machine, else the directory of the
// attempt; relative to the run directory, "" if there is nothing.
func (r Row) Evidence() string {
	a := r.failing()
	if a == nil && len(r.Attempts) > 0 {
		a = &r.Attempts[len(r.Attempts)-1]
	}
	switch {
	case a == nil:
		return ""
	case fatal(*a) != nil:
		return fatal(*a).Where(a.Artifacts)
	case len(a.Booted) > 0:
		return path.Join(a.Booted[0].Artifacts, "console.txt")
	}
	return a.Artifacts
}
