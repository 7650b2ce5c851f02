package reports_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/internal/gate"
	"seatrial/internal/rollup"
	"seatrial/internal/triage/policy"
	"seatrial/reports"
	"seatrial/reports/console"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file, or rewrites the file.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", path, diff)
	}
}

// policyFor is the policy that a recorded run is judged by.
func policyFor(name string) rollup.Policy {
	switch name {
	case "mixed":
		return rollup.Policy{Required: policy.Require("docker.base/network", "kubernetes.basic")}
	case "interrupted":
		return rollup.Policy{Required: policy.Require("etcd.base")}
	default:
		return rollup.Policy{}
	}
}

// judged folds and judges a run.
func judged(events []event.Event, p rollup.Policy) rollup.Result {
	fold := rollup.New()
	for _, e := range events {
		fold.Add(e)
	}
	r := rollup.Judge(fold.Result(), p)
	r.Gate = gate.Judge(r, nil)
	return r
}

// TestGolden writes every recorded run in every format.
func TestGolden(t *testing.T) {
	for _, name := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			events := readStream(t, name)
			dir := filepath.Join("testdata", "golden", name)
			r := judged(events, policyFor(name))
			err := reports.WriteAll(r, reports.Options{}, func(file string, content func(io.Writer) error) error {
				var buf bytes.Buffer
				if err := content(&buf); err != nil {
					return err
				}
				got := buf.Bytes()
				if file == "report.html" {
					got = withoutCode(got)
				}
				golden(t, filepath.Join(dir, file), got)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range reports.Formats() {
				if f.File != "" {
					continue
				}
				var buf bytes.Buffer
				if err := f.Write(&buf, r, reports.Options{}); err != nil {
					t.Fatal(err)
				}
				golden(t, filepath.Join(dir, f.Name+".txt"), buf.Bytes())
			}
			var buf bytes.Buffer
			c := console.New(&buf, console.Options{})
			for _, e := range events {
				if err := c.Event(e); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Summary(r, "runs/x", "runs/x/report.html"); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join(dir, "console.txt"), buf.Bytes())
		})
	}
}

// withoutCode leaves out the style and the script of a page, and their digests,
// which are the same for every run.
func withoutCode(page []byte) []byte {
	for _, part := range []string{`(?s)(<style>).*?(</style>)`, `(?s)(<script>).*?(</script>)`, `(&#39;sha256-).*?(&#39;)`} {
		page = regexp.MustCompile(part).ReplaceAll(page, []byte("$1...$2"))
	}
	return page
}

// TestUnfinished writes reports after every single event, as a live run does
// after each test: none may fail on half a run.
func TestUnfinished(t *testing.T) {
	for name := range streams() {
		fold := rollup.New()
		for i, e := range readStream(t, name) {
			fold.Add(e)
			r := rollup.Judge(fold.Result(), policyFor(name))
			r.Gate = gate.Judge(r, nil)
			err := reports.WriteAll(r, reports.Options{}, func(string, func(io.Writer) error) error { return nil })
			for _, f := range reports.Formats() {
				err = errors.Join(err, f.Write(io.Discard, r, reports.Options{}))
			}
			if err != nil {
				t.Fatalf("%s, event %d: %v", name, i+1, err)
			}
			if r.Gate.Verdict == rollup.Go && r.Run.End != event.Complete {
				t.Fatalf("%s, event %d: go before the end", name, i+1)
			}
		}
	}
}

// TestWriteErrors sees that no format swallows a full disk.
func TestWriteErrors(t *testing.T) {
	r := judged(readStream(t, "mixed"), rollup.Policy{})
	for _, f := range reports.Formats() {
		var size bytes.Buffer
		if err := f.Write(&size, r, reports.Options{}); err != nil {
			t.Fatal(err)
		}
		for _, room := range []int{0, size.Len() / 2, size.Len() - 1} {
			if err := f.Write(&fullDisk{room}, r, reports.Options{}); !errors.Is(err, errFull) {
				t.Errorf("%s, room for %d of %d bytes: error %v", f.Name, room, size.Len(), err)
			}
		}
	}
}

var errFull = errors.New("no space left on device")

type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.room {
		n := d.room
		d.room = 0
		return n, errFull
	}
	d.room -= len(p)
	return len(p), nil
}

func TestFind(t *testing.T) {
	f, err := reports.Find("tap")
	if err != nil || f.File != "report.tap" {
		t.Errorf("got %v, %v", f, err)
	}
	const want = `unknown report format "pdf": use one of json, junit, tap, matrix, html, csv, slide, issue, github`
	if _, err := reports.Find("pdf"); err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}
