package console

import (
	"fmt"
	"path"
	"strings"

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
	c.skips(r)
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
	for _, s := range row.Subtests {
		if s.Verdict != rollup.Pass && s.Verdict != rollup.Skip {
			c.field("subtest", view.Subtest(s))
		}
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
