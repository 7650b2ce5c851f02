package rollup

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"seatrial/harness/event"
)

// Fold collects the facts of a run from its events. Adding an event costs
// little, and a snapshot only builds anew what has changed since the last one,
// so one can be taken after each test. A Fold is not safe for concurrent use.
type Fold struct {
	run    Run
	starts int // run.started events so far
	shard  int // index in run.Shards of the one whose events come, or -1
	merged bool
	cells  map[event.Cell]*cell
	sorted []*cell // every cell, ordered unless stale
	stale  bool    // cells were added since the last snapshot
	places Places
	osInfo map[string]map[string]string // by image name, as the guests told
}

// New returns an empty Fold.
func New() *Fold {
	return &Fold{shard: -1, cells: make(map[event.Cell]*cell), osInfo: make(map[string]map[string]string)}
}

// Add takes the next event of the stream. Events without a body, which are of
// a type from the future, are passed over.
func (f *Fold) Add(e event.Event) {
	if f.run.Started.IsZero() {
		f.run.Started = e.Time
	}
	switch b := e.Body.(type) {
	case *event.RunStarted:
		f.runStarted(b)
	case *event.RunFinished:
		f.runFinished(e, b)
	case *event.CleanupFailed:
		f.run.Leftovers = append(slices.Clip(f.run.Leftovers), Leftover{
			Platform: name(b.Platform), Resource: name(b.Resource), Message: clip(b.Message, maxMessage),
		})
	case *event.TestPlanned:
		c := f.cell(b.Cell)
		c.doc, c.tags, c.declared = clip(b.Doc, maxMessage), names(b.Tags), b.Subtests
	case *event.MachineReady:
		if f.osInfo[b.Image] == nil && len(b.OSRelease) > 0 {
			f.osInfo[b.Image] = b.OSRelease
		}
		f.attempt(b.Cell, b.N).ready(b)
	default:
		f.addToAttempt(e)
	}
}

// addToAttempt takes the events that belong to an attempt or end a cell.
func (f *Fold) addToAttempt(e event.Event) {
	switch b := e.Body.(type) {
	case *event.AttemptStarted:
		a := f.attempt(b.Cell, b.N)
		a.facts.Start, a.facts.Started, a.start = b.Start, e.Time, f.starts
		a.facts.Verifies, a.facts.Pack = b.Verifies, names(b.Pack)
	case *event.MachineBooting:
		f.attempt(b.Cell, b.N).machine(b.Machine).State = name(b.State)
	case *event.MachineGone:
		m := f.attempt(b.Cell, b.N).machine(b.Machine)
		m.State, m.Gone = "gone", name(b.Reason)
	case *event.SubtestFinished:
		f.attempt(b.Cell, b.N).subtest(b)
	case *event.Output:
		f.attempt(b.Cell, b.N).output(b.Subtest).write(b.Text)
	case *event.Finding:
		f.attempt(b.Cell, b.N).finding(b)
	case *event.AttemptFinished:
		f.attempt(b.Cell, b.N).finished(b, f.starts)
	case *event.TestFinished:
		f.cell(b.Cell).finished = b
	}
}

// runStarted opens the run, opens it again after it was cut off, or opens a
// shard of a merged run: the stream of one begins with a run.started that has
// no shard, and each shard's own events follow its own run.started.
func (f *Fold) runStarted(b *event.RunStarted) {
	f.starts++
	switch {
	case f.starts == 1:
		f.run.ID, f.run.Version, f.run.Seed, f.run.Host = name(b.ID), name(b.Version), b.Seed, b.Host
		f.run.Host.Name, f.run.Host.OS, f.run.Host.Arch = name(b.Host.Name), name(b.Host.OS), name(b.Host.Arch)
		f.run.Images, f.run.Command, f.run.Plan = b.Images, names(b.Command), name(b.Plan)
		f.run.Shard, f.merged = b.Shard, b.Shard == nil
	case b.Shard != nil && f.merged:
		f.openShard(*b.Shard)
	}
	f.run.End, f.run.Message, f.run.Finished = "", "", time.Time{}
}

func (f *Fold) openShard(s event.Shard) {
	shards := slices.Clone(f.run.Shards)
	for i := len(shards); i < max(s.I, s.N); i++ {
		shards = append(shards, Shard{I: i + 1})
	}
	if s.I < 1 {
		return
	}
	f.shard = s.I - 1
	shards[f.shard].Found = true
	f.run.Shards = shards
}

func (f *Fold) runFinished(e event.Event, b *event.RunFinished) {
	if f.shard >= 0 {
		f.run.Shards = slices.Clone(f.run.Shards)
		if shard := &f.run.Shards[f.shard]; shard.End != event.Complete { // it may have run twice
			shard.End = b.End
		}
		f.shard = -1
		return
	}
	f.run.End, f.run.Message, f.run.Finished = b.End, clip(b.Message, maxMessage), e.Time
	f.run.Seconds += b.Seconds
}

func (f *Fold) cell(key event.Cell) *cell {
	c := f.cells[key]
	if c == nil {
		c = &cell{key: key}
		f.cells[key] = c
		f.sorted = append(f.sorted, c)
		f.stale = true
	}
	c.changed = true
	return c
}

func (f *Fold) attempt(key event.Cell, n int) *attempt { return f.cell(key).attempt(n) }

// Result returns a snapshot of what is known so far, without verdicts. A cell
// that has not finished has an outcome of "".
func (f *Fold) Result() Result {
	if f.stale {
		slices.SortFunc(f.sorted, func(a, b *cell) int { return compareCells(a.key, b.key) })
		f.places = NewPlaces(maps.Keys(f.cells))
	}
	r := Result{Schema: Schema, Run: f.run, Results: make([]Row, len(f.sorted)), Gate: Gate{Reasons: []Reason{}}}
	for i, c := range f.sorted {
		if c.changed || f.stale {
			c.row = c.build(f.places)
			c.changed = false
		}
		r.Results[i] = c.row
		r.Run.Starts.count(c.row)
	}
	f.stale = false
	r.Run.Images = f.images()
	return r
}

// images returns the images with what their guests told of them.
func (f *Fold) images() []event.Image {
	images := make([]event.Image, len(f.run.Images))
	for i, image := range f.run.Images {
		if len(image.OSRelease) == 0 {
			image.OSRelease = f.osInfo[image.Name]
		}
		images[i] = event.Image{
			Name: name(image.Name), Arch: name(image.Arch), Path: clip(image.Path, maxMessage), SHA256: name(image.SHA256),
		}
		for key, value := range image.OSRelease {
			if images[i].OSRelease == nil {
				images[i].OSRelease = make(map[string]string)
			}
			images[i].OSRelease[name(key)] = name(value)
		}
	}
	return images
}

func compareCells(a, b event.Cell) int {
	return cmp.Or(
		cmp.Compare(a.Suite, b.Suite), cmp.Compare(a.Test, b.Test),
		cmp.Compare(a.Platform, b.Platform), cmp.Compare(a.Arch, b.Arch),
		cmp.Compare(a.Accel, b.Accel), cmp.Compare(a.Image, b.Image))
}
