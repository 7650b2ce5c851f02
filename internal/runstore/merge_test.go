package runstore

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
)

// shardRun writes a run of shard i of n, beginning the given number of minutes
// after the others.
func shardRun(t *testing.T, id string, i, n, minutes int, bodies ...event.Body) string {
	t.Helper()
	at := begin.Add(time.Duration(minutes) * time.Minute)
	s, err := Create(Config{Dir: filepath.Join(t.TempDir(), id), Now: func() time.Time {
		at = at.Add(time.Second)
		return at
	}})
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, &event.RunStarted{ID: id, Plan: plan, Shard: &event.Shard{I: i, N: n}, Images: []event.Image{{Name: "img-" + id}}})
	appendAll(t, s, bodies...)
	for _, b := range bodies {
		if a, ok := b.(*event.AttemptStarted); ok {
			dir := s.ArtifactDir(a.Cell, a.N, "m1")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "console.txt"), []byte(id), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	closeStore(t, s)
	return s.Dir()
}

func planned(c event.Cell) event.Body { return &event.TestPlanned{Cell: c} }

// attempt is a whole attempt; finish closes its test, too.
func attempt(c event.Cell, n int, o event.Outcome) []event.Body {
	return []event.Body{
		&event.AttemptStarted{Cell: c, N: n, Start: "fork"},
		&event.Output{Cell: c, N: n, Text: "x"},
		&event.AttemptFinished{Cell: c, N: n, Outcome: o, Start: "fork"},
	}
}

func finish(c event.Cell, n int, o event.Outcome) event.Body {
	return &event.TestFinished{Cell: c, Outcome: o, Attempts: n}
}

func complete() event.Body { return &event.RunFinished{End: event.Complete, Seconds: 10} }

// merged merges runs and folds the outcome.
func merged(t *testing.T, dirs ...string) (string, rollup.Result) {
	t.Helper()
	dir, err := Merge(Config{Dir: filepath.Join(t.TempDir(), "merged"), ID: "merged"}, dirs...)
	if err != nil {
		t.Fatal(err)
	}
	fold := rollup.New()
	for _, e := range readAll(t, dir) {
		fold.Add(e)
	}
	return dir, rollup.Judge(fold.Result(), rollup.Policy{})
}

// row sums up what became of a cell.
type row struct {
	Test     string
	Verdict  rollup.Verdict
	Attempts string // outcomes
	Consoles string // the runs that the artifacts are from
}

func rows(t *testing.T, dir string, r rollup.Result) []row {
	t.Helper()
	var got []row
	for _, from := range r.Results {
		var outcomes, consoles []string
		for _, a := range from.Attempts {
			outcomes = append(outcomes, string(a.Outcome))
			text, err := os.ReadFile(filepath.Join(dir, a.Artifacts, "m1", "console.txt"))
			if err != nil {
				t.Error(err)
			}
			consoles = append(consoles, string(text))
		}
		got = append(got, row{from.Test, from.Verdict, strings.Join(outcomes, " "), strings.Join(consoles, " ")})
	}
	return got
}

func TestMerge(t *testing.T) {
	a, b, c, d := cellNamed("a"), cellNamed("b"), cellNamed("c"), cellNamed("d")
	one := shardRun(t, "one", 1, 3, 0, slices.Concat(
		[]event.Body{planned(a), planned(b)}, attempt(a, 1, event.Pass), []event.Body{finish(a, 1, event.Pass)},
		attempt(b, 1, event.Fail), attempt(b, 2, event.Fail), []event.Body{finish(b, 2, event.Fail), complete()})...)
	// The second shard died; its next run finished what was left and ran one again.
	two := shardRun(t, "two", 2, 3, 1, slices.Concat(
		[]event.Body{planned(c), planned(d)}, attempt(c, 1, event.Fail), []event.Body{finish(c, 1, event.Fail)}, attempt(d, 1, event.Error)[:2])...)
	again := shardRun(t, "again", 2, 3, 30, slices.Concat(
		[]event.Body{planned(c), planned(d)}, attempt(c, 1, event.Pass), []event.Body{finish(c, 1, event.Pass)},
		attempt(d, 1, event.Pass), []event.Body{finish(d, 1, event.Pass), complete()})...)

	t.Run("whole", func(t *testing.T) {
		dir, r := merged(t, one, two, again, one)
		want := []row{
			{"a", rollup.Pass, "pass", "one"},
			{"b", rollup.Fail, "fail fail", "one one"},
			{"c", rollup.Flaky, "fail pass", "two again"},
			{"d", rollup.Pass, "pass", "again"},
		}
		if diff := cmp.Diff(want, rows(t, dir, r)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]rollup.Shard{{I: 1, Found: true, End: event.Complete}, {I: 2, Found: true, End: event.Complete}, {I: 3}}, r.Run.Shards); diff != "" {
			t.Error(diff)
		}
		if r.Run.ID != "merged" || r.Run.End != event.Fault || r.Run.Message != "shard 3 of 3 did not complete" || r.Run.Seconds != 20 || len(r.Run.Images) != 3 {
			t.Errorf("run %+v", r.Run)
		}
	})
	t.Run("any order", func(t *testing.T) {
		first, _ := merged(t, one, two, again)
		second, _ := merged(t, again, one, two, two)
		x, _ := os.ReadFile(filepath.Join(first, EventsFile))
		y, _ := os.ReadFile(filepath.Join(second, EventsFile))
		if diff := cmp.Diff(string(x), string(y)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("a shard that died", func(t *testing.T) {
		dir, r := merged(t, two)
		want := []row{{"c", rollup.Fail, "fail", "two"}, {"d", rollup.Missing, "", "two"}}
		if diff := cmp.Diff(want, rows(t, dir, r)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]rollup.Shard{{I: 1}, {I: 2, Found: true, End: event.Fault}, {I: 3}}, r.Run.Shards); diff != "" {
			t.Error(diff)
		}
	})
}

func TestMergeRefuses(t *testing.T) {
	one := shardRun(t, "one", 1, 2, 0, complete())
	plain := create(t, &event.RunStarted{ID: "plain", Plan: plan})
	closeStore(t, plain)
	other := shardRun(t, "other", 2, 3, 0, complete())
	tests := []struct {
		name string
		dirs []string
		want error
		text string
	}{
		{"nothing", nil, nil, "no run directories given"},
		{"no run", []string{one, t.TempDir()}, ErrNoRun, "has no events.jsonl"},
		{"not a shard", []string{plain.Dir()}, nil, "is not a shard of a run"},
		{"other shards", []string{one, other}, ErrPlanChanged, "merge shards of one run only"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dst := filepath.Join(t.TempDir(), "merged")
			_, err := Merge(Config{Dir: dst, ID: "m"}, tt.dirs...)
			if err == nil || !strings.Contains(err.Error(), tt.text) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got error %v, want one of %v that says %q", err, tt.want, tt.text)
			}
			if _, err := os.Stat(dst); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("something was left behind: %v", err)
			}
		})
	}
	if _, err := Merge(Config{Dir: one, ID: "m"}, one); !errors.Is(err, ErrInUse) {
		t.Errorf("merged into a run: %v", err)
	}
}
