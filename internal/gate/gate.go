// Package gate answers whether an image may ship, from the verdicts of a run.
//
// What is the image's fault blocks, what keeps the run from telling makes the
// answer unknown; a policy file can say otherwise for its channel. The package
// looks at verdicts only; how they come about is the business of package rollup.
package gate

import (
	"fmt"
	"strings"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
	"seatrial/internal/triage/policy"
)

// The rules that a reason can name. What those of the first group do stands in
// the policy; those of the second make the answer unknown, RuleError unless the
// policy allows the errors.
const (
	RuleFail         = "fail"         // a test failed
	RuleMissing      = "missing"      // a required test did not run
	RuleAttempts     = "attempts"     // a pass took more attempts than are allowed
	RuleRegression   = "regression"   // a test passes less often than on earlier images
	RuleFlaky        = "flaky"        // a test passed on a later attempt only
	RuleKnown        = "known"        // a test failed as expected
	RuleFixed        = "fixed"        // a test passed that was expected to fail
	RuleExpired      = "expired"      // the time of a known failure is over
	RuleContradicted = "contradicted" // the run disagrees with a known failure
	RuleUnused       = "unused"       // a known failure that no test of the run is about
	RuleLift         = "lift"         // a known failure that has gone, by statistics

	RuleError         = "error"          // a test ended in an error that is not the image's
	RuleIncomplete    = "incomplete"     // part of the plan did not run
	RuleShard         = "shard"          // a shard is absent or did not end
	RuleCleanup       = "cleanup"        // something could not be removed
	RuleNothingPassed = "nothing-passed" // there is no evidence for the image
	RuleForkDiffers   = "fork-differs"   // a test passed as a fork, and did not when it was repeated cold
)

