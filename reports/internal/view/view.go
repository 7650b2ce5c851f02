// Package view holds what the report formats say in the same words: how a
// verdict looks, how long a time is, which rows come first.
package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
)

// Symbol is a sign for a verdict, for use beside the word and never instead
// of it.
func Symbol(v rollup.Verdict) string {
	switch v {
	case rollup.Pass:
		return "✓"
	case rollup.Flaky:
		return "~"
	case rollup.Known:
		return "×"
	case rollup.Fixed:
		return "↑"
	case rollup.Fail:
		return "✗"
	case rollup.Error:
		return "!"
	case rollup.Skip:
		return "–"
	case rollup.Missing:
		return "?"
	default:
		return ""
	}
}

// Seconds formats a duration as "0.4s", "38.2s", "3m12s" or "1h02m".
func Seconds(s float64) string {
	switch {
	case s < 59.95:
		return fmt.Sprintf("%.1fs", s)
	case s < 3599.5:
		n := int(s + 0.5)
		return fmt.Sprintf("%dm%02ds", n/60, n%60)
	default:
		n := int(s/60 + 0.5)
		return fmt.Sprintf("%dh%02dm", n/60, n%60)
	}
}

// FirstLine is the first line of a text, cut to at most limit runes.
func FirstLine(text string, limit int) string {
	line, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	runes := []rune(line)
	if len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	if more && len(runes) < limit {
		return line + "…"
	}
	return line
}

// LastLines is the end of a text, at most n lines of it.
func LastLines(text string, n int) []string {
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):]
}

