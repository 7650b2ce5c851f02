package view

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
)

// grouping writes groups as "name: test test?; name: ...".
func grouping(groups []Group) string {
	var parts []string
	for _, g := range groups {
		var names []string
		for _, e := range g.Entries {
			name := e.Name
			if e.Unsure {
				name += "?"
			}
			names = append(names, name)
		}
		parts = append(parts, g.Name+": "+strings.Join(names, " "))
	}
	return strings.Join(parts, "; ")
}

func TestGroups(t *testing.T) {
	sure := func(name, at string) rollup.Cause { return rollup.Cause{Category: name, At: at} }
	guess := rollup.Cause{Category: "guessed", At: "b.yaml:1:1", Unsure: true}
	row := func(test, arch string, v rollup.Verdict, causes ...rollup.Cause) rollup.Row {
		return rollup.Row{Test: test, Suite: test[:1], Platform: "p", Arch: arch, Verdict: v, Diagnosis: rollup.Diagnosis{Causes: causes}}
	}
	tests := []struct {
		name string
		rows []rollup.Row
		want string
	}{
		{"nothing", nil, ""},
		{"verdicts", []rollup.Row{row("a", "x", rollup.Pass), row("b", "x", rollup.Skip), row("c", "x", rollup.Fixed), row("d", "x", rollup.Missing), row("e", "x", rollup.Error)},
			"error: e; missing: d; fixed: c; skip: b; pass: a"},
		{"the order of the rules", []rollup.Row{
			row("a", "x", rollup.Fail, sure("late", "b.yaml:10:3")), row("b", "x", rollup.Fail, sure("early", "b.yaml:9:3")),
			row("c", "x", rollup.Known, sure("other file", "a.yaml:99:1")), row("d", "x", rollup.Fail, sure("carried over", "")), row("e", "x", rollup.Fail)},
			"other file: c; early: b; late: a; carried over: d; ???: e"},
		{"one test under two causes", []rollup.Row{row("a", "x", rollup.Fail, sure("one", "b.yaml:1:1"), sure("two", "b.yaml:2:1")), row("a", "y", rollup.Pass)},
			"one: a; two: a"},
		{"causes differ from place to place", []rollup.Row{row("a", "x", rollup.Fail, sure("one", "b.yaml:1:1")), row("a", "y", rollup.Fail)},
			"one: a; ???: a"},
		{"guesses leave a failure unexplained", []rollup.Row{row("a", "x", rollup.Fail, guess)}, "guessed: a?; ???: a"},
		{"a guess beside what is sure", []rollup.Row{row("a", "x", rollup.Fail, guess, sure("one", "c.yaml:1:1"))}, "guessed: a?; one: a"},
		{"sure in one place", []rollup.Row{row("a", "x", rollup.Fail, guess), row("a", "y", rollup.Fail, sure("guessed", "b.yaml:1:1"))}, "guessed: a; ???: a"},
	}
	for _, tt := range tests {
		m := NewMatrix(rollup.Result{Results: tt.rows})
		if got := grouping(m.ByCause()); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		for _, g := range m.ByCause() {
			for _, e := range g.Entries {
				if len(e.Rows) == 0 {
					t.Errorf("%s: no rows for %s under %s", tt.name, e.Name, g.Name)
				}
			}
		}
	}
}

func TestMatrix(t *testing.T) {
	row := func(test, arch, accel, image, variant string) rollup.Row {
		return rollup.Row{Test: test, Platform: "qemu", Arch: arch, Accel: accel, Image: image, Variant: variant}
	}
	aws := row("b", "arm64", "", "i1", "")
	aws.Platform = "aws"
	r := rollup.Result{
		Run: rollup.Run{Images: []event.Image{{Name: "i1", Arch: "amd64", OSRelease: map[string]string{"VERSION_ID": "12"}}}},
		Results: []rollup.Row{
			row("a", "amd64", "kvm", "i1", "kvm-i1"), row("a", "amd64", "kvm", "i2", "kvm-i2"), row("a", "arm64", "tcg", "i1", ""), aws,
		},
	}
	m := NewMatrix(r)
	var heads []string
	for _, p := range m.Places {
		heads = append(heads, p.Name+" = "+p.Head+" / "+p.Sub)
	}
	want := []string{"aws-arm64 = aws arm64 / ", "qemu-amd64-kvm-i1 = qemu amd64 / kvm · i1", "qemu-amd64-kvm-i2 = qemu amd64 / kvm · i2", "qemu-arm64 = qemu arm64 / tcg"}
	if diff := cmp.Diff(want, heads); diff != "" {
		t.Error(diff)
	}
	var cells []string
	for _, test := range m.Tests {
		for _, c := range test.Cells {
			cells = append(cells, fmt.Sprint(test.Name, c != nil))
		}
	}
	if diff := cmp.Diff([]string{"afalse", "atrue", "atrue", "atrue", "btrue", "bfalse", "bfalse", "bfalse"}, cells); diff != "" {
		t.Error(diff)
	}
	one := NewMatrix(rollup.Result{Run: r.Run, Results: r.Results[:1]})
	if p := one.Places[0]; p.Head != "amd64" || p.Sub != "kvm · 12" {
		t.Errorf("alone it is %s / %s", p.Head, p.Sub)
	}
}

