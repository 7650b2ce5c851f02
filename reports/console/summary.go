package console

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// Bounds of the summary.
const (
	maxProblems    = 50 // shown in full
	maxOutputLines = 20
	maxMessage     = 20 // lines
	maxNames       = 8  // of skipped tests with one reason
	maxReasons     = 20
	maxLines       = 60 // of the matrix
	maxColumns     = 8
	nameWidth      = 40
	cellWidth      = 12
)

// Summary writes the end of the report from the judged result: problems
// first, then what was skipped and why, the counts, and the gate with its
// reasons. dir is the run directory as it is shown in paths; report is the
// path of the report for people, "" if there is none.
func (c *Console) Summary(r rollup.Result, dir, report string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = nil
	problems := view.Problems(r)
	for i, row := range problems {
		if i == maxProblems {
			c.printf("\n%s more\n", view.Plural(len(problems)-i, "problem"))
			break
		}
		c.problem(row, dir)
	}
	c.matrix(r)
	c.skips(r)
	c.notes(r.Policy)
	c.printf("\n%s in %s\n", view.Total(r), view.Seconds(r.Run.Seconds))
	if starts := view.Starts(r.Run.Starts); starts != "" {
		c.printf("starts: %s\n", starts)
	}
	c.gate(r.Gate)
	if report != "" {
		c.printf("report: %s\n", report)
	}
	return c.flush()
}

func (c *Console) printf(format string, args ...any) {
	fmt.Fprint(&c.buf, printable(fmt.Sprintf(format, args...)))
}

func (c *Console) problem(row rollup.Row, dir string) {
	color := red
	if row.Verdict == rollup.Flaky {
		color = yellow
	}
	fmt.Fprintf(&c.buf, "\n%s ", c.paint(color, strings.ToUpper(string(row.Verdict))))
	c.printf("%s on %s", row.Test, row.Place())
	a := view.Deciding(row)
	class, message := row.Class, row.Message
	if row.Verdict == rollup.Flaky && a != nil {
		class, message = a.Class, a.Message
	}
	if class != "" {
		c.printf(" [%s]", class)
	}
	c.printf("\n")
	c.block("", message)
	for _, note := range view.Notes(row) {
		c.field("note", note)
	}
	for _, line := range view.Subtests(row) {
		c.field("subtest", line)
	}
	if len(row.Attempts) > 1 {
		for _, a := range row.Attempts {
			c.field("attempts", view.Attempt(a))
		}
	}
	if f := view.FatalFinding(a); f != nil {
		c.field(f.Source, fmt.Sprintf("%s:%d: %s", path.Join(dir, f.File), f.Line, view.FirstLine(f.Text, 200)))
	}
	if a != nil {
		c.field("artifacts", path.Join(dir, a.Artifacts))
		if row.Verdict != rollup.Flaky {
			c.output(row, *a)
		}
	}
	for _, f := range view.Facts(row) {
		c.field(f.Name, f.Text)
	}
	if row.Reproduce != "" {
		c.field("reproduce", row.Reproduce)
	}
}

// output shows the last lines that the test logged, or those of the first
// subtest that did not pass.
func (c *Console) output(row rollup.Row, a rollup.Attempt) {
	text := a.Output
	for _, s := range row.Subtests {
		if s.Output != "" && (s.Verdict == rollup.Fail || s.Verdict == rollup.Error) {
			text = s.Output
			break
		}
	}
	for _, line := range view.LastLines(text, maxOutputLines) {
		c.block("| ", view.FirstLine(line, 400))
	}
}

func (c *Console) field(name, value string) {
	c.printf("    %-10s %s\n", name+":", strings.ReplaceAll(value, "\n", " "))
}

// block writes lines with a mark before each, so that none of them can be
// taken for a line of the report or for a command to the CI system.
func (c *Console) block(mark, text string) {
	if text == "" && mark == "" {
		return
	}
	lines := strings.Split(text, "\n")
	if over := len(lines) - maxMessage; over > 0 {
		lines = append(lines[:maxMessage], fmt.Sprintf("(and %s)", view.Plural(over, "more line")))
	}
	for _, line := range lines {
		if mark == "" && strings.HasPrefix(strings.TrimSpace(line), "::") {
			line = "| " + line
		}
		c.printf("    %s%s\n", mark, line)
	}
}

