package rollup

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"seatrial/harness/event"
	"seatrial/internal/history"
	"seatrial/internal/triage/compare"
	"seatrial/internal/triage/policy"
)

// Policy is what a result is judged by. Its zero value knows no exceptions and
// no history.
type Policy struct {
	Required *policy.Required
	Known    *policy.Known
	Rules    *policy.Rules
	// Now is the time by which entries expire.
	Now time.Time
	// Thresholds are those of statistics over earlier runs; zero means those of
	// package compare.
	Thresholds compare.Thresholds
	// Earlier is what is known of earlier runs.
	Earlier history.Earlier
	// ReadText, if set, returns the text of a file of the run directory, or as
	// much of it as rules should look at; "" if there is none.
	ReadText func(name string) string
}

// Judge returns the result with the verdicts that the policy gives it, the
// causes of failures, and a row for each required test that was not selected.
// The facts stay as they are, but for the message of what is missing, which says
// why, and the signatures, which become those of package triage; r itself is not
// changed.
func Judge(r Result, p Policy) Result {
	rows := make([]Row, len(r.Results))
	for i, row := range r.Results {
		rows[i] = p.judgeRow(row, r.Run)
	}
	rows = append(rows, p.notSelected(rows, r.Run)...)
	slices.SortStableFunc(rows, func(a, b Row) int { return compareCells(a.cell(), b.cell()) })
	r.Results, r.Clusters = rows, nil
	p.diagnose(&r)
	p.remember(&r)
	compareRows(rows)
	r.Policy = p.notes(r)
	return r
}

func (r Row) cell() event.Cell {
	return event.Cell{Test: r.Test, Suite: r.Suite, Platform: r.Platform, Arch: r.Arch, Accel: r.Accel, Image: r.Image}
}

// requires says whether a test, or "test/subtest", is required in a place, and
// where that stands.
func (p Policy) requires(test string, place policy.Place) (at string, required bool) {
	if p.Required == nil {
		return "", false
	}
	r, ok := p.Required.Requires(test, place)
	if !ok {
		return "", false
	}
	return r.At.String(), true
}

func (p Policy) judgeRow(row Row, run Run) Row {
	place := policyPlace(run, row)
	row.RequiredBy, row.Required = p.requires(row.Test, place)
	row.Verdict = verdict(row.Outcome)
	switch {
	case row.Verdict == Missing:
		row.Message = whyMissing(row, run)
	case row.Verdict == Skip && row.Required:
		row.Verdict, row.Message = Missing, "required, but skipped: "+row.Message
	case row.Verdict == Pass && retried(row):
		row.Verdict = Flaky
	}
	row.Subtests = p.withRequired(row, place)
	for i := range row.Subtests {
		s := &row.Subtests[i]
		s.RequiredBy, s.Required = p.requiresPart(row.Test, s.Name, place)
		judgeSubtest(s, row)
	}
	return row
}

// requiresPart is like requires for a subtest. A requirement that names tests by
// a prefix does not ask for each of their subtests.
func (p Policy) requiresPart(test, subtest string, place policy.Place) (at string, required bool) {
	if p.Required == nil {
		return "", false
	}
	for _, r := range p.Required.Tests {
		if _, free := r.Exception(place); !free && r.Name == test+"/"+subtest {
			return r.At.String(), true
		}
	}
	return "", false
}

// withRequired returns a copy of the row's subtests and of those that are
// required of it, so that one which the test does not even know is missing.
func (p Policy) withRequired(row Row, place policy.Place) []Subtest {
	subtests := slices.Clone(row.Subtests)
	if p.Required == nil {
		return subtests
	}
	var wanted []string
	for _, r := range p.Required.Tests {
		sub, ok := strings.CutPrefix(r.Name, row.Test+"/")
		_, free := r.Exception(place)
		if ok && !free && !slices.ContainsFunc(subtests, func(s Subtest) bool { return s.Name == sub }) {
			wanted = append(wanted, sub)
		}
	}
	slices.Sort(wanted)
	for _, sub := range slices.Compact(wanted) {
		subtests = append(subtests, Subtest{Name: sub})
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

func judgeSubtest(s *Subtest, row Row) {
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
func (p Policy) notSelected(rows []Row, run Run) []Row {
	if p.Required == nil {
		return nil
	}
	places := make(map[event.Cell]Row)
	ran := make(map[event.Cell][]string) // tests, by place
	suites := make(map[string]string)    // by test
	for _, row := range rows {
		suites[row.Test] = row.Suite
		place := placeOf(row, "")
		places[place] = row
		ran[place] = append(ran[place], row.Test)
	}
	if len(places) == 0 {
		places[event.Cell{}] = Row{}
	}
	var missing []Row
	for _, place := range slices.SortedFunc(maps.Keys(places), compareCells) {
		like := places[place]
		for _, wanted := range p.Required.Tests {
			test, _, _ := strings.Cut(wanted.Name, "/")
			named := func(name string) bool { return name == test || wanted.Names(name) }
			if _, free := wanted.Exception(policyPlace(run, like)); free || slices.ContainsFunc(ran[place], named) {
				continue
			}
			ran[place] = append(ran[place], test)
			missing = append(missing, Row{
				Test: name(test), Suite: suites[test],
				Platform: like.Platform, Arch: like.Arch, Accel: like.Accel, Image: like.Image, Variant: like.Variant,
				Verdict: Missing, Message: "required, but not selected", Required: true, RequiredBy: wanted.At.String(), NotSelected: true,
				Subtests: []Subtest{}, Attempts: []Attempt{},
			})
		}
	}
	return missing
}

func placeOf(row Row, test string) event.Cell {
	return event.Cell{Test: test, Platform: row.Platform, Arch: row.Arch, Accel: row.Accel, Image: row.Image}
}
