package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
)

func day(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

func parseKnown(t *testing.T, name string) *Known {
	t.Helper()
	known, err := ParseKnown(name, read(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return known
}

// arm is a place in which all of known.yaml holds.
func arm() Place {
	return Place{Platform: "qemu", Arch: "arm64", Accel: "tcg", Image: "flatcar-alpha", Version: "2920.0.0"}
}

func TestExcuses(t *testing.T) {
	known := parseKnown(t, "known.yaml")
	amd, newer, unknown, cloud := arm(), arm(), arm(), arm()
	amd.Arch, newer.Version, unknown.Version, cloud.Platform = "amd64", "3000.0.0", "", "azure"
	noImage := arm()
	noImage.Image = ""
	tests := []struct {
		name      string
		test      string
		place     Place
		signature string
		now       string
		want      string // the position of the entry
	}{
		{"in scope", "docker.base/docker-info", arm(), "seccomp is missing", "2026-11-23", "known.yaml:2:5"},
		{"other signature", "docker.base/docker-info", arm(), "no docker", "2026-11-23", ""},
		{"other architecture", "docker.base/docker-info", amd, "seccomp missing", "2026-11-23", ""},
		{"other version", "docker.base/docker-info", newer, "seccomp missing", "2026-11-23", ""},
		{"unknown version", "docker.base/docker-info", unknown, "seccomp missing", "2026-11-23", ""},
		{"last day", "docker.base/docker-info", arm(), "seccomp missing", "2026-12-30", "known.yaml:2:5"},
		{"expired", "docker.base/docker-info", arm(), "seccomp missing", "2026-12-31", ""},
		{"the whole test", "docker.base", arm(), "seccomp missing", "2026-11-23", ""},
		{"a glob", "cl.flannel.udp", arm(), "anything", "2026-11-23", "known.yaml:9:5"},
		{"a subtest of it", "cl.flannel.udp/ping", arm(), "anything", "2026-11-23", "known.yaml:9:5"},
		{"other platform", "cl.flannel.udp", cloud, "", "2026-11-23", ""},
		{"unknown image", "cl.flannel.udp", noImage, "", "2026-11-23", ""},
		{"skipped tests have no failures", "cl.update.payload", arm(), "", "2026-10-01", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if e, ok := known.Excuses(tt.test, tt.place, tt.signature, day(tt.now)); ok {
				got = e.At.String()
			}
			if got != tt.want {
				t.Errorf("got entry %q, want %q", got, tt.want)
			}
		})
	}
	if _, ok := known.Skips("cl.update.payload", arm(), day("2026-10-31")); !ok {
		t.Error("not skipped before its day")
	}
	if e, ok := known.Skips("cl.update.payload", arm(), day("2026-11-01")); ok {
		t.Errorf("skipped by %s on its day", e.At)
	}
}

func TestDenylist(t *testing.T) {
	known := parseKnown(t, "kola-denylist.yaml")
	rawhide := Place{Platform: "aws", Arch: "amd64", Stream: "rawhide", OSVersion: "c9s"}
	ask := func(test string, p Place, now string) string {
		if e, ok := known.Skips(test, p, day(now)); ok {
			return "skip " + e.Tracker
		}
		if e, ok := known.Excuses(test, p, "", day(now)); ok {
			return "warn " + e.Tracker
		}
		return ""
	}
	tests := []struct {
		name, got, want string
	}{
		{"kernel's name of the architecture", ask("ext.config.kdump.crash", rawhide, "2026-11-23"), "skip https://example.org/issues/2725"},
		{"other architecture", ask("ext.config.kdump.crash", arm(), "2026-11-23"), ""},
		{"warn", ask("coreos.boot-mirror.luks", rawhide, "2026-11-23"), "warn https://example.org/issues/1659"},
		{"unknown stream", ask("coreos.boot-mirror.luks", arm(), "2026-11-23"), ""},
		{"snoozed", ask("iso-live-login.uefi-secure", rawhide, "2026-11-30"), "skip "},
		{"warned of afterwards", ask("iso-live-login.uefi-secure", rawhide, "2026-12-01"), "warn "},
		{"nothing afterwards", ask("podman.base", rawhide, "2026-12-01"), ""},
		{"no test", ask("skip-console-warnings", rawhide, "2026-11-23"), ""},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, tt.got, tt.want)
		}
	}
	if _, ok := known.SkipsConsoleChecks(rawhide, day("2026-11-23")); !ok {
		t.Error("console checks are not skipped on rawhide")
	}
	if _, ok := known.SkipsConsoleChecks(arm(), day("2026-11-23")); ok {
		t.Error("console checks are skipped where the stream is not known")
	}
}

