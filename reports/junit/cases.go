package junit

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

const (
	maxMessage   = 500      // runes of a message attribute
	maxSystemOut = 64 << 10 // bytes of a system-out
)

// cases makes the testcases of a row: one for the test, one for each subtest.
func cases(row rollup.Row, o view.Options) []testcase {
	all := []testcase{testCase(row, o)}
	for _, s := range row.Subtests {
		all = append(all, subtestCase(row, s))
	}
	return all
}

func testCase(row rollup.Row, o view.Options) testcase {
	c := testcase{Name: row.Test, Time: formatSeconds(row.Seconds), seconds: row.Seconds}
	switch row.Verdict {
	case rollup.Fail:
		c.Failure = result(row.Class, row.Message, details(row))
	case rollup.Error:
		c.Error = result(row.Class, row.Message, details(row))
	case rollup.Skip:
		c.Skipped = &junit.Result{Message: oneLine(row.Message), Data: row.Message}
	case rollup.Known:
		c.Skipped = &junit.Result{Message: knownFailure(row.Known, row.Message), Data: content(row.Message, details(row))}
	case rollup.Missing:
		kind := event.Class("missing")
		if row.NotSelected {
			kind = "not-selected"
		}
		c.Error = result(kind, row.Message, details(row))
	}
	c.addAttempts(row)
	if text := systemOut(row, o); text != "" {
		c.SystemOut = &junit.Output{Data: text}
	}
	return c
}

func subtestCase(row rollup.Row, s rollup.Subtest) testcase {
	c := testcase{Name: row.Test + "/" + s.Name, Time: formatSeconds(s.Seconds)}
	again := ""
	if row.Reproduce != "" {
		again = "reproduce: " + row.Reproduce
	}
	switch {
	case s.Verdict == rollup.Fail:
		c.Failure = result(s.Class, s.Message, again)
	case s.Verdict == rollup.Error:
		c.Error = result(s.Class, s.Message, again)
	case s.Verdict == rollup.Missing && (s.Required || row.Verdict.Passed()):
		c.Error = result("missing", s.Message, "")
	case s.Verdict == rollup.Missing:
		// The test itself has the failure or error that this follows from.
		c.Skipped = &junit.Result{Message: "never ran: " + row.Test + " ended before it"}
	case s.Verdict == rollup.Skip:
		c.Skipped = &junit.Result{Message: oneLine(s.Message), Data: s.Message}
	case s.Verdict == rollup.Known:
		c.Skipped = &junit.Result{Message: knownFailure(s.Known, s.Message), Data: content(s.Message, again)}
	case s.Verdict == rollup.Flaky:
		for _, a := range row.Attempts {
			for _, earlier := range a.Subtests {
				if earlier.Name == s.Name && !a.Cut {
					c.addFlaky(earlier.Outcome, earlier.Class, earlier.Message)
				}
			}
		}
	}
	if s.Output != "" {
		c.SystemOut = &junit.Output{Data: s.Output}
	}
	return c
}

// knownFailure is the message of a failure that was expected.
func knownFailure(k *rollup.KnownFailure, message string) string {
	text := "known failure"
	if k != nil {
		text += ": " + cmp.Or(k.Tracker, k.Reason, k.At)
		if k.Until != "" {
			text += " until " + k.Until
		}
	}
	return oneLine(text + ": " + message)
}

// addAttempts gives the case an element for each attempt that did not pass
// and is not shown by the case itself.
func (c *testcase) addAttempts(row rollup.Row) {
	shown := -1
	for i, a := range row.Attempts {
		if a.Outcome == row.Outcome && !a.Cut {
			shown = i // as Surefire does: the first of them
			break
		}
	}
	for i, a := range row.Attempts {
		switch {
		case a.Cut || i == shown:
		case row.Verdict == rollup.Flaky:
			c.addFlaky(a.Outcome, a.Class, a.Message)
		case row.Verdict != rollup.Fail && row.Verdict != rollup.Error:
		case a.Outcome == event.Fail:
			c.RerunFailures = append(c.RerunFailures, again(a.Class, a.Message))
		case a.Outcome == event.Error:
			c.RerunErrors = append(c.RerunErrors, again(a.Class, a.Message))
		}
	}
}

