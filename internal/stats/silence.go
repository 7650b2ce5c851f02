package stats

import (
	"math"
	"time"
)

// The numbers of syzkaller's rule for bugs that stopped happening.
const (
	silenceConfidence = 0.99
	silenceFactor     = 3  // the rate is itself an estimate
	silenceEvents     = 10 // fewer make no rate
)

// SilencePeriod returns how long something that happened n times between first
// and last must not happen before it counts as gone: 3*ln(1/(1-0.99))/rate,
// where rate = (n-1)/(last-first), within shortest and longest; with fewer than
// ten events the longest (syzkaller, dashboard/app/reporting.go,
// obsoletePeriod).
func SilencePeriod(n int, first, last time.Time, shortest, longest time.Duration) time.Duration {
	span := last.Sub(first)
	if n < silenceEvents || span < 0 {
		return longest
	}
	period := silenceFactor * math.Log(1/(1-silenceConfidence)) * float64(span) / float64(n-1)
	return time.Duration(min(max(period, float64(shortest)), float64(longest)))
}

// UnlikelyPasses returns how many passes in a row have at most the probability
// alpha if each trial fails with the given rate: the least k with
// (1-rate)^k <= alpha. Where no number of passes is unlikely, it returns -1.
func UnlikelyPasses(rate, alpha float64) int {
	const rounding = 1e-12 // relative; keeps 0.1^2 <= 0.01
	switch {
	case !(rate > 0) || !(alpha > 0):
		return -1
	case alpha >= 1:
		return 0
	case rate >= 1:
		return 1
	}
	k := math.Ceil(math.Log(alpha) / math.Log1p(-rate) * (1 - rounding))
	if k > math.MaxInt32 {
		return -1
	}
	return int(k)
}