func TestEmptyKnown(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "[]\n", "known: []\n"} {
		if known, err := ParseKnown("f", []byte(text)); err != nil || len(known.Entries) != 0 {
			t.Errorf("%q: %v, %v", text, known, err)
		}
	}
}

func TestAudit(t *testing.T) {
	known, err := ParseKnown("f", []byte(`known:
  - {pattern: fails, reason: x}
  - {pattern: passes, reason: x}
  - {pattern: mixed, reason: x}
  - {pattern: otherwise, reason: x, signature: seccomp}
  - {pattern: nowhere, reason: x}
  - {pattern: flaky, reason: x, action: warn}
  - {pattern: old, reason: x, until: 2026-11-01}
  - {pattern: skipped, reason: x, action: skip}
  - {pattern: broken, reason: x}
`))
	if err != nil {
		t.Fatal(err)
	}
	amd := arm()
	amd.Arch = "amd64"
	observed := []Observation{
		{"fails", arm(), event.Fail, "a"}, {"fails/sub", arm(), event.Pass, ""},
		{"passes", arm(), event.Pass, ""}, {"passes", amd, event.Pass, ""},
		{"mixed", arm(), event.Fail, "a"}, {"mixed", amd, event.Pass, ""},
		{"otherwise", arm(), event.Fail, "docker is dead"},
		{"flaky", arm(), event.Pass, ""},
		{"old", arm(), event.Fail, ""},
		{"skipped", arm(), event.Skip, ""},
		{"broken", arm(), event.Error, ""},
	}
	var got []string
	for _, r := range known.Audit(observed, day("2026-11-23")) {
		line := r.Entry.Pattern + " " + string(r.Kind) + ": " + r.Text
		for _, o := range r.Evidence {
			line += "; " + o.String()
		}
		got = append(got, line)
	}
	want := []string{
		"passes unexpected-pass: expected to fail, but passed in all 2 places; passes on qemu arm64 tcg 2920.0.0; passes on qemu amd64 tcg 2920.0.0",
		"mixed contradicted: expected to fail, but passed in 1 of 2 places; mixed on qemu amd64 tcg 2920.0.0",
		`otherwise contradicted: failed in 1 places in another way than "seccomp"; otherwise on qemu arm64 tcg 2920.0.0`,
		"nowhere unused: no test of this run is in its scope",
		"old expired: expired on 2026-11-01",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("remarks (-want +got):\n%s", diff)
	}
}

func TestPropose(t *testing.T) {
	past := func(runs, failures, passes int) Past {
		return Past{Runs: runs, Failures: failures, First: day("2026-06-01"), Last: day("2026-07-01"), Passes: passes}
	}
	tests := []struct {
		name   string
		past   Past
		now    string
		lift   bool
		needed int // passes
	}{
		{"each run failed, then silence", past(20, 20, 10), "2026-08-01", true, 3},
		{"too soon", past(20, 20, 10), "2026-07-05", false, 3},
		{"nothing ran", past(20, 20, 0), "2026-09-01", false, 3},
		{"seldom, few passes", past(200, 10, 100), "2026-11-01", false, 166},
		{"seldom, many passes", past(200, 10, 200), "2026-11-01", true, 166},
		{"few failures wait longest", past(3, 3, 50), "2026-09-15", false, 8},
		{"few failures, long ago", past(3, 3, 50), "2026-10-01", true, 8},
		{"never failed", past(10, 0, 10), "2026-10-01", false, -1},
	}
	for _, tt := range tests {
		got, err := Propose(tt.past, day(tt.now))
		if err != nil {
			t.Fatal(err)
		}
		if got.Lift != tt.lift || got.PassesNeeded != tt.needed {
			t.Errorf("%s: lift %t with %d passes asked for, want %t with %d: %s", tt.name, got.Lift, got.PassesNeeded, tt.lift, tt.needed, got.Text)
		}
	}
	if _, err := Propose(Past{Failures: 2, Runs: 1}, day("2026-10-01")); err == nil || !strings.Contains(err.Error(), "2 of 1") {
		t.Errorf("more failures than runs: %v", err)
	}
}

func TestRange(t *testing.T) {
	for text, want := range map[string][2]bool{ // whether 3033.2.4 and 4000 are in
		">= 3033.0.0, < 3200": {true, false}, ">3033 <3033.2.4": {false, false}, "3033.2.4": {true, false}, "!= 4000.0": {true, false}, ">=3000": {true, true}, "": {true, true},
	} {
		r, err := parseRange(text)
		if err != nil {
			t.Fatalf("%q: %s", text, err.text)
		}
		if got := [2]bool{r.Contains("3033.2.4"), r.Contains("4000")}; got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
		if r.Contains("") != (text == "") {
			t.Errorf("%q: unknown version is in: %t", text, r.Contains(""))
		}
	}
}
