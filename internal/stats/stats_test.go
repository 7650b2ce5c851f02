package stats

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The 15 p-values of section 3 of Benjamini and Hochberg 1995 (thrombolysis in
// myocardial infarction), which rejects the first four at 0.05. The adjusted
// values are exact fractions of the definition.
func TestBenjaminiHochberg(t *testing.T) {
	p := []float64{0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1}
	want := []float64{0.0015, 0.003, 0.0095, 0.035625, 0.0603, 0.447 / 7, 0.447 / 7, 0.0645, 0.0765, 0.486,
		6.393 / 11, 0.714875, 9.792 / 13, 11.385 / 14, 1}
	got, err := BenjaminiHochberg(p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
		t.Errorf("adjusted (-want +got):\n%s", diff)
	}
	rejected := 0
	for _, q := range got {
		if q <= 0.05 {
			rejected++
		}
	}
	if rejected != 4 {
		t.Errorf("rejects %d at 0.05, the paper rejects 4", rejected)
	}
}

func TestBenjaminiHochbergOrderAndTies(t *testing.T) {
	// R 4: p.adjust(c(0.04, 0.01, 0.04, 0.9), "BH")
	got, err := BenjaminiHochberg([]float64{0.04, 0.01, 0.04, 0.9})
	if err != nil {
		t.Fatal(err)
	}
	want := []float64{0.16 / 3, 0.04, 0.16 / 3, 0.9}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
		t.Errorf("adjusted (-want +got):\n%s", diff)
	}
	if got, err := BenjaminiHochberg(nil); err != nil || len(got) != 0 {
		t.Errorf("no p-values: got %v, %v", got, err)
	}
	for _, bad := range []float64{-0.1, 1.1, math.NaN()} {
		if _, err := BenjaminiHochberg([]float64{0.5, bad}); err == nil {
			t.Errorf("p-value %g: no error", bad)
		}
	}
}

// Table I of Newcombe 1998, method 3 (score method without continuity
// correction), 95 %, four digits.
func TestWilsonNewcombe(t *testing.T) {
	tests := []struct {
		hits, trials int
		want         Interval
	}{
		{81, 263, Interval{0.2553, 0.3662}},
		{15, 148, Interval{0.0624, 0.1605}},
		{0, 20, Interval{0, 0.1611}},
		{1, 29, Interval{0.0061, 0.1718}},
	}
	for _, tt := range tests {
		got, err := Wilson(tt.hits, tt.trials, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.Low-tt.want.Low) > 5e-5 || math.Abs(got.High-tt.want.High) > 5e-5 {
			t.Errorf("%d of %d: got %+v, want %+v", tt.hits, tt.trials, got, tt.want)
		}
	}
}

// The ends are the roots of the defining equation, with the quantile as R's
// qnorm(0.975) prints it.
func TestWilsonDefinition(t *testing.T) {
	const z = 1.959963984540054
	for trials := 1; trials <= 60; trials++ {
		for hits := range trials + 1 {
			in, err := Wilson(hits, trials, 0.95)
			if err != nil {
				t.Fatal(err)
			}
			p := float64(hits) / float64(trials)
			for _, end := range []float64{in.Low, in.High} {
				if distance, want := (p-end)*(p-end), z*z*end*(1-end)/float64(trials); math.Abs(distance-want) > 1e-12 {
					t.Errorf("%d of %d: end %g is %g from the share, want %g", hits, trials, end, distance, want)
				}
			}
		}
	}
}

