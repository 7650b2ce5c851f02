package cli

import (
	"strings"
	"testing"
	"time"

	"seatrial/harness"
	"seatrial/harness/event"
	"seatrial/internal/triage/policy"
)

// TestApplyKnown sees which jobs and subtests an entry keeps from running.
func TestApplyKnown(t *testing.T) {
	tests := []struct {
		entry             string
		job, first, other string // reasons
	}{
		{"{pattern: docker.base, reason: r, action: skip}", "known failure: r (k.yaml:2:3)", "known failure: r (k.yaml:2:3)", "known failure: r (k.yaml:2:3)"},
		{"{pattern: docker.base/info, tracker: t, action: skip}", "", "known failure: t (k.yaml:2:3)", ""},
		{"{pattern: docker.base, reason: r}", "", "", ""},
		{"{pattern: docker.base, reason: r, action: skip, arches: [amd64]}", "", "", ""},
		{"{pattern: docker.base, reason: r, action: skip, until: 2020-01-01}", "", "", ""},
		{"{pattern: docker.base/*, reason: r, action: skip, versions: \">= 3\"}", "known failure: r (k.yaml:2:3)", "known failure: r (k.yaml:2:3)", "known failure: r (k.yaml:2:3)"},
		{"{pattern: docker.base, reason: r, action: skip, versions: \">= 4\"}", "", "", ""},
	}
	for _, tt := range tests {
		known, err := policy.ParseKnown("k.yaml", []byte("known:\n- "+tt.entry))
		if err != nil {
			t.Fatal(err)
		}
		jobs := []harness.Job{{
			Cell: event.Cell{Test: "docker.base", Platform: "qemu", Arch: "arm64"},
			Test: harness.Test{Name: "docker.base", Subtests: []harness.Subtest{{Name: "info"}, {Name: "run"}}},
		}}
		plain := []harness.Job{{Cell: jobs[0].Cell, Test: harness.Test{Name: "docker.base"}}}
		version := func(event.Cell) string { return "3.1" }
		applyKnown(jobs, known, time.Now(), version)
		applyKnown(plain, known, time.Now(), version)
		if want := strings.Contains(tt.entry, "docker.base,") && tt.job != ""; (plain[0].Skip != "") != want {
			t.Errorf("%s: a test without subtests: %q", tt.entry, plain[0].Skip)
		}
		if j := jobs[0]; j.Skip != tt.job || j.SkipParts["info"] != tt.first || j.SkipParts["run"] != tt.other || len(j.Test.Needs.Exempt) > 0 {
			t.Errorf("%s: %q, parts %v", tt.entry, j.Skip, j.SkipParts)
		}
	}
	quiet, err := policy.ParseKnown("kola-denylist.yaml", []byte("- pattern: skip-console-warnings\n  tracker: t\n  arches: [aarch64]\n"))
	if err != nil {
		t.Fatal(err)
	}
	jobs := []harness.Job{{Cell: event.Cell{Test: "a", Arch: "arm64"}}, {Cell: event.Cell{Test: "a", Arch: "amd64"}}}
	applyKnown(jobs, quiet, time.Now(), func(event.Cell) string { return "" })
	if len(jobs[0].Test.Needs.Exempt) == 0 || len(jobs[1].Test.Needs.Exempt) > 0 {
		t.Errorf("exempt on arm64 %v, on amd64 %v", jobs[0].Test.Needs.Exempt, jobs[1].Test.Needs.Exempt)
	}
}
