package rollup

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/internal/triage/policy"
)

func TestVerdicts(t *testing.T) {
	attempts := func(outcomes ...event.Outcome) []Attempt {
		var all []Attempt
		for i, o := range outcomes {
			all = append(all, Attempt{N: i + 1, Outcome: o})
		}
		return all
	}
	tests := []struct {
		name     string
		outcome  event.Outcome
		attempts []Attempt
		required bool
		want     Verdict
		message  string
	}{
		{"pass", event.Pass, attempts(event.Pass), false, Pass, "m"},
		{"pass, required", event.Pass, attempts(event.Pass), true, Pass, "m"},
		{"pass after fail", event.Pass, attempts(event.Fail, event.Pass), false, Flaky, "m"},
		{"pass after error", event.Pass, attempts(event.Error, event.Pass), false, Flaky, "m"},
		{"pass after a dead runner", event.Pass, []Attempt{{N: 1, Outcome: event.Error, Cut: true}, {N: 2, Outcome: event.Pass}}, false, Pass, "m"},
		{"fail", event.Fail, attempts(event.Fail), false, Fail, "m"},
		{"fail, then error", event.Fail, attempts(event.Fail, event.Error), false, Fail, "m"},
		{"error", event.Error, attempts(event.Error, event.Error), false, Error, "m"},
		{"error, required", event.Error, attempts(event.Error), true, Error, "m"},
		{"skip", event.Skip, nil, false, Skip, "m"},
		{"skip, required", event.Skip, nil, true, Missing, "required, but skipped: m"},
		{"never ran", "", nil, false, Missing, "never ran: the run was interrupted"},
		{"cut off", "", attempts(event.Fail, ""), true, Missing, "attempt 2 did not end: the run was interrupted"},
		{"of the future", "half", nil, false, Missing, "never ran: the run was interrupted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Policy{}
			if tt.required {
				p.Required = policy.Require("a")
			}
			in := Result{Run: Run{End: event.Interrupted}, Results: []Row{{Test: "a", Outcome: tt.outcome, Message: "m", Attempts: tt.attempts}}}
			before, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			got := Judge(in, p).Results
			if len(got) != 1 || got[0].Verdict != tt.want || got[0].Message != tt.message || got[0].Required != tt.required {
				t.Errorf("got %+v, want %s with message %q", got, tt.want, tt.message)
			}
			if got[0].Outcome != tt.outcome {
				t.Errorf("the outcome became %s", got[0].Outcome)
			}
			if after, _ := json.Marshal(in); string(after) != string(before) {
				t.Errorf("the argument became %s", after)
			}
		})
	}
}

func TestSubtestVerdicts(t *testing.T) {
	first := Attempt{N: 1, Outcome: event.Fail, Subtests: []Subtest{{Name: "shaky", Outcome: event.Fail}, {Name: "ok", Outcome: event.Pass}}}
	row := Row{
		Test: "a", Outcome: event.Pass, Attempts: []Attempt{first, {N: 2, Outcome: event.Pass}},
		Subtests: []Subtest{
			{Name: "ok", Outcome: event.Pass}, {Name: "shaky", Outcome: event.Pass},
			{Name: "skipped", Outcome: event.Skip, Message: "m"}, {Name: "wanted", Outcome: event.Skip, Message: "m"}, {Name: "unrun"},
		},
	}
	in := Result{Results: []Row{row, {Test: "b", Outcome: event.Skip, Message: "no tpm", Subtests: []Subtest{{Name: "x"}, {Name: "y"}}}}}
	got := Judge(in, Policy{Required: policy.Require("a/wanted", "a/unknown", "b/y")}).Results
	got[0].Subtests[1].Signature, got[0].Subtests[1].Diagnosis = "", Diagnosis{} // TestDiagnose is about these
	if s := in.Results[1].Subtests[0]; s.Verdict != "" {
		t.Errorf("the argument has now the verdict %s", s.Verdict)
	}
	want := [][]Subtest{{
		{Name: "ok", Verdict: Pass, Outcome: event.Pass},
		{Name: "shaky", Verdict: Flaky, Outcome: event.Pass},
		{Name: "skipped", Verdict: Skip, Outcome: event.Skip, Message: "m"},
		{Name: "wanted", Verdict: Missing, Outcome: event.Skip, Message: "required, but skipped: m", Required: true},
		{Name: "unrun", Verdict: Missing, Message: "never ran"},
		{Name: "unknown", Verdict: Missing, Message: "never ran", Required: true},
	}, {
		{Name: "x", Verdict: Skip, Message: "no tpm"},
		{Name: "y", Verdict: Missing, Message: "required, but skipped: no tpm", Required: true},
	}}
	if diff := cmp.Diff(want, [][]Subtest{got[0].Subtests, got[1].Subtests}); diff != "" {
		t.Error(diff)
	}
}

func TestNotSelected(t *testing.T) {
	rows := []Row{
		{Test: "a", Suite: "s", Platform: "qemu", Arch: "amd64", Outcome: event.Pass},
		{Test: "a", Suite: "s", Platform: "qemu", Arch: "arm64", Outcome: event.Pass},
		{Test: "b", Suite: "s", Platform: "qemu", Arch: "amd64", Outcome: event.Pass},
	}
	type key struct{ Test, Suite, Arch string }
	missing := func(rows []Row, required ...string) []key {
		var keys []key
		for _, row := range Judge(Result{Results: rows}, Policy{Required: policy.Require(required...)}).Results {
			if row.NotSelected {
				keys = append(keys, key{row.Test, row.Suite, row.Arch})
				if row.Verdict != Missing || !row.Required || row.Outcome != "" {
					t.Errorf("row %+v", row)
				}
			}
		}
		return keys
	}
	if got := missing(rows, "a"); got != nil {
		t.Errorf("a is there, but got %v", got)
	}
	if diff := cmp.Diff([]key{{"c", "", "amd64"}, {"c", "", "arm64"}, {"b", "s", "arm64"}}, missing(rows, "b", "c/sub", "c")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]key{{"c", "", ""}}, missing(nil, "c")); diff != "" {
		t.Error(diff)
	}
}