// Judge returns the answer for a result that has its verdicts, by a policy; nil
// is the default one. One reason that blocks makes it no-go, whatever else there
// is; a doubt makes it unknown; else it is go, whatever is warned of.
func Judge(r rollup.Result, by *policy.Gate) rollup.Gate {
	if by == nil {
		by = policy.DefaultGate()
	}
	j := judge{by: by}
	for _, row := range r.Results {
		j.row(row)
	}
	for _, n := range r.Policy {
		if rule := n.Kind; rule != string(policy.UnexpectedPass) { // the rows say so
			j.effect(by.Effects[rule], rollup.Reason{Rule: rule, Test: n.Pattern, Text: n.Text, Evidence: n.At})
		}
	}
	j.doubts(r)
	gate := rollup.Gate{Verdict: rollup.Go, Channel: by.Channel, Reasons: []rollup.Reason{}}
	for _, s := range []rollup.Severity{rollup.Blocks, rollup.Doubt, rollup.Warns} {
		for _, reason := range j.reasons {
			if reason.Severity == s {
				gate.Reasons = append(gate.Reasons, reason)
			}
		}
	}
	if len(gate.Reasons) > 0 {
		switch gate.Reasons[0].Severity {
		case rollup.Blocks:
			gate.Verdict = rollup.NoGo
		case rollup.Doubt:
			gate.Verdict = rollup.Unknown
		}
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

// Join is the answer for several runs together: the worst of theirs, with all
// reasons.
func Join(gates []rollup.Gate) rollup.Gate {
	all := rollup.Gate{Verdict: rollup.Go, Reasons: []rollup.Reason{}}
	for _, g := range gates {
		all.Channel = g.Channel
		all.Reasons = append(all.Reasons, g.Reasons...)
		if g.Verdict == rollup.NoGo || g.Verdict != rollup.Go && all.Verdict == rollup.Go {
			all.Verdict = g.Verdict
		}
	}
	return all
}

// judge collects reasons.
type judge struct {
	by      *policy.Gate
	reasons []rollup.Reason
}

func (j *judge) add(s rollup.Severity, r rollup.Reason) {
	r.Severity = s
	j.reasons = append(j.reasons, r)
}

// effect adds a reason with the severity of an effect, if it has any.
func (j *judge) effect(e policy.Effect, r rollup.Reason) {
	switch e {
	case policy.GateBlock:
		j.add(rollup.Blocks, r)
	case policy.GateWarn:
		j.add(rollup.Warns, r)
	}
}

func (j *judge) row(row rollup.Row) {
	effects := j.by.Effects
	switch row.Verdict {
	case rollup.Fail:
		j.fail(row)
	case rollup.Missing:
		if row.Required {
			r := about(RuleMissing, row)
			r.Evidence = row.RequiredBy
			j.effect(effects[RuleMissing], r)
		}
	case rollup.Flaky:
		j.flaky(row)
	case rollup.Fixed:
		j.effect(effects[RuleFixed], withKnown(about(RuleFixed, row), row.Known, "expected to fail, but passed"))
	case rollup.Known:
		effect := effects[RuleKnown]
		if row.Known != nil && row.Known.Action == string(policy.Warn) && effect == policy.GateIgnore {
			effect = policy.GateWarn // which is what the entry asks for
		}
		j.effect(effect, withKnown(about(RuleKnown, row), row.Known, "failed as expected"))
	}
	if row.Verdict.Passed() && regressed(row) {
		r := about(RuleRegression, row)
		r.Text = row.Place() + ": " + row.Trend.Text
		j.effect(effects[RuleRegression], r)
	}
	for _, s := range row.Subtests {
		if s.Verdict == rollup.Missing && s.Required {
			j.effect(effects[RuleMissing], rollup.Reason{
				Rule: RuleMissing, Test: row.Test + "/" + s.Name, Text: row.Place() + ": " + s.Message, Evidence: s.RequiredBy,
			})
		}
	}
}

// fail adds a failure with what is known of it.
func (j *judge) fail(row rollup.Row) {
	effect, r := j.by.Effects[RuleFail], about(RuleFail, row)
	if k := row.Known; k != nil && k.Expired {
		r.Text += fmt.Sprintf("; known until %s (%s)", k.Until, k.At)
	}
	if effect == policy.GateRegression {
		effect = policy.GateBlock
		switch t := row.Trend; {
		case t == nil:
			r.Text += "; there is no history to say that it is no regression"
		case regressed(row) || t.Label == "none":
			r.Text += "; by " + t.Method + ": " + t.Text
		default:
			effect = policy.GateWarn
			r.Text += "; no regression by " + t.Method + ": " + t.Text
		}
	}
	if effect != policy.GateBlock && regressed(row) && j.by.Effects[RuleRegression] == policy.GateBlock {
		effect = policy.GateBlock
		r.Text += "; a regression by " + row.Trend.Method + ": " + row.Trend.Text
	}
	j.effect(effect, r)
}

// regressed reports whether history calls a row a regression.
func regressed(row rollup.Row) bool {
	return row.Trend != nil && (row.Trend.Label == "regression" || row.Trend.Label == "extreme-regression")
}

func (j *judge) flaky(row rollup.Row) {
	attempts := 0
	for _, a := range row.Attempts {
		if !a.Cut {
			attempts++
		}
	}
	if j.by.Attempts > 0 && attempts > j.by.Attempts {
		r := about(RuleAttempts, row)
		r.Text = fmt.Sprintf("%s: passed on attempt %d, %d are allowed", row.Place(), attempts, j.by.Attempts)
		j.effect(policy.GateBlock, r)
		return
	}
	if row.Known != nil && !row.Known.Expired {
		return // it is known not to be reliable
	}
	r := about(RuleFlaky, row)
	r.Text = fmt.Sprintf("%s: passed on attempt %d only", row.Place(), attempts)
	j.effect(j.by.Effects[RuleFlaky], r)
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
	return rollup.Reason{Rule: rule, Test: row.Test, Text: text, Evidence: row.Evidence()}
}

// withKnown makes a reason that rests on an entry.
func withKnown(r rollup.Reason, k *rollup.KnownFailure, what string) rollup.Reason {
	r.Text += ": " + what
	if k != nil {
		r.Evidence = k.At
		if k.Tracker != "" {
			r.Text += ", " + k.Tracker
		}
	}
	return r
}

// doubts adds the reasons for which the run cannot tell.
func (j *judge) doubts(r rollup.Result) {
	passed, allowed := false, j.by.Errors
	for _, row := range r.Results {
		passed = passed || row.Verdict.Passed()
		if row.ForkDiffers {
			j.add(rollup.Doubt, rollup.Reason{
				Rule: RuleForkDiffers, Test: row.Test, Text: row.Place() + ": passed as a fork, and did not when it was repeated cold",
				Evidence: row.Evidence(),
			})
		}
		if row.Verdict != rollup.Error {
			continue
		}
		if !row.Required && allowed > 0 {
			allowed--
			reason := about(RuleError, row)
			reason.Text += fmt.Sprintf(" (the policy allows %d)", j.by.Errors)
			j.add(rollup.Warns, reason)
			continue
		}
		j.add(rollup.Doubt, about(RuleError, row))
	}
	for _, reason := range append(incomplete(r), theEnd(r.Run)...) {
		j.add(rollup.Doubt, reason)
	}
	for _, l := range r.Run.Leftovers {
		j.add(rollup.Doubt, rollup.Reason{Rule: RuleCleanup, Text: fmt.Sprintf("%s: could not remove %s: %s", l.Platform, l.Resource, l.Message)})
	}
	if !passed {
		j.add(rollup.Doubt, rollup.Reason{Rule: RuleNothingPassed, Text: "no test passed"})
	}
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
