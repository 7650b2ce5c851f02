package gate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
	"seatrial/internal/triage/policy"
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
				got := Judge(r, nil)
				what := fmt.Sprintf("verdicts %v, end %q, required %v, leftover %v, absent shard %v, unrun subtest %v", has, end, required, leftover, absent, unrun)
				if got.Verdict != want {
					t.Errorf("%s: %s, want %s; %v", what, got.Verdict, want, got.Reasons)
				}
				against := slices.ContainsFunc(got.Reasons, func(r rollup.Reason) bool { return r.Severity != rollup.Warns })
				if (got.Verdict == rollup.Go) == against {
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
	if diff := cmp.Diff(want, Judge(r, nil)); diff != "" {
		t.Error(diff)
	}
	r.Results, r.Run.Leftovers = r.Results[4:], nil
	r.Run.Shards = []rollup.Shard{{I: 1, Found: true, End: event.Interrupted}, {I: 2}}
	got := Judge(r, nil)
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

// TestPolicies sees what the rules of a policy do, each about one row.
func TestPolicies(t *testing.T) {
	known := &rollup.KnownFailure{Pattern: "a", Action: "expect-fail", Tracker: "t1", At: "k.yaml:2:3"}
	warned := &rollup.KnownFailure{Pattern: "a", Action: "warn", At: "k.yaml:2:3"}
	two := []rollup.Attempt{{N: 1, Outcome: event.Fail, Artifacts: "art"}, {N: 2, Outcome: event.Pass, Artifacts: "art2"}}
	trend := func(label string) *rollup.Trend {
		return &rollup.Trend{Label: label, Method: "labels", Text: "numbers"}
	}
	tests := []struct {
		name, rules string
		row         rollup.Row
		notes       []rollup.Note
		want        rollup.GateVerdict
		severity    rollup.Severity // of the reason, "" for none
		rule, text  string
		evidence    string
	}{
		{"a failure", "", rollup.Row{Verdict: rollup.Fail}, nil, rollup.NoGo, rollup.Blocks, "fail", "", ""},
		{"a failure, warned of", "rules: {fail: warn}", rollup.Row{Verdict: rollup.Fail}, nil, rollup.Go, rollup.Warns, "fail", "", ""},
		{"without history", "rules: {fail: regression}", rollup.Row{Verdict: rollup.Fail}, nil, rollup.NoGo, rollup.Blocks, "fail", "no history", ""},
		{"a regression", "rules: {fail: regression}", rollup.Row{Verdict: rollup.Fail, Trend: trend("regression")}, nil, rollup.NoGo, rollup.Blocks, "fail", "by labels: numbers", ""},
		{"an old failure", "rules: {fail: regression}", rollup.Row{Verdict: rollup.Fail, Trend: trend("fail")}, nil, rollup.Go, rollup.Warns, "fail", "no regression by labels: numbers", ""},
		{"a regression, warned of as failure", "rules: {fail: warn, regression: block}", rollup.Row{Verdict: rollup.Fail, Trend: trend("regression")}, nil, rollup.NoGo, rollup.Blocks, "fail", "a regression", ""},
		{"passes less often", "rules: {regression: block}", rollup.Row{Verdict: rollup.Pass, Trend: trend("extreme-regression")}, nil, rollup.NoGo, rollup.Blocks, "regression", "numbers", ""},
		{"flaky", "", rollup.Row{Verdict: rollup.Flaky, Attempts: two}, nil, rollup.Go, "", "", "", ""},
		{"flaky, warned of", "rules: {flaky: warn}", rollup.Row{Verdict: rollup.Flaky, Attempts: two}, nil, rollup.Go, rollup.Warns, "flaky", "attempt 2", "art"},
		{"known to be flaky", "rules: {flaky: block}", rollup.Row{Verdict: rollup.Flaky, Attempts: two, Diagnosis: rollup.Diagnosis{Known: warned}}, nil, rollup.Go, "", "", "", ""},
		{"too many attempts", "attempts: 1", rollup.Row{Verdict: rollup.Flaky, Attempts: two, Diagnosis: rollup.Diagnosis{Known: warned}}, nil, rollup.NoGo, rollup.Blocks, "attempts", "1 are allowed", "art"},
		{"known", "", rollup.Row{Verdict: rollup.Known, Diagnosis: rollup.Diagnosis{Known: known}}, nil, rollup.Go, "", "", "", ""},
		{"known, to be warned of", "", rollup.Row{Verdict: rollup.Known, Diagnosis: rollup.Diagnosis{Known: warned}}, nil, rollup.Go, rollup.Warns, "known", "", "k.yaml:2:3"},
		{"known, but nothing is excused", "rules: {known: block}", rollup.Row{Verdict: rollup.Known, Diagnosis: rollup.Diagnosis{Known: known}}, nil, rollup.NoGo, rollup.Blocks, "known", "t1", "k.yaml:2:3"},
		{"fixed", "", rollup.Row{Verdict: rollup.Fixed, Diagnosis: rollup.Diagnosis{Known: known}}, nil, rollup.Go, rollup.Warns, "fixed", "expected to fail", "k.yaml:2:3"},
		{"expired", "", rollup.Row{Verdict: rollup.Pass}, []rollup.Note{{Kind: "expired", Pattern: "a", At: "k.yaml:9:3"}}, rollup.NoGo, rollup.Blocks, "expired", "", "k.yaml:9:3"},
		{"unused", "", rollup.Row{Verdict: rollup.Pass}, []rollup.Note{{Kind: "unused", Pattern: "a"}}, rollup.Go, "", "", "", ""},
		{"an error", "", rollup.Row{Verdict: rollup.Error}, nil, rollup.Unknown, rollup.Doubt, "error", "", ""},
		{"an error that is allowed", "errors: 1", rollup.Row{Verdict: rollup.Error}, nil, rollup.Go, rollup.Warns, "error", "allows 1", ""},
		{"an error of a required test", "errors: 1", rollup.Row{Verdict: rollup.Error, Required: true}, nil, rollup.Unknown, rollup.Doubt, "error", "", ""},
		{"missing", "rules: {missing: warn}", rollup.Row{Verdict: rollup.Missing, Required: true, RequiredBy: "r.yaml:1:2"}, nil, rollup.Go, rollup.Warns, "missing", "", "r.yaml:1:2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			by, err := policy.ParseGate("g.yaml", []byte("channel: c\n"+tt.rules))
			if err != nil {
				t.Fatal(err)
			}
			tt.row.Test, tt.row.Platform, tt.row.Arch = "a", "qemu", "arm64"
			good := rollup.Row{Test: "good", Platform: "qemu", Arch: "arm64", Verdict: rollup.Pass}
			got := Judge(rollup.Result{Run: rollup.Run{End: event.Complete}, Results: []rollup.Row{tt.row, good}, Policy: tt.notes}, by)
			if got.Verdict != tt.want || got.Channel != "c" {
				t.Errorf("%s for %s, want %s: %v", got.Verdict, got.Channel, tt.want, got.Reasons)
			}
			if len(got.Reasons) == 0 && tt.severity == "" {
				return
			}
			if len(got.Reasons) != 1 || got.Reasons[0].Severity != tt.severity || got.Reasons[0].Rule != tt.rule ||
				!strings.Contains(got.Reasons[0].Text, tt.text) || got.Reasons[0].Evidence != tt.evidence {
				t.Errorf("reasons %+v", got.Reasons)
			}
		})
	}
}

// TestJoin: several runs are as good as the worst of them.
func TestJoin(t *testing.T) {
	reason := []rollup.Reason{{Rule: "r"}}
	for _, tt := range []struct{ a, b, want rollup.GateVerdict }{
		{rollup.Go, rollup.Go, rollup.Go}, {rollup.Go, rollup.Unknown, rollup.Unknown}, {rollup.Unknown, rollup.Go, rollup.Unknown},
		{rollup.NoGo, rollup.Unknown, rollup.NoGo}, {rollup.Unknown, rollup.NoGo, rollup.NoGo}, {rollup.Go, "", ""},
	} {
		got := Join([]rollup.Gate{{Verdict: tt.a, Reasons: reason}, {Verdict: tt.b, Reasons: reason}})
		if got.Verdict != tt.want || len(got.Reasons) != 2 {
			t.Errorf("%s and %s are %s: %v", tt.a, tt.b, got.Verdict, got.Reasons)
		}
	}
}
