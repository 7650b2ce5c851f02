package compare

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
)

func TestLabelOf(t *testing.T) {
	const p, f, e = event.Pass, event.Fail, event.Error
	tests := []struct {
		history []event.Outcome // the latest first
		want    Labeled
	}{
		{nil, Labeled{NoHistory, 0, 0}},
		{[]event.Outcome{p}, Labeled{Passing, 1, 1}},
		{[]event.Outcome{f, f}, Labeled{Failing, 2, 2}},
		{[]event.Outcome{p, p, f}, Labeled{Fixed, 3, 2}},
		{[]event.Outcome{f, p, p, p}, Labeled{Regression, 4, 1}},
		{[]event.Outcome{f, p, f}, Labeled{Unstable, 3, 1}},
		{[]event.Outcome{p, e, p}, Labeled{Unstable, 3, 1}},
		{[]event.Outcome{e}, Labeled{Unstable, 1, 1}},
		{[]event.Outcome{p, p, event.Skip}, Labeled{Unstable, 3, 2}},
	}
	for _, tt := range tests {
		if got := LabelOf(tt.history); got != tt.want {
			t.Errorf("%v: got %+v, want %+v", tt.history, got, tt.want)
		}
	}
}

func TestRegressions(t *testing.T) {
	tests := []struct {
		name         string
		base, sample Counts
		verdict      Verdict
		p            float64 // negative: not looked at
		reason       string
	}{
		{"deep fall", Counts{99, 1}, Counts{40, 10}, Extreme, -1, ""},
		{"fall", Counts{990, 10}, Counts{45, 5}, Regressed, -1, ""},
		{"sure, but two failures", Counts{1000, 0}, Counts{5, 2}, Same, -1, "5 of 7 passed (71.4%), before 1000 of 1000 passed (100.0%); 2 failures, 3 are asked for"},
		{"a drop that is forgiven", Counts{10000, 0}, Counts{960, 40}, Same, -1, "960 of 1000 passed (96.0%), before 10000 of 10000 passed (100.0%); a drop of 4.0 points, 5.0 are forgiven"},
		{"chance", Counts{7, 3}, Counts{5, 3}, Same, 10458.0 / 18564, ""},
		{"improvement", Counts{40, 10}, Counts{99, 1}, Improvement, -1, ""},
		{"equal", Counts{10, 2}, Counts{10, 2}, Same, -1, "10 of 12 passed (83.3%), before 10 of 12 passed (83.3%); no drop"},
		{"new and good", Counts{}, Counts{10, 0}, Same, 1, ""},
		{"new and bad", Counts{}, Counts{37, 3}, Regressed, 1, "37 of 40 passed (92.5%), no base to compare with; 95.0% are asked for"},
		{"new and very bad", Counts{2, 0}, Counts{3, 3}, Extreme, 1, ""},
		{"new, seldom run", Counts{}, Counts{0, 5}, NotEnough, 1, "0 of 5 passed (0.0%), no base to compare with; 6 runs are asked for"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all, err := Regressions([]Test{{"x", tt.base, tt.sample}}, SippyThresholds())
			if err != nil {
				t.Fatal(err)
			}
			got := all[0]
			if got.Verdict != tt.verdict || tt.reason != "" && got.Reason != tt.reason {
				t.Errorf("got %s: %s (p %.6g)\nwant %s: %s", got.Verdict, got.Reason, got.P, tt.verdict, tt.reason)
			}
			if tt.p >= 0 && math.Abs(got.P-tt.p) > 1e-12 || got.P != got.Q || got.Reason == "" {
				t.Errorf("p %.15g, q %.15g, want %.15g; %s", got.P, got.Q, tt.p, got.Reason)
			}
		})
	}
	if _, err := Regressions([]Test{{"x", Counts{10, -1}, Counts{1, 1}}}, SippyThresholds()); err == nil {
		t.Error("negative counts: no error")
	}
}

// Equal images have no regressions; the plain p-value would find some.
func TestManyTestsAreCorrectedFor(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	draw := func(n int, rate float64) (c Counts) {
		for range n {
			if r.Float64() < rate {
				c.Fail++
			} else {
				c.Pass++
			}
		}
		return c
	}
	tests := make([]Test, 500)
	for i := range tests {
		tests[i] = Test{Name: "same", Base: draw(60, 0.2), Sample: draw(60, 0.2)}
	}
	tests[77] = Test{Name: "broken", Base: draw(60, 0.05), Sample: draw(60, 0.8)}
	all, err := Regressions(tests, SippyThresholds())
	if err != nil {
		t.Fatal(err)
	}
	plain, found := 0, 0
	for _, a := range all {
		if a.P < 0.05 && a.Drop > 0 {
			plain++
		}
		if a.Verdict == Extreme || a.Verdict == Regressed {
			found++
		}
	}
	if all[0].Name != "broken" || found != 1 || plain < 5 {
		t.Errorf("%d regressions, the worst is %s; uncorrected there are %d", found, all[0].Name, plain)
	}
}

func TestParity(t *testing.T) {
	all, err := Parity([]Test{
		{"equal", Counts{20, 0}, Counts{20, 0}},
		{"only on arm64", Counts{20, 0}, Counts{0, 20}},
		{"only on amd64", Counts{2, 18}, Counts{20, 0}},
		{"a little", Counts{190, 0}, Counts{175, 15}},
		{"not enough failures", Counts{200, 0}, Counts{2, 2}},
		{"not there", Counts{20, 0}, Counts{}},
	}, SippyThresholds())
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]Verdict)
	var order []string
	for _, a := range all {
		got[a.Name] = a.Verdict
		order = append(order, a.Name)
		if a.Q < a.P {
			t.Errorf("%s: q %g is below p %g", a.Name, a.Q, a.P)
		}
	}
	want := map[string]Verdict{"equal": Same, "only on arm64": Extreme, "only on amd64": Improvement, "a little": Regressed, "not enough failures": Same, "not there": NotEnough}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"only on arm64", "a little", "not there", "equal", "not enough failures", "only on amd64"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}
