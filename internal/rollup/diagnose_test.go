package rollup

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/internal/history"
	"seatrial/internal/triage/policy"
)

var today = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// files makes a policy of the texts of a file of known failures and of one of
// rules.
func files(t *testing.T, known, rules string) Policy {
	t.Helper()
	p := Policy{Now: today}
	var err error
	if p.Known, err = policy.ParseKnown("k.yaml", []byte(known)); err != nil {
		t.Fatal(err)
	}
	if p.Rules, err = policy.ParseRules("r.yaml", []byte(rules)); err != nil {
		t.Fatal(err)
	}
	return p
}

// ended is a row whose only attempt ended so.
func ended(test, arch string, o event.Outcome, message string, parts ...Subtest) Row {
	class := event.Class("")
	if o == event.Fail {
		class = event.Assertion
	}
	return Row{
		Test: test, Suite: "s", Platform: "qemu", Arch: arch, Image: "img", Outcome: o, Class: class, Message: message,
		Subtests: parts, Attempts: []Attempt{{N: 1, Outcome: o, Class: class, Message: message, Subtests: parts}},
	}
}

func part(name string, o event.Outcome, message string) Subtest {
	s := Subtest{Name: name, Outcome: o, Message: message}
	if o == event.Fail {
		s.Class = event.Assertion
	}
	return s
}

// TestKnown goes through what an entry can make of a row.
func TestKnown(t *testing.T) {
	const entry = "known:\n- {reason: r, pattern: "
	broken := ended("a", "arm64", event.Fail, "x: bad", part("x", event.Fail, "bad"), part("y", event.Pass, ""))
	tests := []struct {
		name  string
		known string
		row   Row
		want  Verdict
		parts string // verdicts of the subtests
		by    string // Row.Known.At, with "!" if it has expired
		notes string // kinds
	}{
		{"no entry", "", broken, Fail, "fail pass", "", ""},
		{"the test is expected to fail", entry + "a}", broken, Known, "known pass", "k.yaml:2:3", ""},
		{"the subtest is", entry + "a/x}", broken, Known, "known pass", "k.yaml:2:3", ""},
		{"another subtest is", entry + "a/y}", broken, Fail, "fail fixed", "", "unexpected-pass"},
		{"warned of only", entry + "a/x, action: warn}", broken, Known, "known pass", "k.yaml:2:3", ""},
		{"by signature", entry + "a, signature: ^bad$}", broken, Known, "known pass", "k.yaml:2:3", ""},
		{"another signature", entry + "a, signature: worse}", broken, Fail, "fail pass", "", "contradicted"},
		{"another architecture", entry + "a, arches: [amd64]}", broken, Fail, "fail pass", "", "unused"},
		{"an unknown version", entry + "a, versions: \">= 1\"}", broken, Fail, "fail pass", "", "unused"},
		{"expired", entry + "a, until: 2026-02-28}", broken, Fail, "fail pass", "k.yaml:2:3!", "expired"},
		{"until tomorrow", entry + "a, until: 2026-03-02}", broken, Known, "known pass", "k.yaml:2:3", ""},
		{"passed", entry + "a}", ended("a", "arm64", event.Pass, ""), Fixed, "", "k.yaml:2:3", "unexpected-pass"},
		{"passed, and was warned of", entry + "a, action: warn}", ended("a", "arm64", event.Pass, ""), Pass, "", "", ""},
		{"passed, and a subtest was to fail", entry + "a/x}", ended("a", "arm64", event.Pass, "", part("x", event.Pass, "")), Fixed, "fixed", "k.yaml:2:3", "unexpected-pass"},
		{"an error", entry + "a}", ended("a", "arm64", event.Error, "no space"), Error, "", "", ""},
		{"skipped", entry + "a, action: skip}", ended("a", "arm64", event.Skip, "known"), Skip, "", "k.yaml:2:3", ""},
		{"two subtests, one known", entry + "a/x}", ended("a", "arm64", event.Fail, "m", part("x", event.Fail, "bad"), part("y", event.Fail, "worse")),
			Fail, "known fail", "k.yaml:2:3", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := Judge(Result{Results: []Row{tt.row}}, files(t, tt.known, ""))
			row := r.Results[0]
			var parts, notes []string
			for _, s := range row.Subtests {
				parts = append(parts, string(s.Verdict))
			}
			for _, n := range r.Policy {
				notes = append(notes, n.Kind)
			}
			by := ""
			if row.Known != nil {
				if by = row.Known.At; row.Known.Expired {
					by += "!"
				}
			}
			if row.Verdict != tt.want || strings.Join(parts, " ") != tt.parts || by != tt.by || strings.Join(notes, " ") != tt.notes {
				t.Errorf("%s %v by %q, notes %v; want %s [%s] by %q, notes %s", row.Verdict, parts, by, notes, tt.want, tt.parts, tt.by, tt.notes)
			}
		})
	}
}

