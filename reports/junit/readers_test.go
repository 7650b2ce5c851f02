package junit

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	reader "github.com/joshdk/go-junit"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// tally is what a reader makes of a file.
type tally struct {
	Tests, Failed, Errors, Skipped int
}

// meant is what we mean to say.
func meant(r rollup.Result) tally {
	var n tally
	for _, s := range build(r, view.Options{}) {
		n.Tests += s.Tests
		n.Failed += s.Failures
		n.Errors += s.Errors
		n.Skipped += s.Skipped
	}
	return n
}

// TestReader has the recorded runs read by github.com/joshdk/go-junit, case by
// case.
func TestReader(t *testing.T) {
	for name, r := range recorded(t) {
		t.Run(name, func(t *testing.T) {
			suites, err := reader.Ingest(written(t, r))
			if err != nil {
				t.Fatal(err)
			}
			var got tally
			var cases []reader.Test
			for _, s := range suites {
				got.Tests += s.Totals.Tests
				got.Failed += s.Totals.Failed
				got.Errors += s.Totals.Error
				got.Skipped += s.Totals.Skipped
				cases = append(cases, s.Tests...)
			}
			if diff := cmp.Diff(meant(r), got); diff != "" {
				t.Errorf("(-meant +read)\n%s", diff)
			}
			i := 0
			for _, s := range build(r, view.Options{}) {
				for _, c := range s.Cases {
					checkRead(t, c, cases[i])
					i++
				}
			}
		})
	}
}

// checkRead compares a case with what was read of it.
func checkRead(t *testing.T, c testcase, got reader.Test) {
	t.Helper()
	status, message := reader.StatusPassed, ""
	switch {
	case c.Failure != nil:
		status, message = reader.StatusFailed, c.Failure.Message
	case c.Error != nil:
		status, message = reader.StatusError, c.Error.Message
	case c.Skipped != nil:
		status, message = reader.StatusSkipped, c.Skipped.Message
	}
	if got.Name != c.Name || got.Classname != c.Classname || got.Status != status || got.Message != message {
		t.Errorf("case %s of %s is read as %s of %s: %s, %q; want %s, %q",
			c.Name, c.Classname, got.Name, got.Classname, got.Status, got.Message, status, message)
	}
	if c.SystemOut != nil && got.SystemOut != c.SystemOut.Data {
		t.Errorf("%s: %s", c.Name, cmp.Diff(c.SystemOut.Data, got.SystemOut))
	}
}

// TestReaders has the recorded runs read by readers from npm, where they are
// installed.
func TestReaders(t *testing.T) {
	const dir = "../../internal/tools/junit-readers"
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Skipf("no readers from npm (make test-all installs them): %v", err)
	}
	for name, r := range recorded(t) {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "junit.xml")
			if err := os.WriteFile(file, written(t, r), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "count.mjs"), file).Output()
			var all map[string]tally
			if err == nil {
				err = json.Unmarshal(out, &all)
			}
			if err != nil {
				t.Fatalf("count.mjs: %v", err)
			}
			if len(all) != 2 {
				t.Errorf("%d readers", len(all))
			}
			for reader, got := range all {
				want := meant(r)
				if reader == "test-results-parser" {
					want.Skipped = 0 // it reads an attribute that the schemas refuse
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-meant +read)\n%s", reader, diff)
				}
			}
		})
	}
}
