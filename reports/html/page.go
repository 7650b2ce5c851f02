package html

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"slices"
	"strings"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// Bounds of the page.
const (
	maxReasons = 200 // of one rule
	maxFew     = 3   // of one rule that are shown at once
	maxBundles = 100 // things that fail
	maxWhole   = 40  // problems in full, for readers without script
)

// page is the data of the template.
type page struct {
	rollup.Result
	CSP       string // Content-Security-Policy
	Style     template.CSS
	Script    template.JS
	Data      template.JS
	Details   template.JS
	Counts    []count
	Trends    []trend
	Places    []view.Place
	Groups    []group
	Reasons   []reasons
	Bundles   []bundle
	Unbundled int // of them that are not shown
	Whole     []template.HTML
	Problems  int
	Skips     []view.SkipGroup
	Ended     string
	Total     string
}

type count struct {
	Verdict rollup.Verdict
	N       int
}

// trend counts the cells whose history says the same.
type trend struct {
	Label string
	N     int
}

// reasons is all reasons of one rule.
type reasons struct {
	Rule     string
	Severity rollup.Severity
	N        int
	Tests    []string
	All      []reason
	Hidden   int // reasons that are not shown
}

// Few reports whether there are so few that they are shown at once.
func (r reasons) Few() bool { return r.N <= maxFew }

// reason is a reason of the gate, with links to what it is about.
type reason struct {
	rollup.Reason
	Known bool // the test has a line in the matrix
	File  string
}

// bundle is a thing that fails, in however many cells.
type bundle struct {
	view.Bundle
	ID, Where, Causes, Tracker, Since, Only string
	Class, Message                          string
	First                                   rollup.Row
}

// group is a part of the matrix.
type group struct {
	view.Group
	Lines []line
}

// line is a test in the matrix; a place without the test has a nil cell.
type line struct {
	view.Entry
	Index int // of the test
	Cells []*cell
}

func newPage(r rollup.Result, o view.Options, t *template.Template) (*page, error) {
	style, err := files.ReadFile("style.css")
	if err != nil {
		return nil, err
	}
	code, err := files.ReadFile("script.js")
	if err != nil {
		return nil, err
	}
	m := view.NewMatrix(r)
	style = fmt.Appendf(style, "\n:root { --places: %d; }\n", max(1, len(m.Places)))
	p := &page{
		Result: r, CSP: policy(style, code), Style: template.CSS(style), Script: template.JS(code),
		Places: m.Places, Skips: view.Skips(r), Ended: rollup.EndText(r.Run), Total: view.Total(r),
	}
	p.count(r)
	p.reasons(r, o)
	p.bundles(r)
	details, err := newDetails(r, o, t)
	if err != nil {
		return nil, err
	}
	p.matrix(m, o)
	p.whole(r, details)
	index, err := json.Marshal(data(r, m)) // escapes <, > and &
	if err != nil {
		return nil, err
	}
	p.Data = template.JS(index)
	p.Details, err = pieces(details.html)
	return p, err
}

func (p *page) count(r rollup.Result) {
	counts := r.Counts()
	for _, v := range rollup.Verdicts() {
		if counts[v] > 0 {
			p.Counts = append(p.Counts, count{v, counts[v]})
		}
	}
	trends := make(map[string]int)
	for _, row := range r.Results {
		if row.Trend != nil {
			trends[row.Trend.Label]++
		}
	}
	for _, label := range []string{"extreme-regression", "regression", "unstable", "improvement", "fixed"} {
		if trends[label] > 0 {
			p.Trends = append(p.Trends, trend{label, trends[label]})
		}
	}
}

// reasons groups the reasons by rule, what blocks first, and links them to the
// matrix and to their evidence.
func (p *page) reasons(r rollup.Result, o view.Options) {
	tests := make(map[string]bool)
	for _, row := range r.Results {
		tests[row.Test] = true
	}
	index := make(map[string]int)
	for _, in := range r.Gate.Reasons {
		key := string(in.Severity) + " " + in.Rule
		i, known := index[key]
		if !known {
			i = len(p.Reasons)
			index[key] = i
			p.Reasons = append(p.Reasons, reasons{Rule: in.Rule, Severity: in.Severity})
		}
		g := &p.Reasons[i]
		g.N++
		if !slices.Contains(g.Tests, in.Test) && in.Test != "" {
			g.Tests = append(g.Tests, in.Test)
		}
		if g.N > maxReasons {
			g.Hidden++
			continue
		}
		out := reason{Reason: in}
		test, _, _ := strings.Cut(in.Test, "/")
		out.Known = tests[in.Test] || tests[test]
		if file, _, _ := strings.Cut(in.Evidence, ":"); strings.HasPrefix(file, "artifacts/") && fs.ValidPath(file) && o.Has(file) {
			out.File = file
		}
		g.All = append(g.All, out)
	}
	order := []rollup.Severity{rollup.Blocks, "", rollup.Doubt, rollup.Warns}
	slices.SortStableFunc(p.Reasons, func(a, b reasons) int {
		return cmp.Compare(slices.Index(order, a.Severity), slices.Index(order, b.Severity))
	})
}

// bundles says what fails, the largest cluster first.
func (p *page) bundles(r rollup.Result) {
	var rows []rollup.Row
	for _, row := range r.Results {
		if view.Failed(row.Verdict) {
			rows = append(rows, row)
		}
	}
	all := view.Bundles(r.Clusters, rows)
	if over := len(all) - maxBundles; over > 0 {
		p.Unbundled, all = over, all[:maxBundles]
	}
	for _, b := range all {
		first := b.Rows[0]
		out := bundle{Bundle: b, First: first, Where: view.Where(b.Rows), Causes: view.Causes(first.Causes), Tracker: first.Tracker}
		out.Class, out.Message = view.Shown(first)
		if c := b.Cluster; c != nil {
			out.ID, out.Since, out.Tracker = c.ID, view.Since(c.FirstSeen, r.Run.ID), cmp.Or(c.Tracker, first.Tracker)
			if len(c.Causes) > 0 {
				out.Causes = view.Causes(c.Causes)
			}
		}
		entry := view.Entry{}
		for i := range b.Rows {
			entry.Rows = append(entry.Rows, &b.Rows[i])
		}
		out.Only = entry.Only()
		p.Bundles = append(p.Bundles, out)
	}
}

// whole takes the details of problems into the page, one for each cluster.
func (p *page) whole(r rollup.Result, d details) {
	clusters := make(map[string]bool)
	for _, i := range d.problems {
		p.Problems++
		if id := r.Results[i].Cluster; clusters[id] || len(p.Whole) == maxWhole {
			continue
		} else if id != "" {
			clusters[id] = true
		}
		p.Whole = append(p.Whole, template.HTML(d.html[i]))
	}
}

func (p *page) matrix(m view.Matrix, o view.Options) {
	index := make(map[*view.Test]int)
	for i, t := range m.Tests {
		index[t] = i
	}
	for _, g := range m.ByCause() {
		out := group{Group: g}
		for _, e := range g.Entries {
			l := line{Entry: e, Index: index[e.Test], Cells: make([]*cell, len(m.Places))}
			for i, row := range e.Cells {
				if row != nil {
					l.Cells[i] = newCell(row, o)
				}
			}
			out.Lines = append(out.Lines, l)
		}
		p.Groups = append(p.Groups, out)
	}
}