// TestDiagnose sees causes and clusters of failures that are the same one.
func TestDiagnose(t *testing.T) {
	p := files(t, "", "rules:\n- {name: guess, category: etcd, unsure: true, when: signature ~ `port`}\n"+
		"- {name: sure, category: seccomp, tracker: t1, owner: o, when: console ~ `SECCOMP`}\n")
	p.ReadText = func(name string) string {
		if name == "art/console.txt" {
			return "audit: SECCOMP type=1326"
		}
		return ""
	}
	one := ended("a", "arm64", event.Fail, "no port 2379 on 10.0.0.1")
	two := ended("b", "arm64", event.Fail, "m", part("x", event.Fail, "no port 2380 on 10.0.0.2"))
	two.Attempts[0].Booted = []Machine{{ID: "m0", Artifacts: "art"}}
	three := ended("c", "arm64", event.Fail, "something else altogether")
	r := Judge(Result{Run: Run{ID: "now"}, Results: []Row{one, two, three}}, p)

	guess := Cause{Category: "etcd", Rule: "guess", At: "r.yaml:2:3", Unsure: true}
	sure := Cause{Category: "seccomp", Tracker: "t1", Owner: "o", Rule: "sure", At: "r.yaml:3:3"}
	rows := r.Results
	for i, want := range [][]Cause{{guess}, {guess, sure}, nil} {
		if diff := cmp.Diff(want, rows[i].Causes); diff != "" {
			t.Errorf("causes of %s (-want +got):\n%s", rows[i].Test, diff)
		}
	}
	if rows[0].Category != "" || rows[1].Category != "seccomp" || rows[1].Tracker != "t1" || rows[1].Subtests[0].Cluster != rows[1].Cluster {
		t.Errorf("decided: %+v", rows)
	}
	if rows[0].Cluster != rows[1].Cluster || rows[0].Cluster == rows[2].Cluster || len(r.Clusters) != 2 {
		t.Fatalf("clusters %q %q %q, %d in all", rows[0].Cluster, rows[1].Cluster, rows[2].Cluster, len(r.Clusters))
	}
	if c := r.Clusters[0]; c.ID != rows[0].Cluster || len(c.Members) != 2 || c.Members[1].Test != "b/x" || c.Category != "seccomp" || c.FirstSeen.Run != "now" {
		t.Errorf("cluster %+v", c)
	}

	// What an earlier run knew is carried over, but does not displace a rule.
	p.Rules.All = p.Rules.All[:1]
	p.Earlier.Clusters = map[string]history.Cluster{"old": {
		ID: "old", Area: "assertion", Title: r.Clusters[0].Title, Keys: r.Clusters[0].Keys[:1],
		First: history.Seen{Run: "first"}, Category: "network", Tracker: "t2", CauseRun: "then",
	}}
	r = Judge(Result{Run: Run{ID: "now"}, Results: []Row{one, two, three}}, p)
	if diff := cmp.Diff([]Cause{guess, {Category: "network", Tracker: "t2", From: "then"}}, r.Results[0].Causes); diff != "" {
		t.Errorf("carried over (-want +got):\n%s", diff)
	}
	if c := r.Clusters[0]; c.ID != "old" || c.FirstSeen.Run != "first" || c.Tracker != "t2" {
		t.Errorf("cluster %+v", c)
	}
}

func TestParity(t *testing.T) {
	row := func(platform, arch, accel string, v Verdict) Row {
		return Row{Test: "a", Platform: platform, Arch: arch, Accel: accel, Verdict: v}
	}
	tests := []struct {
		rows []Row
		want string
	}{
		{[]Row{row("qemu", "arm64", "tcg", Fail), row("qemu", "amd64", "kvm", Pass)}, "arm64 only"},
		{[]Row{row("qemu", "arm64", "tcg", Known), row("qemu", "amd64", "tcg", Fixed)}, "arm64 only"},
		{[]Row{row("qemu", "arm64", "tcg", Fail), row("qemu", "amd64", "tcg", Fail), row("qemu", "amd64", "kvm", Pass)}, "tcg only"},
		{[]Row{row("aws", "arm64", "", Fail), row("qemu", "arm64", "tcg", Pass)}, "aws only"},
		{[]Row{row("qemu", "arm64", "tcg", Fail), row("qemu", "amd64", "tcg", Fail)}, "everywhere"},
		{[]Row{row("qemu", "arm64", "tcg", Fail), row("qemu", "amd64", "kvm", Fail), row("qemu", "amd64", "tcg", Pass)}, "mixed"},
		{[]Row{row("qemu", "arm64", "tcg", Pass), row("qemu", "amd64", "kvm", Flaky)}, ""},
		{[]Row{row("qemu", "arm64", "tcg", Fail), row("qemu", "amd64", "kvm", Skip)}, ""},
	}
	for _, tt := range tests {
		compareRows(tt.rows)
		for _, r := range tt.rows {
			if r.Parity == nil || r.Parity.Label != tt.want || len(r.Parity.Peers) != len(tt.rows)-1 {
				t.Errorf("%v: %+v, want %q", tt.rows, r.Parity, tt.want)
			}
		}
	}
}

