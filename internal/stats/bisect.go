package stats

import "math"

// Trials counts how the repeats of one test on one candidate ended.
type Trials struct {
	Good  int // passed
	Bad   int // failed in the way that is looked for
	Skip  int // could not be judged: another failure, or the candidate's own fault
	Infra int // the platform's fault
}

// Total is the number of repeats.
func (t Trials) Total() int { return t.Good + t.Bad + t.Skip + t.Infra }

// Step is what a bisection makes of a candidate.
type Step string

// The verdicts of a step. Abort means that the platform is too ill to tell.
const (
	StepGood  Step = "good"
	StepBad   Step = "bad"
	StepSkip  Step = "skip"
	StepAbort Step = "abort"
)

// Step judges a candidate. It is bad with at least two bad repeats that are at
// least a sixth of those that the platform did not spoil; good without a bad
// one if at least half of all repeats passed, three quarters where the failure
// is known to be flaky. Otherwise it is skipped, or the bisection aborted where
// the platform spoiled more repeats than could not be judged (syzkaller,
// pkg/bisect/bisect.go; fractions are compared without rounding).
func (t Trials) Step(flaky bool) Step {
	enough := 2*t.Good >= t.Total()
	if flaky {
		enough = 4*t.Good >= 3*t.Total()
	}
	switch {
	case t.Bad >= 2 && 6*t.Bad >= t.Total()-t.Infra:
		return StepBad
	case t.Bad == 0 && t.Good > 0 && enough:
		return StepGood
	case t.Infra > t.Skip:
		return StepAbort
	default:
		return StepSkip
	}
}

// Flaky reports whether fewer than half of the judged repeats were bad: the
// next steps then need twice as many (syzkaller, pkg/bisect/bisect.go).
func (t Trials) Flaky() bool { return t.Bad > 0 && t.Bad < t.Good }

// GoodConfidence is the probability that a bad candidate would have failed at
// least once in good repeats: 1-(1-chance)^good, chance being the share of
// failures on a bad candidate (syzkaller, pkg/bisect/bisect.go).
func GoodConfidence(chance float64, good int) float64 {
	if good <= 0 || !(chance > 0) {
		return 0
	}
	return -math.Expm1(float64(good) * math.Log1p(-min(chance, 1)))
}

// Confidence is that of a whole bisection: the product over its steps.
func Confidence(steps []float64) float64 {
	product := 1.0
	for _, c := range steps {
		product *= c
	}
	return product
}
