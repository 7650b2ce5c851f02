package runstore

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
)

// Merge makes one run of the shards in dirs, which must be of one plan, with
// their artifacts. The order of dirs does not matter.
//
// A shard may be there more than once, or not at all. A cell that finished in
// several runs keeps the attempts of all of them, oldest run first, and its
// last result; one that finished in some keeps those; a cell that finished
// nowhere stays unfinished. The merged stream begins with a run.started of its
// own, then come the plans and then the shards, each from its run.started to
// its run.finished; where a shard has none, one that says so is added. It ends
// with a run.finished for the whole.
//
// The error wraps ErrPlanChanged if the shards are not of one plan.
func Merge(c Config, dirs ...string) (dir string, err error) {
	parts, err := readParts(dirs)
	if err != nil {
		return "", err
	}
	s, err := Create(c)
	if err != nil {
		return "", err
	}
	m := &merger{store: s, parts: parts}
	err = m.merge(c.ID)
	if err = errors.Join(err, s.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("merge: %w", err), os.RemoveAll(s.dir))
	}
	return s.dir, nil
}

// part is the run of one shard.
type part struct {
	dir    string
	run    event.RunStarted // the first one
	shard  event.Shard
	events []event.Event
	end    *event.RunFinished // nil if it was cut off
	places rollup.Places
	cells  map[event.Cell]*partCell
}

// partCell is what a part knows of a cell, and what becomes of it.
type partCell struct {
	attempts int       // the highest number
	finished time.Time // zero if it did not
	kept     bool
	offset   int // added to the numbers of its attempts
}

// readParts reads the shards, leaves out copies of the same run, and puts them
// in order.
func readParts(dirs []string) ([]*part, error) {
	if len(dirs) == 0 {
		return nil, errors.New("merge: no run directories given")
	}
	byRun := make(map[string]*part)
	for _, dir := range dirs {
		p, err := readPart(dir)
		if err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
		key := fmt.Sprintf("%d %s", p.shard.I, p.run.ID)
		if old := byRun[key]; old == nil || len(old.events) < len(p.events) {
			byRun[key] = p
		}
	}
	parts := slices.SortedFunc(maps.Values(byRun), func(a, b *part) int {
		return cmp.Or(cmp.Compare(a.shard.I, b.shard.I), a.events[0].Time.Compare(b.events[0].Time), cmp.Compare(a.run.ID, b.run.ID))
	})
	for _, p := range parts[1:] {
		first := parts[0]
		if p.run.Plan != first.run.Plan || p.shard.N != first.shard.N {
			return nil, fmt.Errorf("merge: %w: %s has %s in %d shards, %s has %s in %d; merge shards of one run only",
				ErrPlanChanged, first.dir, first.run.Plan, first.shard.N, p.dir, p.run.Plan, p.shard.N)
		}
	}
	return parts, nil
}

func readPart(dir string) (*part, error) {
	p := &part{dir: dir, cells: make(map[event.Cell]*partCell)}
	for e, err := range Read(dir) {
		if err != nil {
			return nil, err
		}
		p.add(e)
	}
	if p.run.ID == "" {
		return nil, fmt.Errorf("%w: %s ends before its run began", ErrNoRun, dir)
	}
	if p.run.Shard == nil || p.run.Shard.I < 1 || p.run.Shard.I > p.run.Shard.N {
		return nil, fmt.Errorf("%s is not a shard of a run (made with --shard i/n)", dir)
	}
	p.shard = *p.run.Shard
	p.places = rollup.NewPlaces(maps.Keys(p.cells))
	return p, nil
}

func (p *part) add(e event.Event) {
	p.events = append(p.events, e)
	switch b := e.Body.(type) {
	case *event.RunStarted:
		if p.run.ID == "" {
			p.run = *b
		}
		p.end = nil
	case *event.RunFinished:
		p.end = b
	case *event.TestPlanned:
		p.cell(b.Cell)
	case *event.AttemptStarted:
		c := p.cell(b.Cell)
		c.attempts = max(c.attempts, b.N)
	case *event.TestFinished:
		p.cell(b.Cell).finished = e.Time
	}
}

func (p *part) cell(key event.Cell) *partCell {
	if p.cells[key] == nil {
		p.cells[key] = &partCell{}
	}
	return p.cells[key]
}

// merger writes the merged run.
type merger struct {
	store *Store
	parts []*part
}

