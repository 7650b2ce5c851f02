// Package matrix writes the matrix of tests and places as Markdown, as it
// suits the summary of a GitHub job, a merge request or an issue.
package matrix

import (
	"bufio"
	"fmt"
	"io"
	"slices"
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
	maxRows     = 3000
)

// Write writes the summary, the matrix of each suite, and what needs
// attention with the commands that reproduce it.
func Write(w io.Writer, r rollup.Result, _ view.Options) error {
	b := bufio.NewWriter(w)
	p := printer{b}
	p.summary(r)
	p.tables(r)
	p.problems(r)
	p.skips(r)
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write matrix: %w", err)
	}
	return nil
}

// printer writes Markdown; the first error sticks to the buffer.
type printer struct{ w *bufio.Writer }

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

// tables writes one table for each suite: a row for each test, a column for
// each place of the run.
func (p printer) tables(r rollup.Result) {
	var places []string
	for _, row := range r.Results {
		if !slices.Contains(places, row.Place()) {
			places = append(places, row.Place())
		}
	}
	slices.Sort(places)
	suite, test, written := "", "", 0
	var cells map[string]rollup.Row
	flush := func() {
		if cells != nil {
			p.row(test, places, cells)
		}
		cells = nil
	}
	for i, row := range r.Results {
		if cells == nil || row.Test != test || row.Suite != suite {
			flush()
			if written == maxRows {
				p.f("\nThe table ends here: there are more than %d tests.\n", maxRows)
				break
			}
			if i == 0 || row.Suite != suite {
				p.head(row.Suite, places)
			}
			suite, test, cells = row.Suite, row.Test, make(map[string]rollup.Row)
			written++
		}
		cells[row.Place()] = row
	}
	flush()
	p.f("\n")
}

func (p printer) head(suite string, places []string) {
	if suite == "" {
		suite = "not selected"
	}
	p.f("\n## %s\n\n| test |", markdown.Escape(suite))
	for _, place := range places {
		p.f(" %s |", markdown.Escape(place))
	}
	p.f("\n| --- |%s\n", strings.Repeat(" --- |", len(places)))
}

func (p printer) row(test string, places []string, cells map[string]rollup.Row) {
	p.f("| %s |", markdown.Escape(test))
	for _, place := range places {
		row, ok := cells[place]
		if !ok {
			p.f("  |")
			continue
		}
		p.f(" %s |", cell(row))
	}
	p.f("\n")
}

// cell is the verdict, a sign before it and, where something is wrong, its
// class or the number of subtests that are.
func cell(row rollup.Row) string {
	text := view.Symbol(row.Verdict) + " " + string(row.Verdict)
	if row.Verdict == rollup.Fail || row.Verdict == rollup.Error {
		text = fmt.Sprintf("**%s** %s", text, row.Class)
	}
	bad := 0
	for _, s := range row.Subtests {
		if s.Verdict == rollup.Fail || s.Verdict == rollup.Error {
			bad++
		}
	}
	if bad > 0 {
		text += fmt.Sprintf(" (%d of %d)", bad, len(row.Subtests))
	}
	return strings.TrimSpace(text)
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
	for _, s := range row.Subtests {
		if s.Verdict != rollup.Pass && s.Verdict != rollup.Skip {
			p.f("- %s\n", markdown.Escape(view.Subtest(s)))
		}
	}
	if f := view.FatalFinding(a); f != nil {
		p.f("- %s: %s\n", markdown.Escape(f.Source), markdown.Escape(view.Describe(*f)))
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
