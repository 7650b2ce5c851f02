// Package gate answers whether an image may ship, from the verdicts of a run.
//
// It decides by the default policy: what is the image's fault blocks, what
// keeps the run from telling makes the answer unknown. It looks at verdicts
// only; how they come about is the business of package rollup.
package gate

import (
	"fmt"
	"strings"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
)

// The rules that a reason can name. Those of the first group block; those of
// the second make the answer unknown.
const (
	RuleFail    = "fail"    // a test failed
	RuleMissing = "missing" // a required test did not run

	RuleError         = "error"          // a test ended in an error that is not the image's
	RuleIncomplete    = "incomplete"     // part of the plan did not run
	RuleShard         = "shard"          // a shard is absent or did not end
	RuleCleanup       = "cleanup"        // something could not be removed
	RuleNothingPassed = "nothing-passed" // there is no evidence for the image
	RuleForkDiffers   = "fork-differs"   // a test passed as a fork, and did not when it was repeated cold
)

// Judge returns the answer for a result that has its verdicts. One blocking
// reason makes it no-go, whatever else there is; any other reason makes it
// unknown; without a reason it is go.
func Judge(r rollup.Result) rollup.Gate {
	blocking := blockingReasons(r.Results)
	gate := rollup.Gate{Verdict: rollup.Go, Reasons: []rollup.Reason{}}
	gate.Reasons = append(gate.Reasons, weighed(blocking, rollup.Blocks)...)
	gate.Reasons = append(gate.Reasons, weighed(doubts(r), rollup.Doubt)...)
	switch {
	case len(blocking) > 0:
		gate.Verdict = rollup.NoGo
	case len(gate.Reasons) > 0:
		gate.Verdict = rollup.Unknown
	}
	return gate
}

// ExitCode is the exit code of the program for an answer: 0 go, 1 no-go, 3
// unknown.
func ExitCode(v rollup.GateVerdict) int {
	switch v {
	case rollup.Go:
		return 0
	case rollup.NoGo:
		return 1
	default:
		return 3
	}
}

// weighed gives reasons a severity.
func weighed(reasons []rollup.Reason, s rollup.Severity) []rollup.Reason {
	for i := range reasons {
		reasons[i].Severity = s
	}
	return reasons
}

func blockingReasons(rows []rollup.Row) []rollup.Reason {
	var reasons []rollup.Reason
	for _, row := range rows {
		switch {
		case row.Verdict == rollup.Fail:
			reasons = append(reasons, about(RuleFail, row))
		case row.Verdict == rollup.Missing && row.Required:
			reasons = append(reasons, about(RuleMissing, row))
		}
		for _, s := range row.Subtests {
			if s.Verdict == rollup.Missing && s.Required {
				reasons = append(reasons, rollup.Reason{
					Rule: RuleMissing, Test: row.Test + "/" + s.Name, Text: row.Place() + ": " + s.Message,
				})
			}
		}
	}
	return reasons
}

// about makes a reason of a row.
func about(rule string, row rollup.Row) rollup.Reason {
	text := row.Place()
	if row.Platform == "" {
		text = "nowhere"
	}
	if row.Message != "" {
		first, _, _ := strings.Cut(row.Message, "\n")
		text += ": " + first
	}
	return rollup.Reason{Rule: rule, Test: row.Test, Text: text}
}

// doubts are the reasons for which the run cannot tell.
func doubts(r rollup.Result) []rollup.Reason {
	var reasons []rollup.Reason
	passed := false
	for _, row := range r.Results {
		passed = passed || row.Verdict.Passed()
		if row.Verdict == rollup.Error {
			reasons = append(reasons, about(RuleError, row))
		}
		if row.ForkDiffers {
			reasons = append(reasons, rollup.Reason{
				Rule: RuleForkDiffers, Test: row.Test, Text: row.Place() + ": passed as a fork, and did not when it was repeated cold",
			})
		}
	}
	reasons = append(reasons, incomplete(r)...)
	reasons = append(reasons, theEnd(r.Run)...)
	for _, l := range r.Run.Leftovers {
		reasons = append(reasons, rollup.Reason{Rule: RuleCleanup, Text: fmt.Sprintf("%s: could not remove %s: %s", l.Platform, l.Resource, l.Message)})
	}
	if !passed {
		reasons = append(reasons, rollup.Reason{Rule: RuleNothingPassed, Text: "no test passed"})
	}
	return reasons
}

// incomplete says which part of the plan did not run: one reason for all tests
// that are not required, and one for each subtest unrun in a test that passed.
func incomplete(r rollup.Result) []rollup.Reason {
	var reasons []rollup.Reason
	unrun := 0
	for _, row := range r.Results {
		if row.Verdict == rollup.Missing && !row.Required {
			unrun++
		}
		if !row.Verdict.Passed() {
			continue
		}
		for _, s := range row.Subtests {
			if s.Verdict == rollup.Missing && !s.Required {
				reasons = append(reasons, rollup.Reason{
					Rule: RuleIncomplete, Test: row.Test + "/" + s.Name, Text: row.Place() + ": never ran, though its test passed",
				})
			}
		}
	}
	if unrun > 0 {
		reasons = append(reasons, rollup.Reason{Rule: RuleIncomplete, Text: fmt.Sprintf("%d of %d planned tests did not run to their end", unrun, len(r.Results))})
	}
	return reasons
}

// theEnd says which shards, or else that the run as a whole, did not complete.
func theEnd(run rollup.Run) []rollup.Reason {
	var reasons []rollup.Reason
	for _, s := range run.Shards {
		which := fmt.Sprintf("shard %d of %d", s.I, len(run.Shards))
		switch {
		case !s.Found:
			reasons = append(reasons, rollup.Reason{Rule: RuleShard, Text: which + " is absent"})
		case s.End != event.Complete:
			reasons = append(reasons, rollup.Reason{Rule: RuleShard, Text: which + " did not complete"})
		}
	}
	if len(reasons) == 0 && run.End != event.Complete {
		reasons = append(reasons, rollup.Reason{Rule: RuleIncomplete, Text: rollup.EndText(run)})
	}
	return reasons
}