func (m *merger) merge(id string) error {
	m.choose()
	start, end := m.whole(id)
	if err := m.store.record(m.parts[0].events[0].Time, start, false); err != nil {
		return err
	}
	if err := m.plan(); err != nil {
		return err
	}
	last := time.Time{}
	for _, p := range m.parts {
		if err := m.part(p); err != nil {
			return err
		}
		if at := p.events[len(p.events)-1].Time; at.After(last) {
			last = at
		}
	}
	if err := m.store.record(last, end, false); err != nil {
		return err
	}
	return m.artifacts()
}

// choose decides whose events of each cell are kept.
func (m *merger) choose() {
	cells := make(map[event.Cell][]*partCell)
	for _, p := range m.parts {
		for key, c := range p.cells {
			cells[key] = append(cells[key], c)
		}
	}
	for _, all := range cells {
		// The sort is stable: the order of the parts settles ties.
		slices.SortStableFunc(all, func(a, b *partCell) int {
			return cmp.Or(a.finished.Compare(b.finished), cmp.Compare(a.attempts, b.attempts))
		})
		best := all[len(all)-1]
		offset := 0
		for _, c := range all {
			c.kept = c == best || !c.finished.IsZero()
			if c.kept {
				c.offset = offset
				offset += c.attempts
			}
		}
	}
}

// whole makes the first and the last event of the merged stream.
func (m *merger) whole(id string) (*event.RunStarted, *event.RunFinished) {
	start := m.parts[0].run
	start.ID, start.Shard, start.Resumed = id, nil, false
	start.Images = nil
	end := &event.RunFinished{End: event.Complete}
	complete := make(map[int]bool)
	for _, p := range m.parts {
		for _, image := range p.run.Images {
			if !slices.ContainsFunc(start.Images, func(i event.Image) bool { return i.Name == image.Name && i.Arch == image.Arch }) {
				start.Images = append(start.Images, image)
			}
		}
		for _, e := range p.events {
			if b, ok := e.Body.(*event.RunFinished); ok {
				end.Seconds += b.Seconds
			}
		}
		complete[p.shard.I] = complete[p.shard.I] || p.end != nil && p.end.End == event.Complete
	}
	for i := range m.parts[0].shard.N {
		if !complete[i+1] {
			end.End, end.Message = event.Fault, fmt.Sprintf("shard %d of %d did not complete", i+1, m.parts[0].shard.N)
			break
		}
	}
	return &start, end
}

// plan writes the plans of the shards, each cell once.
func (m *merger) plan() error {
	planned := make(map[event.Cell]bool)
	for _, p := range m.parts {
		for _, e := range p.events {
			b, ok := e.Body.(*event.TestPlanned)
			if !ok || planned[b.Cell] {
				continue
			}
			planned[b.Cell] = true
			if err := m.store.record(e.Time, b, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// part writes what is kept of one shard.
func (m *merger) part(p *part) error {
	for _, e := range p.events {
		body := e.Body
		if _, ok := body.(*event.TestPlanned); ok || body == nil {
			continue
		}
		if cell, n := attemptOf(body); cell != nil {
			c := p.cell(*cell)
			if !c.kept {
				continue
			}
			*n += c.offset
		}
		if err := m.store.record(e.Time, body, false); err != nil {
			return err
		}
	}
	if p.end != nil {
		return nil
	}
	return m.store.record(p.events[len(p.events)-1].Time, &event.RunFinished{End: event.Fault, Message: CutOff}, false)
}

// attemptOf returns the cell that an event is about and the place of its
// number of attempts, or nil.
func attemptOf(body event.Body) (*event.Cell, *int) {
	switch b := body.(type) {
	case *event.AttemptStarted:
		return &b.Cell, &b.N
	case *event.MachineBooting:
		return &b.Cell, &b.N
	case *event.MachineReady:
		return &b.Cell, &b.N
	case *event.MachineGone:
		return &b.Cell, &b.N
	case *event.SubtestFinished:
		return &b.Cell, &b.N
	case *event.Output:
		return &b.Cell, &b.N
	case *event.Finding:
		return &b.Cell, &b.N
	case *event.AttemptFinished:
		return &b.Cell, &b.N
	case *event.TestFinished:
		return &b.Cell, &b.Attempts
	}
	return nil, nil
}

// artifacts copies the directories of the attempts that are kept.
func (m *merger) artifacts() error {
	for _, p := range m.parts {
		for key, c := range p.cells {
			for n := 1; c.kept && n <= c.attempts; n++ {
				from := filepath.Join(p.dir, filepath.FromSlash(p.places.ArtifactDir(key, n)))
				if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
					continue
				}
				if err := os.CopyFS(m.store.ArtifactDir(key, n+c.offset, ""), os.DirFS(from)); err != nil {
					return fmt.Errorf("copy artifacts: %w", err)
				}
			}
		}
	}
	return nil
}
