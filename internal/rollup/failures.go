package rollup

import (
	"path"
	"slices"
	"strings"

	"seatrial/harness/event"
	"seatrial/internal/triage"
)

// failure is what went wrong in a row: the test as a whole, or one of its
// subtests.
type failure struct {
	triage.Failure
	row     int
	subtest string
	attempt *Attempt
	verdict Verdict
}

// failing returns the attempt that shows how a row failed: the one that decided,
// or the last that did not pass of a flaky row; nil if none did.
func (r Row) failing() *Attempt {
	switch r.Verdict {
	case Fail, Error, Known:
		return deciding(r.Attempts, r.Outcome)
	case Flaky:
		for i, a := range slices.Backward(r.Attempts) {
			if !a.Cut && (a.Outcome == event.Fail || a.Outcome == event.Error) {
				return &r.Attempts[i]
			}
		}
	}
	return nil
}

// failures lists what went wrong in row i: each subtest that failed, unless
// something happened to the machine or to the test as a whole.
func (p Policy) failures(run Run, i int, row Row) []failure {
	a := row.failing()
	if a == nil && row.Verdict != Fail && row.Verdict != Error {
		return nil
	}
	whole := failure{row: i, attempt: a, verdict: row.Verdict, Failure: triage.Failure{
		Test: row.Test, Suite: row.Suite, Platform: row.Platform, Arch: row.Arch, Accel: row.Accel, Image: row.Image,
		Version: run.ImageVersion(row.Image, row.Arch), Class: row.Class, Message: row.Message,
	}}
	if a == nil { // an error without an attempt
		return []failure{whole}
	}
	whole.Class, whole.Message, whole.Output, whole.Console = a.Class, a.Message, a.Output, p.consoles(*a)
	if f := fatal(*a); f != nil {
		whole.Title = f.Title
		return []failure{whole}
	}
	var parts []failure
	for _, s := range a.Subtests {
		if s.Outcome != event.Fail && s.Outcome != event.Error {
			continue
		}
		part := whole
		part.subtest, part.Test = s.Name, row.Test+"/"+s.Name
		part.Class, part.Message, part.Output = s.Class, s.Message, s.Output
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return []failure{whole}
	}
	return parts
}

// fatal returns the first finding that fails an attempt, or nil.
func fatal(a Attempt) *Finding {
	i := slices.IndexFunc(a.Findings, func(f Finding) bool { return f.Fatal })
	if i < 0 {
		return nil
	}
	return &a.Findings[i]
}

// consoles returns the consoles and journals of an attempt's machines, for rules
// to look at.
func (p Policy) consoles(a Attempt) string {
	if p.ReadText == nil || p.Rules == nil {
		return ""
	}
	var b strings.Builder
	for _, m := range a.Booted {
		for _, file := range []string{"console.txt", "journal.txt"} {
			b.WriteString(p.ReadText(path.Join(m.Artifacts, file)))
		}
	}
	return b.String()
}
