package rollup

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func cellNamed(test string) event.Cell {
	return event.Cell{Test: test, Suite: "s", Platform: "qemu", Arch: "arm64", Accel: "tcg", Image: "img"}
}

// fold folds bodies, one second apart.
func fold(bodies ...event.Body) *Fold {
	f := New()
	for i, b := range bodies {
		f.Add(event.Event{Seq: int64(i + 1), Time: start.Add(time.Duration(i) * time.Second), Body: b})
	}
	return f
}

func TestFoldRow(t *testing.T) {
	c := cellNamed("cl.basic")
	got := fold(
		&event.RunStarted{ID: "r"},
		&event.TestPlanned{Cell: c, Doc: "doc", Tags: []string{"tag"}, Subtests: []string{"ssh", "units", "never"}},
		&event.AttemptStarted{Cell: c, N: 1, Start: "fork"},
		&event.MachineBooting{Cell: c, N: 1, Machine: "m1", State: "firmware"},
		&event.MachineReady{Cell: c, N: 1, Machine: "m1", Seconds: 2, Addresses: []string{"10.0.0.1"}, Slowness: 3},
		&event.Output{Cell: c, N: 1, Text: "hello"},
		&event.Output{Cell: c, N: 1, Subtest: "units", Text: "\x1b[1mbold\n"},
		&event.SubtestFinished{Cell: c, N: 1, Name: "ssh", Outcome: event.Pass, Seconds: 1},
		&event.SubtestFinished{Cell: c, N: 1, Name: "units", Outcome: event.Fail, Class: event.Assertion, Message: "bad\n"},
		&event.Finding{Cell: c, N: 1, Machine: "m1", Source: "console", Boot: 1, Line: 7, Rule: "oops", Title: "Oops", Text: "Oops: 0", Fatal: true},
		&event.MachineGone{Cell: c, N: 1, Machine: "m1", Reason: "destroyed"},
		&event.AttemptFinished{Cell: c, N: 1, Outcome: event.Fail, Class: event.Assertion, Message: "units", Signature: "sig", Start: "cold", ProvisionSeconds: 2, Seconds: 5, Machines: []string{"m1"}},
		&event.TestFinished{Cell: c, Outcome: event.Fail, Class: event.Assertion, Message: "units", Attempts: 1, Reproduce: "again"},
	).Result().Results
	dir := "artifacts/qemu-arm64/cl.basic/1"
	subtests := []Subtest{
		{Name: "ssh", Outcome: event.Pass, Seconds: 1},
		{Name: "units", Outcome: event.Fail, Class: event.Assertion, Message: "bad", Output: `\x1b[1mbold`},
	}
	want := []Row{{
		Test: "cl.basic", Suite: "s", Platform: "qemu", Arch: "arm64", Accel: "tcg", Image: "img",
		Outcome: event.Fail, Class: event.Assertion, Message: "units", Signature: "sig", Seconds: 5, Reproduce: "again",
		Subtests: append(subtests[:2:2], Subtest{Name: "never"}),
		Attempts: []Attempt{{
			N: 1, Outcome: event.Fail, Class: event.Assertion, Start: "cold", ProvisionSeconds: 2, Seconds: 5,
			Machines: []string{"m1"}, Message: "units", Signature: "sig", Started: start.Add(2 * time.Second), Artifacts: dir,
			Booted:   []Machine{{ID: "m1", State: "gone", Seconds: 2, Addresses: []string{"10.0.0.1"}, Slowness: 3, Gone: "destroyed", Artifacts: dir + "/m1"}},
			Subtests: subtests,
			Findings: []Finding{{Machine: "m1", Source: "console", Boot: 1, Line: 7, Rule: "oops", Title: "Oops", Text: "Oops: 0", Fatal: true, File: dir + "/m1/console.txt"}},
			Output:   "hello",
		}},
		Doc: "doc", Tags: []string{"tag"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestSnapshotsStay takes a snapshot after each event and sees that later
// events leave it as it was, and that it equals a fold made from scratch.
func TestSnapshotsStay(t *testing.T) {
	a, b := cellNamed("a"), cellNamed("b")
	other := b
	other.Image = "img2" // gives a its variant late
	bodies := []event.Body{
		&event.RunStarted{ID: "r", Images: []event.Image{{Name: "img", Arch: "arm64"}}},
		&event.TestPlanned{Cell: a},
		&event.AttemptStarted{Cell: a, N: 1},
		&event.MachineReady{Cell: a, N: 1, Machine: "m", OSRelease: map[string]string{"ID": "x"}},
		&event.Finding{Cell: a, N: 1, Machine: "m", Title: "t"},
		&event.SubtestFinished{Cell: a, N: 1, Name: "s", Outcome: event.Pass},
		&event.SubtestFinished{Cell: a, N: 1, Name: "s", Outcome: event.Fail},
		&event.AttemptFinished{Cell: a, N: 1, Outcome: event.Pass},
		&event.CleanupFailed{Resource: "x"},
		&event.TestPlanned{Cell: b},
		&event.TestPlanned{Cell: other},
		&event.TestFinished{Cell: a, Outcome: event.Pass, Attempts: 1},
		&event.CleanupFailed{Resource: "y"},
		&event.RunFinished{End: event.Complete, Seconds: 3},
	}
	f := New()
	var snapshots []Result
	var asJSON []string
	for i, body := range bodies {
		f.Add(event.Event{Seq: int64(i + 1), Time: start.Add(time.Duration(i) * time.Second), Body: body})
		r := f.Result()
		if diff := cmp.Diff(fold(bodies[:i+1]...).Result(), r); diff != "" {
			t.Errorf("after event %d the snapshot differs from a new fold:\n%s", i+1, diff)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		snapshots, asJSON = append(snapshots, r), append(asJSON, string(text))
	}
	for i, r := range snapshots {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != asJSON[i] {
			t.Errorf("snapshot %d changed from\n%s\nto\n%s", i+1, asJSON[i], text)
		}
	}
}

func TestFoldRuns(t *testing.T) {
	c := cellNamed("a")
	begin := &event.RunStarted{ID: "r"}
	tests := []struct {
		name   string
		bodies []event.Body
		end    event.End
		cut    bool
		shards []Shard
	}{
		{"going on", []event.Body{begin}, "", false, nil},
		{"complete", []event.Body{begin, &event.RunFinished{End: event.Complete}}, event.Complete, false, nil},
		{"resumed", []event.Body{begin, &event.RunFinished{End: event.Interrupted}, &event.RunStarted{Resumed: true}}, "", false, nil},
		{"one shard", []event.Body{&event.RunStarted{Shard: &event.Shard{I: 2, N: 3}}, &event.RunFinished{End: event.Complete}}, event.Complete, false, nil},
		{"resumed, cut attempt", []event.Body{begin,
			&event.AttemptStarted{Cell: c, N: 1}, &event.RunStarted{Resumed: true}, &event.AttemptFinished{Cell: c, N: 1, Outcome: event.Error},
		}, "", true, nil},
		{"interrupted attempt", []event.Body{begin,
			&event.AttemptStarted{Cell: c, N: 1}, &event.AttemptFinished{Cell: c, N: 1, Outcome: event.Error, Interrupted: true},
		}, "", true, nil},
		{"attempt that went wrong by itself", []event.Body{begin,
			&event.AttemptStarted{Cell: c, N: 1}, &event.AttemptFinished{Cell: c, N: 1, Outcome: event.Error},
		}, "", false, nil},
		{"merged, one absent, one cut", []event.Body{begin,
			&event.RunStarted{Shard: &event.Shard{I: 1, N: 3}}, &event.RunFinished{End: event.Complete},
			&event.RunStarted{Shard: &event.Shard{I: 3, N: 3}}, &event.RunFinished{End: event.Fault},
			&event.RunFinished{End: event.Fault},
		}, event.Fault, false, []Shard{{1, true, event.Complete}, {2, false, ""}, {3, true, event.Fault}}},
		{"merged, one there twice", []event.Body{begin,
			&event.RunStarted{Shard: &event.Shard{I: 1, N: 1}}, &event.RunFinished{End: event.Complete},
			&event.RunStarted{Shard: &event.Shard{I: 1, N: 1}}, &event.RunFinished{End: event.Fault},
			&event.RunFinished{End: event.Complete},
		}, event.Complete, false, []Shard{{1, true, event.Complete}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := fold(tt.bodies...).Result()
			if r.Run.End != tt.end {
				t.Errorf("end %q, want %q", r.Run.End, tt.end)
			}
			if r.Run.Finished.IsZero() != (tt.end == "") {
				t.Errorf("finished %v at end %q", r.Run.Finished, tt.end)
			}
			if diff := cmp.Diff(tt.shards, r.Run.Shards); diff != "" {
				t.Error(diff)
			}
			if len(r.Results) > 0 && r.Results[0].Attempts[0].Cut != tt.cut {
				t.Errorf("cut is %v, want %v", !tt.cut, tt.cut)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	c := cellNamed("a")
	f := fold(&event.RunStarted{ID: "r"}, &event.AttemptStarted{Cell: c, N: 1})
	var snapshot Result
	var last Finding // of the snapshot
	for i := range 1000 {
		if i == 999 { // the fatal one, which displaces another
			snapshot = f.Result()
			last = snapshot.Results[0].Attempts[0].Findings[maxFindings-1]
		}
		f.Add(event.Event{Body: &event.Output{Cell: c, N: 1, Text: fmt.Sprintf("line %d %s", i, strings.Repeat("é", 500))}})
		f.Add(event.Event{Body: &event.Finding{Cell: c, N: 1, Line: i, Text: strings.Repeat("f", 1<<20), Fatal: i == 999}})
	}
	if diff := cmp.Diff(last, snapshot.Results[0].Attempts[0].Findings[maxFindings-1]); diff != "" {
		t.Errorf("an earlier snapshot changed:\n%s", diff)
	}
	a := f.Result().Results[0].Attempts[0]
	if len(a.Output) > maxOutput+100 || !strings.HasPrefix(a.Output, "[") || !strings.Contains(a.Output, "line 999") {
		t.Errorf("output of %d bytes begins with %.60q", len(a.Output), a.Output)
	}
	if len(a.Findings) != maxFindings || a.FindingsCut != 900 || !a.Findings[maxFindings-1].Fatal {
		t.Errorf("%d findings, %d cut, the last is %+v", len(a.Findings), a.FindingsCut, a.Findings[maxFindings-1])
	}
	if n := len(a.Findings[0].Text); n > maxFinding+10 {
		t.Errorf("text of a finding has %d bytes", n)
	}
	f.Add(event.Event{Body: &event.AttemptFinished{Cell: c, N: 1, Outcome: event.Pass}})
	if n := len(f.Result().Results[0].Attempts[0].Output); n > maxPassed+100 {
		t.Errorf("%d bytes are kept of a test that passed", n)
	}
}

func BenchmarkSnapshot(b *testing.B) {
	f := New()
	cells := make([]event.Cell, 3000)
	for i := range cells {
		cells[i] = cellNamed(fmt.Sprintf("test.%d", i))
		f.Add(event.Event{Body: &event.AttemptStarted{Cell: cells[i], N: 1}})
	}
	f.Result()
	for i := 0; b.Loop(); i++ {
		f.Add(event.Event{Body: &event.TestFinished{Cell: cells[i%len(cells)], Outcome: event.Pass}})
		Judge(f.Result(), Policy{})
	}
}
