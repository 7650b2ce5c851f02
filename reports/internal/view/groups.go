package view

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
)

// Matrix is the rows of a result as a table: a line for each test, a column
// for each place.
type Matrix struct {
	Places []Place
	Tests  []*Test
}

// Place is a column of the matrix.
type Place struct {
	Name                         string // as of rollup.Row.Place
	Head, Sub                    string // the same as a heading of two lines, without what is the same everywhere
	Platform, Arch, Accel, Image string
	Version                      string // of the image
}

// Test is a line of the matrix.
type Test struct {
	Suite, Name, Doc string
	Worst            rollup.Verdict
	Cells            []*rollup.Row // one for each place; nil where there is none
}

// NewMatrix arranges the rows of a result, which are ordered by suite and test.
func NewMatrix(r rollup.Result) Matrix {
	var m Matrix
	column := make(map[string]int)
	for _, row := range r.Results {
		if name := row.Place(); column[name] == 0 {
			m.Places = append(m.Places, placeOf(r, row))
			column[name] = len(m.Places)
		}
	}
	slices.SortFunc(m.Places, func(a, b Place) int { return cmp.Compare(a.Name, b.Name) })
	for i := range m.Places {
		column[m.Places[i].Name] = i
		m.Places[i].head(m.Places)
	}
	for i := range r.Results {
		row := &r.Results[i]
		var last *Test
		if n := len(m.Tests); n > 0 {
			last = m.Tests[n-1]
		}
		if last == nil || last.Name != row.Test || last.Suite != row.Suite {
			last = &Test{Suite: row.Suite, Name: row.Test, Doc: row.Doc, Worst: row.Verdict, Cells: make([]*rollup.Row, len(m.Places))}
			m.Tests = append(m.Tests, last)
		}
		last.Cells[column[row.Place()]] = row
		if Rank(row.Verdict) < Rank(last.Worst) {
			last.Worst = row.Verdict
		}
	}
	return m
}

func placeOf(r rollup.Result, row rollup.Row) Place {
	p := Place{Name: row.Place(), Platform: row.Platform, Arch: row.Arch, Accel: row.Accel, Image: row.Image}
	i := slices.IndexFunc(r.Run.Images, func(i event.Image) bool { return i.Name == row.Image && (i.Arch == row.Arch || i.Arch == "") })
	if i >= 0 {
		os := r.Run.Images[i].OSRelease
		p.Version = cmp.Or(os["VERSION_ID"], os["VERSION"])
	}
	return p
}

// head sets the heading of a place among others.
func (p *Place) head(all []Place) {
	platforms := slices.ContainsFunc(all, func(q Place) bool { return q.Platform != p.Platform })
	images := slices.ContainsFunc(all, func(q Place) bool { return q.Platform == p.Platform && q.Arch == p.Arch && q.Image != p.Image })
	p.Head = cmp.Or(p.Arch, p.Name)
	if platforms {
		p.Head = p.Platform + " " + p.Arch
	}
	last := p.Version
	if images {
		last = p.Image
	}
	p.Sub = strings.Join(slices.DeleteFunc([]string{p.Accel, last}, func(s string) bool { return s == "" }), " · ")
}

// Rank orders verdicts: what needs attention first is the lowest.
func Rank(v rollup.Verdict) int { return slices.Index(rollup.Verdicts(), v) }

// Failed reports whether something is wrong in a cell, expected or not.
func Failed(v rollup.Verdict) bool {
	return v == rollup.Fail || v == rollup.Error || v == rollup.Known
}

// Unexplained is the name of the group of failures for which nobody has a
// cause.
const Unexplained = "???"

// Group is the tests under one heading. A test can be in several groups of
// causes.
type Group struct {
	Name    string
	Cause   bool // a cause of failures; otherwise a suite or a verdict
	Entries []Entry
	at      position
}

// Entry is a test in a group.
type Entry struct {
	*Test
	// Rows are the cells that are in the group.
	Rows []*rollup.Row
	// Unsure is set if no more than a guess puts the test into the group.
	Unsure bool
}

// BySuite groups all tests by suite.
func (m Matrix) BySuite() []Group {
	var groups []Group
	for _, t := range m.Tests {
		name := cmp.Or(t.Suite, "not selected")
		if len(groups) == 0 || groups[len(groups)-1].Name != name {
			groups = append(groups, Group{Name: name})
		}
		g := &groups[len(groups)-1]
		g.Entries = append(g.Entries, Entry{Test: t, Rows: present(t.Cells)})
	}
	return groups
}

