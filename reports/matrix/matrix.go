// Package matrix writes the matrix of tests and places as Markdown, as it
// suits the summary of a GitHub job, a merge request or an issue.
package matrix

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/markdown"
	"seatrial/reports/internal/view"
)

// Bounds: GitHub drops a job summary of more than 1 MiB.
const (
	maxProblems = 100
	maxReasons  = 50
	maxMessage  = 2000
	maxTables   = 600 << 10 // bytes
	maxPast     = 10        // runs
)

// Write writes the summary, the matrix under the causes of failures, and what
// needs attention with the commands that reproduce it.
func Write(w io.Writer, r rollup.Result, _ view.Options) error {
	p := printer{new(bytes.Buffer)}
	p.summary(r)
	p.tables(r)
	p.problems(r)
	p.skips(r)
	if _, err := p.w.WriteTo(w); err != nil {
		return fmt.Errorf("write matrix: %w", err)
	}
	return nil
}

// printer writes Markdown.
type printer struct{ w *bytes.Buffer }

func (p printer) f(format string, args ...any) { fmt.Fprintf(p.w, format, args...) }

func (p printer) summary(r rollup.Result) {
	p.f("# Sea trial %s\n\n", markdown.Escape(r.Run.ID))
	p.f("**Gate: %s** · %s · %s\n\n", r.Gate.Verdict, view.Total(r), view.Seconds(r.Run.Seconds))
	for i, reason := range r.Gate.Reasons {
		if i == maxReasons {
			p.f("- and %s more\n", view.Plural(len(r.Gate.Reasons)-i, "reason"))
			break
		}
		p.f("- %s: ", markdown.Escape(reason.Rule))
		if reason.Test != "" {
			p.f("**%s** ", markdown.Escape(reason.Test))
		}
		p.f("%s\n", markdown.Escape(view.FirstLine(reason.Text, 300)))
	}
	if len(r.Gate.Reasons) > 0 {
		p.f("\n")
	}
	for _, image := range r.Run.Images {
		p.f("Image %s %s", markdown.Escape(image.Arch), markdown.Escape(image.Name))
		if name := image.OSRelease["PRETTY_NAME"]; name != "" {
			p.f(", %s", markdown.Escape(name))
		}
		if image.SHA256 != "" {
			p.f(", sha256 %s", markdown.Escape(image.SHA256))
		}
		p.f("  \n")
	}
	if len(r.Run.Images) > 0 {
		p.f("\n")
	}
}

// tables writes one table for each cause of failures, then those for the tests
// that did not fail: a row for each test, a column for each place of the run.
func (p printer) tables(r rollup.Result) {
	m := view.NewMatrix(r)
	for _, g := range m.ByCause() {
		p.head(g, m.Places)
		for i, e := range g.Entries {
			if p.w.Len() > maxTables {
				p.f("\nThe tables end here: %d of %s are left.\n\n", len(g.Entries)-i, view.Plural(len(g.Entries), "test"))
				return
			}
			p.row(e)
		}
		p.f("\n")
	}
}

func (p printer) head(g view.Group, places []view.Place) {
	p.f("## %s\n\n| test |", markdown.Escape(g.Name))
	for _, place := range places {
		p.f(" %s |", markdown.Escape(strings.TrimSpace(place.Head+" "+place.Sub)))
	}
	p.f("\n| --- |%s\n", strings.Repeat(" --- |", len(places)))
}

func (p printer) row(e view.Entry) {
	name := markdown.Escape(e.Name)
	if e.Unsure {
		name += "?"
	}
	if only := e.Only(); only != "" {
		name += " (" + markdown.Escape(only) + ")"
	}
	p.f("| %s |", name)
	for _, row := range e.Cells {
		if row == nil {
			p.f("  |")
			continue
		}
		p.f(" %s |", cell(*row))
	}
	p.f("\n")
}

// cell is the verdict, a sign before it and, where something is wrong, its
// class, the number of subtests that are, the cluster, the tracker, and how
// the last runs ended.
func cell(row rollup.Row) string {
	text := view.Symbol(row.Verdict) + " " + string(row.Verdict)
	if !view.Failed(row.Verdict) {
		return text
	}
	parts := []string{fmt.Sprintf("**%s** %s", text, row.Class)}
	bad := 0
	for _, s := range row.Subtests {
		if view.Failed(s.Verdict) {
			bad++
		}
	}
	if bad > 0 {
		parts[0] += fmt.Sprintf(" (%d of %d)", bad, len(row.Subtests))
	}
	if row.Cluster != "" {
		parts = append(parts, markdown.Escape(row.Cluster))
	}
	if row.Tracker != "" {
		parts = append(parts, markdown.Tracker(row.Tracker))
	}
	if n := len(row.History); n > 0 {
		parts = append(parts, markdown.Escape(view.Past(row.History[max(0, n-maxPast):])))
	}
	return strings.TrimSpace(strings.Join(parts, " "))
}

func (p printer) problems(r rollup.Result) {
	problems := view.Problems(r)
	if len(problems) == 0 {
		return
	}
	p.f("## Needs attention\n\n")
	for i, row := range problems {
		if i == maxProblems {
			p.f("And %s more.\n\n", view.Plural(len(problems)-i, "problem"))
			return
		}
		p.problem(row)
	}
}

func (p printer) problem(row rollup.Row) {
	a := view.Deciding(row)
	class, message := row.Class, row.Message
	if row.Verdict == rollup.Flaky && a != nil {
		class, message = a.Class, a.Message
	}
	p.f("### %s %s: %s on %s\n\n", view.Symbol(row.Verdict), row.Verdict, markdown.Escape(row.Test), markdown.Escape(row.Place()))
	if class != "" {
		p.f("Class: %s\n\n", markdown.Escape(string(class)))
	}
	p.f("%s", markdown.Block("", limit(message)))
	for _, line := range view.Subtests(row) {
		p.f("- %s\n", markdown.Escape(line))
	}
	if f := view.FatalFinding(a); f != nil {
		p.f("- %s: %s\n", markdown.Escape(f.Source), markdown.Escape(view.Describe(*f)))
	}
	for _, f := range view.Facts(row) {
		p.f("- %s: %s\n", f.Name, markdown.Escape(f.Text))
	}
	p.f("\n")
	p.f("%s", markdown.Block("sh", row.Reproduce))
}

func (p printer) skips(r rollup.Result) {
	groups := view.Skips(r)
	if len(groups) == 0 {
		return
	}
	p.f("## Skipped\n\n| reason | tests |\n| --- | --- |\n")
	for _, g := range groups {
		p.f("| %s | %d |\n", markdown.Escape(view.FirstLine(g.Reason, 300)), len(g.Rows))
	}
}

func limit(text string) string {
	if runes := []rune(text); len(runes) > maxMessage {
		return string(runes[:maxMessage]) + "…"
	}
	return text
}
