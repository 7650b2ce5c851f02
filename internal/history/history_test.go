package history

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	if file := os.Getenv("HISTORY_TEST_WRITER"); file != "" {
		os.Exit(writerProcess(file))
	}
	os.Exit(m.Run())
}

func open(t testing.TB, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func cell(test string) Cell {
	return Cell{Test: test, Platform: "qemu", Arch: "arm64", Accel: "tcg", Product: "flatcar"}
}

// run is run n, in which the tests ended with these verdicts.
func run(n int, verdicts map[string]string) Run {
	r := Run{ID: fmt.Sprintf("run%d", n), Started: start.AddDate(0, 0, n), Program: "v1", Dir: "d", End: "complete", Gate: "go"}
	for test, v := range verdicts {
		result := Result{Cell: cell(test), Image: Image{"img", fmt.Sprintf("sha%d", n), fmt.Sprintf("%d.0", n)}, Verdict: v, Seconds: float64(n)}
		if v == "fail" {
			result.Cluster = "c1"
			r.Clusters = append(r.Clusters, Found{
				Cluster:  Cluster{ID: "c1", Area: "assertion", Title: "bad", Keys: []string{"k" + strconv.Itoa(n)}, First: Seen{Version: result.Image.Version}},
				Failures: []Failure{{Cell: cell(test), Part: "part"}},
			})
		}
		r.Results = append(r.Results, result)
	}
	return r
}

func record(t testing.TB, db *DB, runs ...Run) {
	t.Helper()
	for _, r := range runs {
		if err := db.Record(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMatrix records runs in another order than they took place, one of them
// twice.
func TestMatrix(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "dir", "history.db"))
	record(t, db, run(3, map[string]string{"a": "fail", "b": "pass"}), run(1, map[string]string{"a": "pass"}),
		run(2, map[string]string{"a": "pass"}), run(2, map[string]string{"a": "flaky"}))
	past := func(n int, verdict, cluster string) Past {
		return Past{
			Seen:  Seen{Run: fmt.Sprintf("run%d", n), Time: start.AddDate(0, 0, n), Version: fmt.Sprintf("%d.0", n)},
			Image: fmt.Sprintf("sha%d", n), Verdict: verdict, Cluster: cluster,
		}
	}
	tests := []struct {
		limit   int
		without string
		want    map[Cell][]Past
	}{
		{10, "", map[Cell][]Past{cell("a"): {past(1, "pass", ""), past(2, "flaky", ""), past(3, "fail", "c1")}, cell("b"): {past(3, "pass", "")}}},
		{2, "", map[Cell][]Past{cell("a"): {past(2, "flaky", ""), past(3, "fail", "c1")}, cell("b"): {past(3, "pass", "")}}},
		{10, "run3", map[Cell][]Past{cell("a"): {past(1, "pass", ""), past(2, "flaky", "")}}},
	}
	for _, tt := range tests {
		got, err := db.Matrix(t.Context(), tt.limit, tt.without)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("limit %d without %q: %v (-want +got):\n%s", tt.limit, tt.without, err, diff)
		}
	}
	runs, err := db.Runs(t.Context(), 2)
	if err != nil || len(runs) != 2 || runs[0].ID != "run2" || runs[1].ID != "run3" || runs[1].Tests != 2 {
		t.Errorf("runs %+v, %v", runs, err)
	}
}

func TestClusters(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "history.db"))
	five, three := run(5, map[string]string{"a": "fail"}), run(3, map[string]string{"b": "fail"})
	five.Clusters[0].Category, five.Clusters[0].Tracker = "etcd", "t5"
	three.Clusters[0].Category = "older"
	record(t, db, five, three, run(6, map[string]string{"a": "fail"}))
	e, err := db.Before(t.Context(), "run6", 100)
	want := Cluster{
		ID: "c1", Area: "assertion", Title: "bad", Keys: []string{"k3", "k5", "k6"}, First: Seen{"run3", start.AddDate(0, 0, 3), "3.0"},
		Category: "etcd", Tracker: "t5", CauseRun: "run5",
	}
	if diff := cmp.Diff(map[string]Cluster{"c1": want}, e.Clusters); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if e.Products["img"] != "flatcar" {
		t.Errorf("products %v", e.Products)
	}
	if _, there := e.Cells[cell("a")]; !there || len(e.Cells[cell("a")]) != 1 {
		t.Errorf("cells %v", e.Cells)
	}
	found, err := db.Occurrences(t.Context(), "c1", 2)
	if err != nil || len(found) != 2 || found[0].Run != "run6" || found[1].Run != "run5" || found[1].Part != "part" || found[1].Version != "5.0" {
		t.Errorf("occurrences %+v, %v", found, err)
	}
}