// matrix shows where the tests fail that fail anywhere, under their causes: a
// column for each place as far as there is room.
func (c *Console) matrix(r rollup.Result) {
	m := view.NewMatrix(r)
	if len(m.Places) < 2 {
		return
	}
	places := m.Places[:min(len(m.Places), maxColumns)]
	lines := 0
	for _, g := range m.ByCause() {
		if !g.Cause && g.Name != string(rollup.Error) {
			continue
		}
		if lines == 0 {
			c.heads(places)
		}
		c.printf("%s\n", g.Name)
		for _, e := range g.Entries {
			if lines++; lines > maxLines {
				c.printf("  and more: see the report\n")
				return
			}
			c.line(e, len(places))
		}
	}
}

func (c *Console) heads(places []view.Place) {
	first, second := fmt.Sprintf("%-*s", nameWidth, "where it fails"), strings.Repeat(" ", nameWidth)
	for _, p := range places {
		first += fmt.Sprintf(" %-*s", cellWidth, fit(p.Head, cellWidth))
		second += fmt.Sprintf(" %-*s", cellWidth, fit(p.Sub, cellWidth))
	}
	c.printf("\n%s\n%s\n", strings.TrimRight(first, " "), strings.TrimRight(second, " "))
}

func (c *Console) line(e view.Entry, columns int) {
	name := "  " + e.Label()
	if e.Unsure {
		name += "?"
	}
	c.printf("%-*s", nameWidth, name)
	blanks := 1
	for _, row := range e.Cells[:columns] {
		if row == nil {
			blanks += cellWidth + 1
			continue
		}
		text := view.Symbol(row.Verdict) + " " + string(row.Verdict)
		fmt.Fprint(&c.buf, strings.Repeat(" ", blanks), c.paint(colorOf(row.Outcome), text))
		blanks = cellWidth + 1 - utf8.RuneCountInString(text)
	}
	c.printf("\n")
}

// notes shows what is to be said about entries of policy files.
func (c *Console) notes(notes []rollup.Note) {
	if len(notes) == 0 {
		return
	}
	c.printf("\npolicy files:\n")
	for i, n := range notes {
		if i == maxReasons {
			c.printf("    and %s more\n", view.Plural(len(notes)-i, "note"))
			break
		}
		c.block("", fmt.Sprintf("%s: %s: %s (%s)", n.Kind, n.Pattern, view.FirstLine(n.Text, 200), n.At))
	}
}

func (c *Console) skips(r rollup.Result) {
	groups := view.Skips(r)
	if len(groups) == 0 {
		return
	}
	c.printf("\nskipped:\n")
	for _, g := range groups {
		var names []string
		for i, row := range g.Rows {
			if i == maxNames {
				names = append(names, fmt.Sprintf("and %d more", len(g.Rows)-i))
				break
			}
			names = append(names, row.Test+" on "+row.Place())
		}
		c.block("", view.FirstLine(g.Reason, 200))
		c.printf("      %s: %s\n", view.Plural(len(g.Rows), "test"), strings.Join(names, ", "))
	}
}

func (c *Console) gate(g rollup.Gate) {
	color := yellow
	switch g.Verdict {
	case rollup.Go:
		color = green
	case rollup.NoGo:
		color = red
	}
	fmt.Fprintf(&c.buf, "gate: %s\n", c.paint(color, string(g.Verdict)))
	for i, reason := range g.Reasons {
		if i == maxReasons {
			c.printf("    and %s more\n", view.Plural(len(g.Reasons)-i, "reason"))
			break
		}
		text := reason.Rule + ": "
		if reason.Test != "" {
			text += reason.Test + ": "
		}
		c.block("", text+view.FirstLine(reason.Text, 200))
	}
}
