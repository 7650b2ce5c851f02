package policy

import (
	"fmt"
	"strings"
	"time"

	"seatrial/harness/event"
)

// Observation is how a test, or "test/subtest", ended in a place.
type Observation struct {
	Test      string
	Place     Place
	Outcome   event.Outcome
	Signature string // of a failure
}

func (o Observation) String() string {
	words := []string{o.Test, "on", o.Place.Platform, o.Place.Arch, o.Place.Accel, o.Place.Version}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// RemarkKind is what is to be said about an entry.
type RemarkKind string

// The kinds of remarks.
const (
	Expired        RemarkKind = "expired"         // its time is over
	Unused         RemarkKind = "unused"          // no test of the run is in its scope
	Contradicted   RemarkKind = "contradicted"    // the run disagrees with a part of it
	UnexpectedPass RemarkKind = "unexpected-pass" // all that was expected to fail passed
)

// Remark says that an entry should be looked at again.
type Remark struct {
	Entry *Entry
	Kind  RemarkKind
	Text  string
	// Evidence are the observations that speak against the entry.
	Evidence []Observation
}

// Audit compares the entries with what a run observed. Entries come in their
// order, each with all that is to be said about it.
//
// An entry that expects a failure is contradicted if some of its tests passed
// while others failed (its scope is too wide), and if a test failed in another
// way than its signature says. A pattern for tests is compared with tests and
// not with their subtests. Errors and skipped tests say nothing.
func (k *Known) Audit(observed []Observation, now time.Time) []Remark {
	var remarks []Remark
	for _, e := range k.Entries {
		remarks = append(remarks, e.audit(observed, now)...)
	}
	return remarks
}

func (e *Entry) audit(observed []Observation, now time.Time) []Remark {
	var remarks []Remark
	remark := func(kind RemarkKind, evidence []Observation, format string, args ...any) {
		remarks = append(remarks, Remark{e, kind, fmt.Sprintf(format, args...), evidence})
	}
	if e.Expired(now) && !e.Snoozed {
		remark(Expired, nil, "expired on %s", e.Until.Format(time.DateOnly))
	}
	covered := 0
	var passed, failed, otherwise []Observation
	for _, o := range observed {
		if !matches(e.Pattern, o.Test, false) || !e.Scope.Holds(o.Place) {
			continue
		}
		covered++
		switch {
		case o.Outcome == event.Pass:
			passed = append(passed, o)
		case o.Outcome == event.Fail && e.Signature != nil && !e.Signature.MatchString(o.Signature):
			otherwise = append(otherwise, o)
		case o.Outcome == event.Fail:
			failed = append(failed, o)
		}
	}
	action := e.ActionAt(now)
	switch {
	case covered == 0:
		remark(Unused, nil, "no test of this run is in its scope")
	case action == ExpectFail && len(passed) > 0 && len(failed)+len(otherwise) == 0:
		remark(UnexpectedPass, passed, "expected to fail, but passed in all %d places", len(passed))
	case action == ExpectFail && len(passed) > 0:
		remark(Contradicted, passed, "expected to fail, but passed in %d of %d places", len(passed), len(passed)+len(failed)+len(otherwise))
	}
	if len(otherwise) > 0 && action != "" {
		remark(Contradicted, otherwise, "failed in %d places in another way than %q", len(otherwise), strings.TrimPrefix(e.Signature.String(), lineMode))
	}
	return remarks
}