func TestWilsonEdges(t *testing.T) {
	if in, err := Wilson(0, 0, 0.95); err != nil || in != (Interval{0, 1}) {
		t.Errorf("no trials: got %+v, %v", in, err)
	}
	if in, err := Wilson(7, 7, 0.95); err != nil || in.High != 1 {
		t.Errorf("all hits: got %+v, %v", in, err)
	}
	for _, bad := range []struct {
		hits, trials int
		confidence   float64
	}{{2, 1, 0.95}, {-1, 1, 0.95}, {0, -1, 0.95}, {1, 2, 0}, {1, 2, 1}, {1, 2, math.NaN()}} {
		if _, err := Wilson(bad.hits, bad.trials, bad.confidence); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

// The comment in syzkaller's source says that one crash a day gives about 4.6
// days, to be multiplied by 3: ln(100)*3 = 13.8155 days.
func TestSilencePeriod(t *testing.T) {
	const day = 24 * time.Hour
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	period := func(n int, span time.Duration) time.Duration {
		return SilencePeriod(n, start, start.Add(span), 2*day, 90*day)
	}
	tests := []struct {
		name string
		got  time.Duration
		want time.Duration
	}{
		{"one a day", period(11, 10*day), time.Duration(3 * math.Log(100) * float64(day))},
		{"ten a day", period(101, 10*day), 2 * day},
		{"one a month", period(11, 300*day), 90 * day},
		{"too few", period(9, day), 90 * day},
		{"all at once", period(10, 0), 2 * day},
		{"clock went back", period(20, -day), 90 * day},
	}
	for _, tt := range tests {
		if d := tt.got - tt.want; d < -time.Second || d > time.Second {
			t.Errorf("%s: got %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

func TestUnlikelyPasses(t *testing.T) {
	tests := []struct {
		rate, alpha float64
		want        int
	}{
		{0.5, 0.01, 7}, {0.9, 0.01, 2}, {0.01, 0.01, 459}, {1, 0.01, 1}, {0, 0.01, -1}, {0.5, 0, -1}, {0.5, 1, 0}, {1e-12, 0.01, -1}, {math.NaN(), 0.01, -1},
	}
	for _, tt := range tests {
		if got := UnlikelyPasses(tt.rate, tt.alpha); got != tt.want {
			t.Errorf("rate %g, alpha %g: got %d, want %d", tt.rate, tt.alpha, got, tt.want)
		}
	}
}

func TestStep(t *testing.T) {
	tests := []struct {
		name   string
		trials Trials
		flaky  bool
		want   Step
	}{
		{"all bad", Trials{Bad: 10}, false, StepBad},
		{"a sixth", Trials{Bad: 3, Good: 15}, false, StepBad},
		{"less than a sixth", Trials{Bad: 2, Good: 11}, false, StepSkip},
		{"a sixth of the unspoiled", Trials{Bad: 2, Good: 10, Infra: 8}, false, StepBad},
		{"bad once", Trials{Bad: 1, Good: 1}, false, StepSkip},
		{"all good", Trials{Good: 10}, false, StepGood},
		{"half good", Trials{Good: 5, Skip: 5}, false, StepGood},
		{"half good of a flake", Trials{Good: 5, Skip: 5}, true, StepSkip},
		{"three quarters of a flake", Trials{Good: 15, Skip: 5}, true, StepGood},
		{"ill platform", Trials{Good: 2, Infra: 8}, false, StepAbort},
		{"nothing ran", Trials{}, false, StepSkip},
	}
	for _, tt := range tests {
		if got := tt.trials.Step(tt.flaky); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestConfidence(t *testing.T) {
	if got := GoodConfidence(0.5, 10); !near(got, 1-1.0/1024, 1e-15) {
		t.Errorf("half chance, 10 passes: %g", got)
	}
	if got := Confidence([]float64{GoodConfidence(0.5, 1), 1, GoodConfidence(1, 3)}); got != 0.5 {
		t.Errorf("product: %g", got)
	}
	if got := GoodConfidence(0, 10) + GoodConfidence(0.5, 0) + GoodConfidence(math.NaN(), 3); got != 0 {
		t.Errorf("without evidence: %g", got)
	}
	for trials, want := range map[Trials]bool{{Bad: 4, Good: 6}: true, {Bad: 5, Good: 5}: false, {Bad: 9}: false, {Good: 9}: false} {
		if got := trials.Flaky(); got != want {
			t.Errorf("%+v: flaky %t", trials, got)
		}
	}
}
