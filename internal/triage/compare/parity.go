package compare

import "fmt"

// Parity compares places that should be equal, such as arm64 (the samples) and
// amd64 (the bases), or TCG and KVM; the verdicts speak of the sample's place.
// A test is reported if the two-sided test of Fisher, adjusted for the number
// of tests, is below the threshold, the worse place has enough failures, and
// the gap is at least as wide as the pity. One that did not run in both places
// has too little data.
func Parity(tests []Test, t Thresholds) ([]Assessment, error) {
	return assess(tests, func(test Test) (Assessment, error) {
		a := Assessment{Test: test, P: 1}
		if a.NewTest = test.Base.Runs() == 0 || test.Sample.Runs() == 0; a.NewTest {
			return a, nil
		}
		a.Drop = test.Base.Percent() - test.Sample.Percent()
		f, err := fisher(test)
		a.P = f.TwoSided
		return a, err
	}, t, (*Assessment).judgeGap)
}

func (a *Assessment) judgeGap(t Thresholds) {
	alpha := 1 - t.Confidence/100
	a.Verdict = Same
	a.Reason = fmt.Sprintf("%s, there %s; p=%.3g, q=%.3g, limit %.3g", share(a.Sample), share(a.Base), a.P, a.Q, alpha)
	failures, gap := a.Sample.Fail, a.Drop
	if a.Drop < 0 {
		failures, gap = a.Base.Fail, -a.Drop
	}
	switch {
	case a.NewTest:
		a.Verdict, a.Reason = NotEnough, fmt.Sprintf("ran %d times, there %d times", a.Sample.Runs(), a.Base.Runs())
	case failures < t.MinFailures || gap < t.Pity || a.Q >= alpha:
	case a.Drop < 0:
		a.Verdict = Improvement
	case gap > t.ExtremeDrop:
		a.Verdict = Extreme
	default:
		a.Verdict = Regressed
	}
}