// Problems returns the rows that someone has to look at: what failed, then
// what is in error, missing, fixed and flaky, each in the order of the result.
func Problems(r rollup.Result) []rollup.Row {
	var rows []rollup.Row
	for _, v := range []rollup.Verdict{rollup.Fail, rollup.Error, rollup.Missing, rollup.Fixed, rollup.Flaky} {
		for _, row := range r.Results {
			if row.Verdict == v {
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// Deciding returns the attempt that decided a row: the one whose message the row
// has, or the last one that ended as the row did; for a flaky row the last one that did not pass; for a missing
// one the last; nil if there was none.
func Deciding(row rollup.Row) *rollup.Attempt {
	for i := range row.Attempts {
		a := &row.Attempts[i]
		if row.Verdict != rollup.Flaky && row.Message != "" && a.Message == row.Message && a.Outcome == row.Outcome {
			return a
		}
	}
	for i := len(row.Attempts) - 1; i >= 0; i-- {
		a := &row.Attempts[i]
		bad := a.Outcome == event.Fail || a.Outcome == event.Error
		switch {
		case row.Verdict == rollup.Flaky && bad && !a.Cut,
			row.Verdict != rollup.Flaky && a.Outcome == row.Outcome,
			row.Verdict == rollup.Missing:
			return a
		}
	}
	return nil
}

// FatalFinding returns the first fatal finding of an attempt, or nil.
func FatalFinding(a *rollup.Attempt) *rollup.Finding {
	if a == nil {
		return nil
	}
	if i := slices.IndexFunc(a.Findings, func(f rollup.Finding) bool { return f.Fatal }); i >= 0 {
		return &a.Findings[i]
	}
	return nil
}

// Describe says what a finding is and where it stands.
func Describe(f rollup.Finding) string {
	where := fmt.Sprintf("%s %s, boot %d, line %d", f.Machine, f.Source, f.Boot, f.Line)
	if f.File != "" {
		where = fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	return f.Title + " (" + where + ")"
}

// Attempt says in one line how an attempt went.
func Attempt(a rollup.Attempt) string {
	var b strings.Builder
	fmt.Fprintf(&b, "attempt %d: ", a.N)
	switch {
	case a.Outcome == "":
		b.WriteString("did not end")
	case a.Class != "":
		fmt.Fprintf(&b, "%s (%s)", a.Outcome, a.Class)
	default:
		b.WriteString(string(a.Outcome))
	}
	fmt.Fprintf(&b, " in %s", Seconds(a.Seconds))
	if a.Start != "" {
		fmt.Fprintf(&b, ", %s start", a.Start)
	}
	switch {
	case a.Verifies:
		b.WriteString(", repeats a pass from a fork")
	case len(a.Pack) > 1:
		fmt.Fprintf(&b, ", on a machine on which %s had run", strings.Join(a.Pack[:len(a.Pack)-1], ", "))
	}
	if a.StartNote != "" {
		fmt.Fprintf(&b, " (%s)", FirstLine(a.StartNote, 200))
	}
	if a.ProvisionSeconds > 0 {
		fmt.Fprintf(&b, ", ready after %s", Seconds(a.ProvisionSeconds))
	}
	return b.String()
}

// Starts says how the attempts of a run started, or is "" where none was
// forked or should have been.
func Starts(s rollup.Starts) string {
	if s.Fork == 0 && s.Fallbacks == 0 {
		return ""
	}
	text := fmt.Sprintf("%s from forks, %d cold", Plural(s.Fork, "attempt"), s.Cold)
	if s.Fallbacks > 0 {
		text += fmt.Sprintf("; %s could not be forked and booted cold", Plural(s.Fallbacks, "machine"))
	}
	if s.Verified > 0 {
		text += fmt.Sprintf("; %d repeated cold", s.Verified)
	}
	if s.Differ > 0 {
		text += fmt.Sprintf(", %d of them with another outcome", s.Differ)
	}
	return text
}

// Notes says what is odd about how a row came to its outcome.
func Notes(row rollup.Row) []string {
	var notes []string
	if row.ForkDiffers {
		notes = append(notes, "passed as a fork, and did not when it was repeated cold")
	}
	if row.PackedOnly {
		notes = append(notes, "failed on a machine that it shared and passed alone: it depends on the tests before it, or is flaky")
	}
	return notes
}

// SkipGroup is all rows that were skipped for one reason.
type SkipGroup struct {
	Reason string
	Rows   []rollup.Row
}

// Skips groups the skipped rows by reason, the most frequent first.
func Skips(r rollup.Result) []SkipGroup {
	var groups []SkipGroup
	index := make(map[string]int)
	for _, row := range r.Results {
		if row.Verdict != rollup.Skip {
			continue
		}
		reason := cmp.Or(row.Message, "no reason given")
		i, known := index[reason]
		if !known {
			i = len(groups)
			index[reason] = i
			groups = append(groups, SkipGroup{Reason: reason})
		}
		groups[i].Rows = append(groups[i].Rows, row)
	}
	slices.SortStableFunc(groups, func(a, b SkipGroup) int { return cmp.Compare(len(b.Rows), len(a.Rows)) })
	return groups
}

// Total says how many tests there are and which verdicts their rows have: "23
// tests in 2 places: 43 pass, 2 skip, 1 flaky".
func Total(r rollup.Result) string {
	counts := r.Counts()
	var parts []string
	for _, v := range slices.Backward(rollup.Verdicts()) {
		if counts[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[v], v))
		}
	}
	total := tests(r)
	if len(parts) == 0 {
		return total
	}
	return total + ": " + strings.Join(parts, ", ")
}

// tests says how many tests there are, and in how many places if in several.
func tests(r rollup.Result) string {
	names, places := make(map[string]bool), make(map[string]bool)
	for _, row := range r.Results {
		names[row.Test] = true
		places[row.Place()] = true
	}
	text := Plural(len(names), "test")
	if len(places) > 1 {
		text += " in " + Plural(len(places), "place")
	}
	return text
}

// maxUnrun is how many subtests that never ran are named each by itself.
const maxUnrun = 3

// Subtests says of each subtest of a row that someone has to look at how it
// ended; many that never ran are one line.
func Subtests(row rollup.Row) []string {
	var lines, unrun []string
	for _, s := range row.Subtests {
		switch s.Verdict {
		case rollup.Pass, rollup.Skip:
		case rollup.Missing:
			unrun = append(unrun, s.Name)
		default:
			lines = append(lines, Subtest(s))
		}
	}
	if len(unrun) > maxUnrun {
		return append(lines, fmt.Sprintf("%s and %d more never ran", strings.Join(unrun[:maxUnrun], ", "), len(unrun)-maxUnrun))
	}
	for _, s := range row.Subtests {
		if s.Verdict == rollup.Missing {
			lines = append(lines, Subtest(s))
		}
	}
	return lines
}

// Subtest says in one line how a subtest ended.
func Subtest(s rollup.Subtest) string {
	text := s.Name + ": " + string(s.Verdict)
	if s.Message != "" {
		text += ": " + FirstLine(s.Message, 200)
	}
	return text
}

// Plural is "1 test", "2 tests".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
