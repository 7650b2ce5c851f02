package compare

import (
	"cmp"
	"fmt"
	"slices"

	"seatrial/internal/stats"
)

// Counts are the runs of one test in one group. Runs that say nothing of the
// image (errors, skipped tests) are in neither; a flaky pass is a pass, unless
// the caller counts it as a failure.
type Counts struct{ Pass, Fail int }

// Runs is the number of runs counted.
func (c Counts) Runs() int { return c.Pass + c.Fail }

// Percent is the share of passes in percent, 100 without runs.
func (c Counts) Percent() float64 {
	if c.Runs() == 0 {
		return 100
	}
	return 100 * float64(c.Pass) / float64(c.Runs())
}

// Thresholds are the numbers of the statistical gate.
type Thresholds struct {
	Confidence  float64 // in percent: an adjusted p-value below 1-Confidence/100 counts
	MinFailures int     // in the sample
	Pity        float64 // percentage points of drop that are forgiven
	ExtremeDrop float64 // percentage points
	MinBase     int     // runs of a base; fewer are none
	// For tests without a base: the runs asked for, and the share of passes in
	// percent.
	MinNew      int
	RequiredNew float64
}

// SippyThresholds returns the defaults of OpenShift's Sippy (pkg/api/
// componentreadiness/component_report.go).
func SippyThresholds() Thresholds {
	return Thresholds{Confidence: 95, MinFailures: 3, Pity: 5, ExtremeDrop: 15, MinBase: 6, MinNew: 6, RequiredNew: 95}
}

// Verdict is what a comparison comes to.
type Verdict string

// The verdicts, the worst first.
const (
	Extreme     Verdict = "extreme-regression"
	Regressed   Verdict = "regression"
	NotEnough   Verdict = "not-enough-data" // no base, and too few runs
	Same        Verdict = "no-significant-difference"
	Improvement Verdict = "improvement"
)

// Test is a test with its two groups of runs.
type Test struct {
	Name         string
	Base, Sample Counts
}

// Assessment is the verdict on a test and all that it rests on.
type Assessment struct {
	Test
	Verdict Verdict
	// Drop is the base's share of passes less the sample's, in percentage
	// points; of a new test that which is required less the sample's.
	Drop float64
	// P is the p-value of Fisher's exact test and Q the same adjusted for the
	// number of tests; 1 where there was nothing to test.
	P, Q float64
	// NewTest is set if the base was too small, so that the sample alone was
	// NewTest is set if there were not two groups to compare, since a group was
	// empty or the base too small; then no p-value was computed.
	NewTest bool
	Reason  string
}

// Regressions compares the sample of each test with its base, the worst
// verdicts first and then by name.
//
// After Sippy, a test has regressed if its sample has enough failures, it fell
// by more than the pity, and the one-sided test says that a fall so deep is
// unlikely to be chance. A test that did not fall is tested for improvement the
// other way round. Unlike in Sippy it is the adjusted p-value that counts: with
// 500 tests the plain one finds 25 regressions in two equal images. A new test
// has no base to be tested against; it has regressed with enough runs and
// failures and too few passes.
func Regressions(tests []Test, t Thresholds) ([]Assessment, error) {
	return assess(tests, func(test Test) (Assessment, error) {
		a := Assessment{Test: test, P: 1}
		if a.NewTest = test.Base.Runs() < t.MinBase; a.NewTest {
			a.Drop = t.RequiredNew - test.Sample.Percent()
			return a, nil
		}
		a.Drop = test.Base.Percent() - test.Sample.Percent()
		f, err := fisher(test)
		if a.P = f.Greater; a.Drop <= 0 {
			a.P = f.Less
		}
		return a, err
	}, t, (*Assessment).judge)
}

// fisher compares the odds to fail: of the sample, then of the base.
func fisher(t Test) (stats.Fisher, error) {
	f, err := stats.FisherExact(stats.Table{A: t.Sample.Fail, B: t.Sample.Pass, C: t.Base.Fail, D: t.Base.Pass})
	if err != nil {
		return f, fmt.Errorf("compare the runs of %s: %w", t.Name, err)
	}
	return f, nil
}

// assess measures each test, adjusts the p-values of those that were tested,
// and judges.
func assess(tests []Test, measure func(Test) (Assessment, error), t Thresholds, judge func(*Assessment, Thresholds)) ([]Assessment, error) {
	all := make([]Assessment, len(tests))
	var tested []int
	var ps []float64
	for i, test := range tests {
		a, err := measure(test)
		if err != nil {
			return nil, err
		}
		if all[i] = a; !a.NewTest {
			tested, ps = append(tested, i), append(ps, a.P)
		}
	}
	qs, err := stats.BenjaminiHochberg(ps)
	if err != nil {
		return nil, fmt.Errorf("compare runs: %w", err)
	}
	for i := range all {
		all[i].Q = 1
	}
	for n, i := range tested {
		all[i].Q = qs[n]
	}
	for i := range all {
		judge(&all[i], t)
	}
	slices.SortStableFunc(all, func(a, b Assessment) int {
		return cmp.Or(cmp.Compare(rank(a.Verdict), rank(b.Verdict)), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

func rank(v Verdict) int {
	return slices.Index([]Verdict{Extreme, Regressed, NotEnough, Same, Improvement}, v)
}

func (a *Assessment) judge(t Thresholds) {
	if a.NewTest {
		a.judgeNew(t)
		return
	}
	alpha := 1 - t.Confidence/100
	numbers := fmt.Sprintf("%s, before %s", share(a.Sample), share(a.Base))
	test := fmt.Sprintf("p=%.3g, q=%.3g, limit %.3g", a.P, a.Q, alpha)
	a.Verdict = Same
	switch {
	case a.Drop <= 0 && -a.Drop > t.Pity && a.Base.Fail >= t.MinFailures && a.Q < alpha:
		a.Verdict, a.Reason = Improvement, numbers+"; "+test
	case a.Drop <= 0:
		a.Reason = numbers + "; no drop"
	case a.Sample.Fail < t.MinFailures:
		a.Reason = fmt.Sprintf("%s; %d failures, %d are asked for", numbers, a.Sample.Fail, t.MinFailures)
	case a.Drop <= t.Pity:
		a.Reason = fmt.Sprintf("%s; a drop of %.1f points, %.1f are forgiven", numbers, a.Drop, t.Pity)
	case a.Q >= alpha:
		a.Reason = fmt.Sprintf("%s; may be chance: %s", numbers, test)
	case a.Drop > t.ExtremeDrop:
		a.Verdict, a.Reason = Extreme, numbers+"; "+test
	default:
		a.Verdict, a.Reason = Regressed, numbers+"; "+test
	}
}

func (a *Assessment) judgeNew(t Thresholds) {
	numbers := fmt.Sprintf("%s, no base to compare with; %.1f%% are asked for", share(a.Sample), t.RequiredNew)
	a.Verdict, a.Reason = Same, numbers
	switch {
	case a.Sample.Runs() < t.MinNew:
		a.Verdict = NotEnough
		a.Reason = fmt.Sprintf("%s, no base to compare with; %d runs are asked for", share(a.Sample), t.MinNew)
	case a.Drop <= 0 || a.Sample.Fail < t.MinFailures:
	case a.Drop > 100-t.RequiredNew:
		a.Verdict = Extreme
	default:
		a.Verdict = Regressed
	}
}

func share(c Counts) string {
	return fmt.Sprintf("%d of %d passed (%.1f%%)", c.Pass, c.Runs(), c.Percent())
}