// TestTrend sees labels with a short history and statistics with a long one.
func TestTrend(t *testing.T) {
	past := func(verdicts string) []history.Past {
		var all []history.Past
		for i, word := range strings.Fields(verdicts) {
			all = append(all, history.Past{
				Seen: history.Seen{Run: string(rune('a' + i)), Time: today.AddDate(0, 0, i-100)}, Image: "old", Verdict: word,
			})
		}
		return all
	}
	tests := []struct {
		name, past  string
		now         event.Outcome
		label       string
		method      string
		first, last string // runs: first failed, last passed
		failures    int
		flaky       int
	}{
		{"regression", "pass pass", event.Fail, "regression", "labels", "now", "b", 1, 0},
		{"goes on", "pass fail error fail", event.Fail, "regression", "labels", "b", "a", 3, 0},
		{"fixed", "fail known", event.Pass, "fixed", "labels", "", "", 2, 0},
		{"unstable", "pass fail pass", event.Fail, "unstable", "labels", "now", "c", 2, 0},
		{"flaky", "pass flaky pass", event.Pass, "unstable", "labels", "", "c", 0, 1},
		{"always", "fail skip fail", event.Fail, "fail", "labels", "a", "", 3, 0},
		{"one of many may be chance", strings.Repeat("pass ", 20), event.Fail, "no-significant-difference", "statistics", "now", "t", 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Policy{Now: today, Earlier: history.Earlier{Cells: map[history.Cell][]history.Past{
				{Test: "a", Platform: "qemu", Arch: "arm64", Product: "img"}: past(tt.past),
			}}}
			r := Judge(Result{Run: Run{ID: "now", Images: []event.Image{{Name: "img", Arch: "arm64", SHA256: "new"}}}, Results: []Row{ended("a", "arm64", tt.now, "m")}}, p)
			row := r.Results[0]
			run := func(s *Seen) string {
				if s == nil {
					return ""
				}
				return s.Run
			}
			got := row.Trend
			if got == nil || got.Label != tt.label || got.Method != tt.method || run(got.FirstFailed) != tt.first || run(got.LastPassed) != tt.last || got.Failures != tt.failures || got.Flaky != tt.flaky {
				t.Fatalf("got %+v, want %+v", got, tt)
			}
			if got.Low > got.Rate || got.High < got.Rate || got.Runs > 0 && got.High == 0 {
				t.Errorf("rate %g, interval %g to %g", got.Rate, got.Low, got.High)
			}
			if n := len(strings.Fields(tt.past)); len(row.History) != min(n, MaxHistory) || row.History[len(row.History)-1].Run != string(rune('a'+n-1)) {
				t.Errorf("%d runs of history, want %d: %v", len(row.History), n, row.History)
			}
		})
	}
}

// TestRegression: three failures on the new image after many passes are none by
// chance, and the numbers say so.
func TestRegression(t *testing.T) {
	cell := history.Cell{Test: "a", Platform: "qemu", Arch: "arm64", Product: "img"}
	var past []history.Past
	for i := range 30 {
		one := history.Past{Seen: history.Seen{Run: "r", Time: today.AddDate(0, 0, i-100)}, Image: "old", Verdict: "pass"}
		if i >= 28 {
			one.Image, one.Verdict = "new", "fail"
		}
		past = append(past, one)
	}
	p := Policy{Now: today, Earlier: history.Earlier{Cells: map[history.Cell][]history.Past{cell: past}}}
	r := Judge(Result{Run: Run{Images: []event.Image{{Name: "img", Arch: "arm64", SHA256: "new"}}}, Results: []Row{ended("a", "arm64", event.Fail, "m")}}, p)
	got := r.Results[0].Trend
	if got.Method != "statistics" || got.Label != "extreme-regression" || !strings.Contains(got.Text, "0 of 3 passed (0.0%), before 28 of 28 passed") || !strings.Contains(got.Text, "q=") {
		t.Errorf("%+v", got)
	}
}

// TestLift proposes to lift an entry whose failure has gone.
func TestLift(t *testing.T) {
	cell := history.Cell{Test: "a", Platform: "qemu", Arch: "arm64", Product: "img"}
	var past []history.Past
	for i := range 120 {
		v := "known"
		if i >= 20 {
			v = "pass"
		}
		past = append(past, history.Past{Seen: history.Seen{Time: today.AddDate(0, 0, i-121)}, Verdict: v})
	}
	kinds := func(n int) []string {
		p := files(t, "known:\n- {reason: r, pattern: a, action: warn}", "")
		p.Earlier.Cells = map[history.Cell][]history.Past{cell: past[:n]}
		var kinds []string
		for _, n := range Judge(Result{Run: Run{Started: today}, Results: []Row{ended("a", "arm64", event.Pass, "")}}, p).Policy {
			kinds = append(kinds, n.Kind)
		}
		return kinds
	}
	if got := kinds(120); !slices.Equal(got, []string{"lift"}) {
		t.Errorf("after 100 passes: %v", got)
	}
	if got := kinds(21); got != nil {
		t.Errorf("after 2 passes: %v", got)
	}
}
