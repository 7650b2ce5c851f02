package rollup

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"seatrial/harness/event"
)

// Policy is what a result is judged by.
type Policy struct {
	// Required names tests, "cl.basic", and subtests, "cl.basic/ssh", that
	// must have run in each place of the run.
	Required []string
}

// Judge returns the result with the verdicts that the policy gives it, and
// with a row for each required test that was not selected. The facts stay as
// they are, but for the message of what is missing, which says why; r itself
// is not changed.
func Judge(r Result, p Policy) Result {
	required := make(map[string]bool)
	for _, name := range p.Required {
		required[name] = true
	}
	rows := make([]Row, len(r.Results))
	for i, row := range r.Results {
		rows[i] = judgeRow(row, r.Run, required)
	}
	rows = append(rows, notSelected(rows, p.Required)...)
	slices.SortStableFunc(rows, func(a, b Row) int { return compareCells(a.cell(), b.cell()) })
	r.Results = rows
	return r
}

func (r Row) cell() event.Cell {
	return event.Cell{Test: r.Test, Suite: r.Suite, Platform: r.Platform, Arch: r.Arch, Accel: r.Accel, Image: r.Image}
}

func judgeRow(row Row, run Run, required map[string]bool) Row {
	row.Required = required[row.Test]
	row.Verdict = verdict(row.Outcome)
	switch {
	case row.Verdict == Missing:
		row.Message = whyMissing(row, run)
	case row.Verdict == Skip && row.Required:
		row.Verdict, row.Message = Missing, "required, but skipped: "+row.Message
	case row.Verdict == Pass && retried(row):
		row.Verdict = Flaky
	}
	row.Subtests = withRequired(row, required)
	for i := range row.Subtests {
		judgeSubtest(&row.Subtests[i], row, required)
	}
	return row
}

// withRequired returns a copy of the row's subtests and of those that are
// required of it, so that one which the test does not even know is missing.
func withRequired(row Row, required map[string]bool) []Subtest {
	subtests := slices.Clone(row.Subtests)
	for _, name := range slices.Sorted(maps.Keys(required)) {
		sub, ok := strings.CutPrefix(name, row.Test+"/")
		if ok && !slices.ContainsFunc(subtests, func(s Subtest) bool { return s.Name == sub }) {
			subtests = append(subtests, Subtest{Name: sub})
		}
	}
	return subtests
}

// verdict is that of an outcome alone.
func verdict(o event.Outcome) Verdict {
	switch o {
	case event.Pass:
		return Pass
	case event.Fail:
		return Fail
	case event.Error:
		return Error
	case event.Skip:
		return Skip
	default:
		return Missing
	}
}

// retried reports whether an attempt did not pass. Those that died with their
// runner tell nothing, nor do errors when a pass was repeated.
func retried(row Row) bool {
	return slices.ContainsFunc(row.Attempts, func(a Attempt) bool {
		return !a.Cut && (a.Outcome == event.Fail || a.Outcome == event.Error && !a.Verifies)
	})
}

func whyMissing(row Row, run Run) string {
	why := "never ran"
	if n := len(row.Attempts); n > 0 {
		why = fmt.Sprintf("attempt %d did not end", row.Attempts[n-1].N)
	}
	if run.End != "" && run.End != event.Complete {
		why += ": " + EndText(run)
	}
	return why
}

// EndText says how a run ended, in words that follow "the run".
func EndText(run Run) string {
	text := ""
	switch run.End {
	case event.Complete:
		text = "is complete"
	case event.Interrupted:
		text = "was interrupted"
	case event.Deadline:
		text = "came to its deadline"
	case event.FailFast:
		text = "stopped at its first failure"
	case event.Fault:
		text = "could not go on"
	case "":
		text = "has not ended, or was cut off"
	default:
		text = "ended as " + Printable(string(run.End))
	}
	if run.Message != "" {
		text += ": " + run.Message
	}
	return "the run " + text
}

func judgeSubtest(s *Subtest, row Row, required map[string]bool) {
	s.Required = required[row.Test+"/"+s.Name]
	s.Verdict = verdict(s.Outcome)
	switch {
	case s.Verdict == Missing && row.Outcome == event.Skip && !s.Required:
		s.Verdict, s.Message = Skip, row.Message
	case s.Verdict == Missing && row.Outcome == event.Skip:
		s.Message = "required, but skipped: " + row.Message
	case s.Verdict == Missing:
		s.Message = "never ran"
	case s.Verdict == Skip && s.Required:
		s.Verdict, s.Message = Missing, "required, but skipped: "+s.Message
	case s.Verdict == Pass && subtestRetried(s.Name, row):
		s.Verdict = Flaky
	}
}

func subtestRetried(name string, row Row) bool {
	for _, a := range row.Attempts {
		for _, s := range a.Subtests {
			if !a.Cut && s.Name == name && (s.Outcome == event.Fail || s.Outcome == event.Error) {
				return true
			}
		}
	}
	return false
}

// notSelected returns a row for each required test that has none in a place of
// the run; where the run has no place, one without place.
func notSelected(rows []Row, required []string) []Row {
	var places, missing []Row
	have := make(map[event.Cell]bool)
	suites := make(map[string]string) // by test
	for _, row := range rows {
		suites[row.Test] = row.Suite
		have[placeOf(row, row.Test)] = true
		if !slices.ContainsFunc(places, func(p Row) bool { return placeOf(p, "") == placeOf(row, "") }) {
			places = append(places, row)
		}
	}
	if len(places) == 0 {
		places = append(places, Row{})
	}
	for _, wanted := range required {
		test, _, _ := strings.Cut(wanted, "/")
		for _, p := range places {
			key := placeOf(p, test)
			if have[key] {
				continue
			}
			have[key] = true
			missing = append(missing, Row{
				Test: name(test), Suite: suites[test], Platform: p.Platform, Arch: p.Arch, Accel: p.Accel, Image: p.Image, Variant: p.Variant,
				Verdict: Missing, Message: "required, but not selected", Required: true, NotSelected: true,
				Subtests: []Subtest{}, Attempts: []Attempt{},
			})
		}
	}
	return missing
}

func placeOf(row Row, test string) event.Cell {
	return event.Cell{Test: test, Platform: row.Platform, Arch: row.Arch, Accel: row.Accel, Image: row.Image}
}
