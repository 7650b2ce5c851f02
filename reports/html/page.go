package html

import (
	"fmt"
	"html/template"
	"slices"
	"strings"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// Bounds of the page, in bytes of output and in number of details that are
// open from the start.
const (
	maxOutput   = 16 << 10 // of one attempt or subtest
	maxOutputs  = 8 << 20  // of all
	maxOpen     = 5
	maxReasons  = 200
	maxFindings = 50 // of one attempt
)

// page is the data of the template.
type page struct {
	rollup.Result
	Policy  string
	Style   template.CSS
	Script  template.JS
	Counts  []count
	Places  []string
	Groups  []group
	Details []*detail
	Skips   []view.SkipGroup
	Ended   string
	Hidden  int // reasons that are not shown
}

type count struct {
	Verdict rollup.Verdict
	N       int
}

// group is the part of the matrix for one suite.
type group struct {
	Suite string
	Lines []line
}

// line is a test in all places; a place without the test has a nil cell.
type line struct {
	Suite, Test, Doc string
	Worst            rollup.Verdict
	Verdicts         string // of all cells, between blanks
	Cells            []*detail
}

// detail is all about one row.
type detail struct {
	rollup.Row
	ID       string // of its element
	Open     bool
	Attempts []attempt
}

// attempt is an attempt whose texts are cut to the page's bounds.
type attempt struct {
	rollup.Attempt
	Summary string
	Told    bool // the message is not that of the row
	Logs    []log
}

type log struct {
	Title, Text string
	Cut         bool
}

func newPage(r rollup.Result) (*page, error) {
	style, err := files.ReadFile("style.css")
	if err != nil {
		return nil, err
	}
	script, err := files.ReadFile("script.js")
	if err != nil {
		return nil, err
	}
	p := &page{
		Result: r, Policy: policy(style, script), Style: template.CSS(style), Script: template.JS(script),
		Skips: view.Skips(r), Ended: rollup.EndText(r.Run),
	}
	if over := len(r.Gate.Reasons) - maxReasons; over > 0 {
		p.Hidden = over
		p.Gate.Reasons = r.Gate.Reasons[:maxReasons]
	}
	counts := r.Counts()
	for _, v := range rollup.Verdicts() {
		if counts[v] > 0 {
			p.Counts = append(p.Counts, count{v, counts[v]})
		}
	}
	p.addRows(r)
	return p, nil
}

// addRows makes the details, problems first, and the matrix that links to them.
func (p *page) addRows(r rollup.Result) {
	budget := maxOutputs
	open := 0
	details := make([]*detail, len(r.Results))
	byVerdict := make(map[rollup.Verdict][]*detail)
	for i, row := range r.Results {
		d := &detail{Row: row, ID: fmt.Sprintf("r%d", i+1)}
		if bad(row.Verdict) && open < maxOpen {
			d.Open = true
			open++
		}
		details[i] = d
		byVerdict[row.Verdict] = append(byVerdict[row.Verdict], d)
		if !slices.Contains(p.Places, row.Place()) {
			p.Places = append(p.Places, row.Place())
		}
	}
	slices.Sort(p.Places)
	for _, v := range rollup.Verdicts() {
		for _, d := range byVerdict[v] {
			d.addAttempts(&budget)
			p.Details = append(p.Details, d)
		}
	}
	p.Groups = p.matrix(details)
}

func bad(v rollup.Verdict) bool { return v == rollup.Fail || v == rollup.Error }

// matrix arranges the rows, which are in the order of suite and test.
func (p *page) matrix(details []*detail) []group {
	var groups []group
	for _, d := range details {
		if len(groups) == 0 || groups[len(groups)-1].Suite != d.Suite {
			groups = append(groups, group{Suite: d.Suite})
		}
		g := &groups[len(groups)-1]
		if len(g.Lines) == 0 || g.Lines[len(g.Lines)-1].Test != d.Test {
			g.Lines = append(g.Lines, line{Suite: d.Suite, Test: d.Test, Doc: d.Doc, Worst: d.Verdict, Cells: make([]*detail, len(p.Places))})
		}
		l := &g.Lines[len(g.Lines)-1]
		l.Cells[slices.Index(p.Places, d.Place())] = d
		l.Verdicts += " " + string(d.Verdict) + " "
		if slices.Index(rollup.Verdicts(), d.Verdict) < slices.Index(rollup.Verdicts(), l.Worst) {
			l.Worst = d.Verdict
		}
	}
	return groups
}

// addAttempts adds the attempts with as much of their output as the budget,
// which is that of the page, has room for.
func (d *detail) addAttempts(budget *int) {
	for _, a := range d.Row.Attempts {
		out := attempt{Attempt: a, Summary: view.Attempt(a), Told: a.Message != "" && a.Message != d.Message}
		if len(a.Findings) > maxFindings {
			out.Findings = a.Findings[:maxFindings]
			out.FindingsCut += len(a.Findings) - maxFindings
		}
		out.addLog("output", a.Output, budget)
		for _, s := range a.Subtests {
			out.addLog("output of "+s.Name, s.Output, budget)
		}
		d.Attempts = append(d.Attempts, out)
	}
}

func (a *attempt) addLog(title, text string, budget *int) {
	if text == "" {
		return
	}
	limit := min(maxOutput, *budget)
	kept := text
	if len(kept) > limit {
		kept = kept[len(kept)-limit:]
		_, kept, _ = strings.Cut(kept, "\n")
	}
	*budget -= len(kept)
	a.Logs = append(a.Logs, log{Title: title, Text: kept, Cut: len(kept) < len(text)})
}

// Note says what is special about the row, in a word or two.
func (d *detail) Note() string {
	wrong := 0
	for _, s := range d.Subtests {
		if bad(s.Verdict) {
			wrong++
		}
	}
	switch {
	case wrong > 0:
		return fmt.Sprintf("%d of %d", wrong, len(d.Subtests))
	case bad(d.Verdict):
		return string(d.Class)
	case d.Verdict == rollup.Flaky:
		return view.Plural(len(d.Row.Attempts), "attempt")
	default:
		return ""
	}
}