func (c *testcase) addFlaky(o event.Outcome, class event.Class, message string) {
	switch o {
	case event.Fail:
		c.FlakyFailures = append(c.FlakyFailures, again(class, message))
	case event.Error:
		c.FlakyErrors = append(c.FlakyErrors, again(class, message))
	}
}

func again(class event.Class, message string) rerun {
	return rerun{Message: cmp.Or(oneLine(message), kind(class)), Type: kind(class), StackTrace: junit.Output{Data: message}}
}

// result makes a failure or an error, its text in the message and in the
// content.
func result(class event.Class, message, details string) *junit.Result {
	return &junit.Result{Message: cmp.Or(oneLine(message), kind(class)), Type: kind(class), Data: content(message, details)}
}

func content(message, details string) string {
	return strings.Trim(message+"\n\n"+details, "\n")
}

func kind(class event.Class) string { return string(cmp.Or(class, "unknown")) }

func oneLine(message string) string { return view.FirstLine(message, maxMessage) }

// details is what a reader of a failure needs next.
func details(row rollup.Row) string {
	var lines []string
	for _, s := range row.Subtests {
		if s.Verdict == rollup.Fail || s.Verdict == rollup.Error {
			lines = append(lines, fmt.Sprintf("subtest %s: %s", s.Name, view.FirstLine(s.Message, maxMessage)))
		}
	}
	if f := view.FatalFinding(view.Deciding(row)); f != nil {
		lines = append(lines, f.Source+": "+view.Describe(*f))
	}
	for _, f := range view.Facts(row) {
		lines = append(lines, f.Name+": "+f.Text)
	}
	if row.Reproduce != "" {
		lines = append(lines, "reproduce: "+row.Reproduce)
	}
	return strings.Join(lines, "\n")
}

// systemOut has the facts about a test for which the schemas have no place,
// the end of its output, and a line for each attachment.
func systemOut(row rollup.Row, o view.Options) string {
	var head, attachments []string
	var logs strings.Builder
	attach := func(file string) {
		if o.Has(file) {
			attachments = append(attachments, "[[ATTACHMENT|"+o.Attachment(file)+"]]")
		}
	}
	for _, a := range row.Attempts {
		head = append(head, view.Attempt(a))
		for _, f := range a.Findings {
			head = append(head, f.Source+": "+view.Describe(f))
		}
		if a.Output != "" {
			fmt.Fprintf(&logs, "--- output of attempt %d\n%s\n", a.N, a.Output)
		}
		for _, m := range a.Booted {
			attach(path.Join(m.Artifacts, "console.txt"))
			if m.Seconds > 0 {
				attach(path.Join(m.Artifacts, "journal.txt"))
			}
		}
	}
	if row.Verdict == rollup.Flaky || row.Verdict == rollup.Fixed {
		for _, f := range view.Facts(row) {
			head = append(head, f.Name+": "+f.Text)
		}
	}
	if len(head) > 0 && row.Reproduce != "" {
		head = append(head, "reproduce: "+row.Reproduce)
	}
	before := joinLines(head, maxSystemOut/4)
	after := joinLines(attachments, maxSystemOut/4)
	room := maxSystemOut - len(before) - len(after)
	return before + lastBytes(logs.String(), room) + after
}

// joinLines ends each line and leaves out those for which there is no room.
func joinLines(lines []string, limit int) string {
	var b strings.Builder
	for _, line := range lines {
		if b.Len()+len(line)+1 > limit {
			break
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// lastBytes is the end of a text in whole lines.
func lastBytes(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	text = text[len(text)-limit:]
	_, text, _ = strings.Cut(text, "\n")
	return text
}
