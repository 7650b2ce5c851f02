package gate

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
)

// TestTruthTable goes through every combination of what a run can hold and
// compares the answer with the rules as DESIGN.md states them.
func TestTruthTable(t *testing.T) {
	verdicts := rollup.Verdicts()
	ends := []event.End{event.Complete, event.Interrupted, event.Deadline, event.FailFast, event.Fault, ""}
	for set := range 1 << len(verdicts) {
		for _, end := range ends {
			for bits := range 16 {
				required, leftover, absent, unrun := bits&1 != 0, bits&2 != 0, bits&4 != 0, bits&8 != 0
				r := rollup.Result{Run: rollup.Run{End: end}}
				has := make(map[rollup.Verdict]bool)
				for i, v := range verdicts {
					if set&(1<<i) == 0 {
						continue
					}
					has[v] = true
					row := rollup.Row{Test: string(v), Platform: "qemu", Arch: "amd64", Verdict: v, Required: required}
					if unrun {
						row.Subtests = []rollup.Subtest{{Name: "s", Verdict: rollup.Missing}}
					}
					r.Results = append(r.Results, row)
				}
				if leftover {
					r.Run.Leftovers = []rollup.Leftover{{Resource: "disk"}}
				}
				if absent {
					r.Run.Shards = []rollup.Shard{{I: 1, Found: true, End: event.Complete}, {I: 2}}
				}
				passed := has[rollup.Pass] || has[rollup.Flaky] || has[rollup.Fixed]
				want := rollup.Go
				switch {
				case has[rollup.Fail], has[rollup.Missing] && required:
					want = rollup.NoGo
				case has[rollup.Error], has[rollup.Missing], end != event.Complete, leftover, absent, !passed, unrun:
					want = rollup.Unknown
				}
				got := Judge(r)
				what := fmt.Sprintf("verdicts %v, end %q, required %v, leftover %v, absent shard %v, unrun subtest %v", has, end, required, leftover, absent, unrun)
				if got.Verdict != want {
					t.Errorf("%s: %s, want %s; %v", what, got.Verdict, want, got.Reasons)
				}
				if (got.Verdict == rollup.Go) != (len(got.Reasons) == 0) {
					t.Errorf("%s: %s for the reasons %v", what, got.Verdict, got.Reasons)
				}
				if got.Verdict == rollup.Go && !passed {
					t.Errorf("%s: go without a pass", what)
				}
			}
		}
	}
}

func TestReasons(t *testing.T) {
	r := rollup.Result{
		Run: rollup.Run{
			End: event.Deadline, Leftovers: []rollup.Leftover{{Platform: "aws", Resource: "i-1", Message: "denied"}},
		},
		Results: []rollup.Row{
			{Test: "a", Platform: "qemu", Arch: "arm64", Variant: "tcg", Verdict: rollup.Fail, Message: "bad\nworse"},
			{Test: "b", Platform: "qemu", Arch: "arm64", Verdict: rollup.Missing, Message: "never ran"},
			{Test: "c", Verdict: rollup.Missing, Message: "required, but not selected", Required: true},
			{Test: "d", Platform: "qemu", Arch: "arm64", Verdict: rollup.Error, Message: "no space"},
			{Test: "e", Platform: "qemu", Arch: "arm64", Verdict: rollup.Flaky, Subtests: []rollup.Subtest{
				{Name: "s", Verdict: rollup.Missing}, {Name: "r", Verdict: rollup.Missing, Required: true, Message: "never ran"},
			}},
		},
	}
	want := rollup.Gate{Verdict: rollup.NoGo, Reasons: []rollup.Reason{
		{Rule: "fail", Test: "a", Text: "qemu-arm64-tcg: bad", Severity: rollup.Blocks},
		{Rule: "missing", Test: "c", Text: "nowhere: required, but not selected", Severity: rollup.Blocks},
		{Rule: "missing", Test: "e/r", Text: "qemu-arm64: never ran", Severity: rollup.Blocks},
		{Rule: "error", Test: "d", Text: "qemu-arm64: no space", Severity: rollup.Doubt},
		{Rule: "incomplete", Test: "e/s", Text: "qemu-arm64: never ran, though its test passed", Severity: rollup.Doubt},
		{Rule: "incomplete", Text: "1 of 5 planned tests did not run to their end", Severity: rollup.Doubt},
		{Rule: "incomplete", Text: "the run came to its deadline", Severity: rollup.Doubt},
		{Rule: "cleanup", Text: "aws: could not remove i-1: denied", Severity: rollup.Doubt},
	}}
	if diff := cmp.Diff(want, Judge(r)); diff != "" {
		t.Error(diff)
	}
	r.Results, r.Run.Leftovers = r.Results[4:], nil
	r.Run.Shards = []rollup.Shard{{I: 1, Found: true, End: event.Interrupted}, {I: 2}}
	got := Judge(r)
	for _, text := range []string{"shard 1 of 2 did not complete", "shard 2 of 2 is absent"} {
		if !slices.Contains(got.Reasons, rollup.Reason{Rule: RuleShard, Text: text, Severity: rollup.Doubt}) {
			t.Errorf("no reason says %q: %v", text, got.Reasons)
		}
	}
}

func TestExitCode(t *testing.T) {
	for v, want := range map[rollup.GateVerdict]int{rollup.Go: 0, rollup.NoGo: 1, rollup.Unknown: 3, "": 3} {
		if got := ExitCode(v); got != want {
			t.Errorf("ExitCode(%q) = %d, want %d", v, got, want)
		}
	}
}
