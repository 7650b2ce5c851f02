package compare

import "seatrial/harness/event"

// Label describes a short history.
type Label string

// The labels.
const (
	Passing    Label = "pass"
	Failing    Label = "fail"
	Fixed      Label = "fixed"      // failed, and passes since
	Regression Label = "regression" // passed, and fails since
	Unstable   Label = "unstable"   // went to and fro, or ended otherwise
	NoHistory  Label = "none"
)

// Labeled is a label with what it rests on.
type Labeled struct {
	Label Label
	Runs  int // in the history
	// Since is the number of latest runs with the present outcome.
	Since int
}

// LabelOf labels a history, the latest run first, as KernelCI does
// (kernelci/dashboard, notifications.py, categorize_test_history): one change
// from fail to pass is a fix, one from pass to fail a regression; a second
// change, or an outcome other than these two, is instability.
func LabelOf(history []event.Outcome) Labeled {
	l := Labeled{Label: NoHistory, Runs: len(history)}
	if len(history) == 0 {
		return l
	}
	changes, other := 0, false
	l.Since = len(history)
	for i, o := range history {
		other = other || o != event.Pass && o != event.Fail
		if i > 0 && o != history[i-1] {
			changes++
			l.Since = min(l.Since, i)
		}
	}
	passes := history[0] == event.Pass
	switch {
	case changes > 1 || other:
		l.Label = Unstable
	case changes == 1 && passes:
		l.Label = Fixed
	case changes == 1:
		l.Label = Regression
	case passes:
		l.Label = Passing
	default:
		l.Label = Failing
	}
	return l
}