func TestEntry(t *testing.T) {
	sub := func(name string, v rollup.Verdict) rollup.Subtest { return rollup.Subtest{Name: name, Verdict: v} }
	row := func(only string, subtests ...rollup.Subtest) *rollup.Row {
		r := &rollup.Row{Test: "t", Subtests: subtests}
		if only != "" {
			r.Parity = &rollup.Parity{Label: only}
		}
		return r
	}
	tests := []struct {
		rows        []*rollup.Row
		label, only string
	}{
		{[]*rollup.Row{row("")}, "t", ""},
		{[]*rollup.Row{row("arm64 only", sub("a", rollup.Fail), sub("b", rollup.Pass))}, "t/a", "arm64 only"},
		{[]*rollup.Row{row("everywhere", sub("a", rollup.Fail))}, "t", ""},
		{[]*rollup.Row{row("tcg only", sub("a", rollup.Fail), sub("b", rollup.Known), sub("c", rollup.Pass))}, "t", "tcg only"},
		{[]*rollup.Row{row("tcg only", sub("a", rollup.Fail), sub("b", rollup.Pass)), row("tcg only", sub("a", rollup.Pass), sub("b", rollup.Fail))}, "t", "tcg only"},
		{[]*rollup.Row{row("tcg only"), row("arm64 only")}, "t", ""},
		{[]*rollup.Row{row("tcg only"), row("")}, "t", ""},
	}
	for i, tt := range tests {
		e := Entry{Test: &Test{Name: "t"}, Rows: tt.rows}
		if e.Label() != tt.label || e.Only() != tt.only {
			t.Errorf("%d: got %q and %q, want %q and %q", i, e.Label(), e.Only(), tt.label, tt.only)
		}
	}
}

func TestBundles(t *testing.T) {
	clusters := []rollup.Cluster{{ID: "c1", Title: "first"}, {ID: "c2", Title: "nobody"}}
	row := func(test, cluster, message string) rollup.Row {
		return rollup.Row{Test: test, Verdict: rollup.Fail, Message: message, Diagnosis: rollup.Diagnosis{Cluster: cluster}}
	}
	var got []string
	for _, b := range Bundles(clusters, []rollup.Row{row("a", "", "x\ny"), row("b", "c1", "z"), row("c", "", "x\ny"), row("d", "c1", ""), row("e", "unknown", "")}) {
		got = append(got, fmt.Sprintf("%s: %s", b.Title, Where(b.Rows)))
	}
	want := []string{"first: b on - and 1 more", "x…: a on - and 1 more", "fail: e on -"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTrackers(t *testing.T) {
	tests := []struct {
		in, short string
		web       bool
	}{
		{"https://forge.invalid/flatcar/Flatcar/issues/12", "Flatcar#12", true},
		{"https://forge.invalid/flatcar/Flatcar/pull/7", "Flatcar#7", true},
		{"http://bugs.invalid/show_bug.cgi?id=3", "bugs.invalid/show_bug.cgi", true},
		{"https://tracker.invalid/browse/ABC-1", "browse/ABC-1", true},
		{"ABC-1", "ABC-1", false},
		{"javascript:alert(1)", "javascript:alert(1)", false},
		{"https://x.invalid/a b", "x.invalid/a b", false},
		{"https://x.invalid/\"onclick", "x.invalid/\"onclick", false},
		{"https://", "https://", false},
		{"", "", false},
	}
	for _, tt := range tests {
		if got := ShortTracker(tt.in); got != tt.short || Web(tt.in) != tt.web {
			t.Errorf("%q: got %q, %v; want %q, %v", tt.in, got, Web(tt.in), tt.short, tt.web)
		}
	}
}

func TestPast(t *testing.T) {
	history := []rollup.Past{{Verdict: rollup.Pass}, {Verdict: rollup.Pass}, {Verdict: rollup.Fail}, {Verdict: rollup.Known}, {Verdict: rollup.Flaky}}
	if got := Past(history); got != "✓✓✗×~" {
		t.Errorf("got %s", got)
	}
	if got, want := PastWords(history), "last 5 runs, oldest first: 2 pass, 1 fail, 1 known, 1 flaky"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
