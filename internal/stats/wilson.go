package stats

import (
	"fmt"
	"math"
)

// Interval is a range of a proportion, both ends included, within 0 to 1.
type Interval struct{ Low, High float64 }

// Wilson returns the score interval, without continuity correction, of the
// proportion behind hits out of trials: all p for which
// |hits/trials - p| <= z*sqrt(p*(1-p)/trials), z being the normal quantile of
// the confidence (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927, pp. 209-212;
// method 3 of R. G. Newcombe, Statistics in Medicine 17, 1998, pp. 857-872).
// Without trials the interval is 0 to 1. The confidence is strictly between 0
// and 1, for instance 0.95.
func Wilson(hits, trials int, confidence float64) (Interval, error) {
	switch {
	case hits < 0 || trials < hits:
		return Interval{}, fmt.Errorf("estimate a proportion: %d of %d is not one", hits, trials)
	case !(confidence > 0 && confidence < 1):
		return Interval{}, fmt.Errorf("estimate a proportion: confidence %g is not between 0 and 1", confidence)
	case trials == 0:
		return Interval{0, 1}, nil
	}
	z2 := 2 * math.Pow(math.Erfinv(confidence), 2) // the square of the quantile
	n, p := float64(trials), float64(hits)/float64(trials)
	center := (p + z2/(2*n)) / (1 + z2/n)
	half := math.Sqrt(z2*(p*(1-p)+z2/(4*n))/n) / (1 + z2/n)
	in := Interval{max(0, center-half), min(1, center+half)}
	if hits == 0 { // exactly, where rounding would leave 1e-17
		in.Low = 0
	}
	if hits == trials {
		in.High = 1
	}
	return in, nil
}