func TestDurations(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "history.db"))
	for n := range 12 {
		record(t, db, run(n, map[string]string{"a": "pass", "b": "fail"}))
	}
	got, err := db.Durations(t.Context())
	c := cell("a")
	c.Product = ""
	if diff := cmp.Diff(map[Cell]time.Duration{c: 7 * time.Second}, got); diff != "" || err != nil { // of 3 to 11
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestPrune(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "history.db"))
	for n := range 5 {
		record(t, db, run(n, map[string]string{"a": "fail"}))
	}
	for _, tt := range []struct{ before, keep, want, left int }{{2, 0, 2, 3}, {9, 2, 1, 2}, {0, 0, 0, 2}} {
		n, err := db.Prune(t.Context(), start.AddDate(0, 0, tt.before), tt.keep)
		runs, err2 := db.Runs(t.Context(), 100)
		if err := errors.Join(err, err2); err != nil || n != tt.want || len(runs) != tt.left {
			t.Errorf("%+v: %d pruned, %d left, %v", tt, n, len(runs), err)
		}
	}
	c, err := db.Clusters(t.Context())
	if err != nil || c["c1"].First.Run != "run0" {
		t.Errorf("the cluster's first run is forgotten: %+v, %v", c, err)
	}
}

// TestNewer refuses a file of the future rather than misread it.
func TestNewer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	db := open(t, path)
	if _, err := db.sql.Exec(`INSERT INTO schema VALUES (99)`); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); !errors.Is(err, ErrNewer) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path+".txt", []byte("this is no database, but a text of some length"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path+".txt"); err == nil || !strings.Contains(err.Error(), path+".txt") {
		t.Errorf("a text file: %v", err)
	}
}

const (
	writers       = 6
	runsPerWriter = 15
)

// TestWriters lets several processes open, upgrade and write one file at the
// same time; nothing is lost.
func TestWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a history #1?.db")
	var all []*exec.Cmd
	for i := range writers {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "HISTORY_TEST_WRITER="+path, "HISTORY_TEST_NUMBER="+strconv.Itoa(i))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	for _, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	got, err := open(t, path).Matrix(t.Context(), 1000, "")
	if err != nil || len(got[cell("shared")]) != writers*runsPerWriter || len(got) != writers+1 {
		t.Errorf("%d cells, %d results of the shared one, %v", len(got), len(got[cell("shared")]), err)
	}
}

func writerProcess(path string) int {
	ctx := context.Background()
	number, _ := strconv.Atoi(os.Getenv("HISTORY_TEST_NUMBER"))
	for n := range runsPerWriter {
		db, err := Open(ctx, path)
		if err == nil {
			err = db.Record(ctx, run(number*1000+n, map[string]string{"shared": "fail", fmt.Sprintf("own%d", number): "pass"}))
			err = errors.Join(err, db.Close())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

// generated makes a history of 1,000 runs of 500 tests.
func generated(b *testing.B) *DB {
	b.Helper()
	db := open(b, filepath.Join(b.TempDir(), "history.db"))
	for n := range 1000 {
		verdicts := make(map[string]string, 500)
		for i := range 500 {
			switch {
			case (n*31+i*17)%97 == 0:
				verdicts[fmt.Sprintf("suite.test%d", i)] = "fail"
			case (n*13+i)%211 == 0:
				verdicts[fmt.Sprintf("suite.test%d", i)] = "flaky"
			default:
				verdicts[fmt.Sprintf("suite.test%d", i)] = "pass"
			}
		}
		record(b, db, run(n, verdicts))
	}
	return db
}

// cpuTime is what this process has used, which says more than the clock where a
// machine is busy with other things.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// BenchmarkMatrix asks for the matrix of the whole history.
func BenchmarkMatrix(b *testing.B) {
	db := generated(b)
	before := cpuTime(b)
	defer func() { b.ReportMetric((cpuTime(b)-before).Seconds()/float64(b.N), "cpu-s/op") }()
	for b.Loop() {
		m, err := db.Matrix(b.Context(), 1000, "")
		if err != nil || len(m) != 500 || len(m[cell("suite.test7")]) != 1000 {
			b.Fatalf("%d cells, %v", len(m), err)
		}
	}
}

// BenchmarkBefore asks for what a run loads at its start.
func BenchmarkBefore(b *testing.B) {
	db := generated(b)
	for b.Loop() {
		if _, err := db.Before(b.Context(), "run999", 200); err != nil {
			b.Fatal(err)
		}
	}
}