func present(cells []*rollup.Row) []*rollup.Row {
	return slices.DeleteFunc(slices.Clone(cells), func(r *rollup.Row) bool { return r == nil })
}

// ByCause groups the tests that failed anywhere by their causes, in the order
// in which the rules stand in their file, and the others by verdict.
func (m Matrix) ByCause() []Group {
	causes, rest := make(map[string]*Group), make(map[rollup.Verdict]*Group)
	for _, t := range m.Tests {
		if addCauses(causes, t) {
			continue
		}
		if rest[t.Worst] == nil {
			rest[t.Worst] = &Group{Name: string(t.Worst)}
		}
		rest[t.Worst].Entries = append(rest[t.Worst].Entries, Entry{Test: t, Rows: present(t.Cells)})
	}
	groups := make([]Group, 0, len(causes)+len(rest))
	for _, g := range causes {
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b Group) int {
		return cmp.Or(a.at.compare(b.at), cmp.Compare(a.Name, b.Name))
	})
	for _, v := range rollup.Verdicts() {
		if g := rest[v]; g != nil {
			groups = append(groups, *g)
		}
	}
	return groups
}

// addCauses puts a test under each of its causes and reports whether it has
// any.
func addCauses(causes map[string]*Group, t *Test) bool {
	entries := make(map[string]*Entry)
	for _, row := range t.Cells {
		if row == nil || !Failed(row.Verdict) {
			continue
		}
		list := row.Causes
		if len(list) == 0 && row.Verdict == rollup.Error {
			continue // nobody looks for the cause of what is not the image's fault
		}
		if !slices.ContainsFunc(list, func(c rollup.Cause) bool { return !c.Unsure }) {
			// Guesses leave it unexplained.
			list = append(slices.Clip(list), rollup.Cause{Category: cmp.Or(row.Category, Unexplained)})
		}
		for _, c := range list {
			name := cmp.Or(c.Category, Unexplained)
			e := entries[name]
			if e == nil {
				e = &Entry{Test: t, Unsure: true}
				entries[name] = e
			}
			e.Unsure = e.Unsure && c.Unsure
			if !slices.Contains(e.Rows, row) {
				e.Rows = append(e.Rows, row)
			}
			g := causes[name]
			if g == nil {
				g = &Group{Name: name, Cause: true, at: position{class: 2}}
				causes[name] = g
			}
			if at := positionOf(c); name != Unexplained && at.compare(g.at) < 0 {
				g.at = at
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		causes[name].Entries = append(causes[name].Entries, *entries[name])
	}
	return len(entries) > 0
}

// position is where a rule stands. The class comes first: rules by their
// place, then causes without a rule, then what is unexplained.
type position struct {
	class        int
	file         string
	line, column int
}

func positionOf(c rollup.Cause) position {
	parts := strings.Split(c.At, ":")
	if len(parts) < 3 {
		return position{class: 1}
	}
	n := len(parts)
	line, err := strconv.Atoi(parts[n-2])
	if err != nil {
		return position{class: 1}
	}
	column, err := strconv.Atoi(parts[n-1])
	if err != nil {
		return position{class: 1}
	}
	return position{0, strings.Join(parts[:n-2], ":"), line, column}
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.class, q.class), cmp.Compare(p.file, q.file), cmp.Compare(p.line, q.line), cmp.Compare(p.column, q.column))
}

// Label is the name by which people speak of the entry: that of the test, or
// of its one subtest that failed.
func (e Entry) Label() string {
	label := ""
	for _, row := range e.Rows {
		name := row.Test
		var failed []string
		for _, s := range row.Subtests {
			if Failed(s.Verdict) {
				failed = append(failed, s.Name)
			}
		}
		if len(failed) == 1 && len(row.Subtests) > 1 {
			name += "/" + failed[0]
		}
		if label != "" && label != name {
			return e.Name
		}
		label = name
	}
	return cmp.Or(label, e.Name)
}

// Only says to what the failure is restricted, as "arm64 only", if to
// anything.
func (e Entry) Only() string {
	only := ""
	for _, row := range e.Rows {
		if row.Parity == nil || !strings.HasSuffix(row.Parity.Label, " only") || only != "" && only != row.Parity.Label {
			return ""
		}
		only = row.Parity.Label
	}
	return only
}
