package rollup

import (
	"testing"

	"seatrial/harness/event"
)

// TestStarts: how attempts started is counted, and what passes as a fork only,
// or alone only, is told from what is merely flaky.
func TestStarts(t *testing.T) {
	c := cellNamed("t")
	attempt := func(start string, verifies bool, pack []string, outcome event.Outcome) []event.Body {
		return []event.Body{
			&event.AttemptStarted{Cell: c, Start: "fork", Verifies: verifies, Pack: pack},
			&event.AttemptFinished{Cell: c, Start: start, Outcome: outcome},
		}
	}
	fork := func(o event.Outcome) []event.Body { return attempt("fork", false, nil, o) }
	again := func(o event.Outcome) []event.Body { return attempt("cold", true, nil, o) }
	packed := func(o event.Outcome) []event.Body { return attempt("fork", false, []string{"a", "t"}, o) }
	fell := []event.Body{&event.MachineReady{Cell: c, N: 1, Machine: "m0", Start: "cold", Fallback: "state file is truncated"}}
	tests := []struct {
		name       string
		bodies     [][]event.Body
		want       Starts
		differs    bool
		packedOnly bool
		verdict    Verdict
	}{
		{"fork", [][]event.Body{fork(event.Pass)}, Starts{Fork: 1}, false, false, Pass},
		{"fallback", [][]event.Body{attempt("cold", false, nil, event.Pass), fell}, Starts{Cold: 1, Fallbacks: 1}, false, false, Pass},
		{"verified", [][]event.Body{fork(event.Pass), again(event.Pass)}, Starts{Fork: 1, Cold: 1, Verified: 1}, false, false, Pass},
		{"differs", [][]event.Body{fork(event.Pass), again(event.Fail), again(event.Fail)}, Starts{Fork: 1, Cold: 2, Verified: 1, Differ: 1}, true, false, Flaky},
		{"skipped cold", [][]event.Body{fork(event.Pass), again(event.Skip)}, Starts{Fork: 1, Cold: 1, Verified: 1, Differ: 1}, true, false, Pass},
		{"flaky cold", [][]event.Body{fork(event.Pass), again(event.Fail), again(event.Pass)}, Starts{Fork: 1, Cold: 2, Verified: 1}, false, false, Flaky},
		{"an error says nothing", [][]event.Body{fork(event.Pass), again(event.Error)}, Starts{Fork: 1, Cold: 1}, false, false, Pass},
		{"packed only", [][]event.Body{packed(event.Fail), fork(event.Pass)}, Starts{Fork: 2}, false, true, Flaky},
		{"packed and passed", [][]event.Body{packed(event.Pass)}, Starts{Fork: 1}, false, false, Pass},
		{"packed and flaky alone", [][]event.Body{packed(event.Fail), fork(event.Fail), fork(event.Pass)}, Starts{Fork: 3}, false, false, Flaky},
		{"flaky", [][]event.Body{fork(event.Fail), fork(event.Pass)}, Starts{Fork: 2}, false, false, Flaky},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bodies := []event.Body{&event.RunStarted{ID: "r"}, &event.TestPlanned{Cell: c}}
			for i, b := range tt.bodies {
				number(i+1, b)
				bodies = append(bodies, b...)
			}
			bodies = append(bodies, &event.TestFinished{Cell: c, Outcome: event.Pass, Attempts: len(tt.bodies)})
			r := Judge(fold(bodies...).Result(), Policy{})
			if r.Run.Starts != tt.want {
				t.Errorf("starts %+v, want %+v", r.Run.Starts, tt.want)
			}
			row := r.Results[0]
			if row.ForkDiffers != tt.differs || row.PackedOnly != tt.packedOnly || row.Verdict != tt.verdict {
				t.Errorf("differs %v, packed only %v, verdict %s; want %v, %v, %s", row.ForkDiffers, row.PackedOnly, row.Verdict, tt.differs, tt.packedOnly, tt.verdict)
			}
		})
	}
}

// number makes the events of an attempt those of attempt n.
func number(n int, bodies []event.Body) {
	for _, b := range bodies {
		switch b := b.(type) {
		case *event.AttemptStarted:
			b.N = n
		case *event.AttemptFinished:
			b.N = n
		}
	}
}
