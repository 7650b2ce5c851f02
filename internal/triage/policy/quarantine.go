package policy

import (
	"fmt"
	"time"

	"seatrial/internal/stats"
)

// Past is what history knows of the failures that an entry is about.
type Past struct {
	// Runs and Failures count up to and with the last failure.
	Runs, Failures int
	First, Last    time.Time // failures
	// Passes counts the runs since the last failure; all of them passed.
	Passes int
}

// Bounds of the silence that is asked for before an entry is proposed for
// removal.
const (
	shortestSilence = 7 * 24 * time.Hour
	longestSilence  = 90 * 24 * time.Hour
	unlikely        = 0.01 // the probability of the passes seen, at the old rate
	confidence      = 0.95 // of the old rate's interval
)

// Proposal says whether an entry can go, with the numbers it rests on.
type Proposal struct {
	Lift bool
	// Silence is the time since the last failure, Needed is what is asked for.
	Silence, Needed time.Duration
	// Passes is the number of runs since then, PassesNeeded what is asked for;
	// -1 if there was no failure.
	Passes, PassesNeeded int
	// Rate is the interval of the old failure rate.
	Rate stats.Interval
	Text string
}

// Propose says whether the silence since the last failure is unlikely at the
// old rate, so that the failure can be taken for gone.
//
// Two things are asked for. The time must be that of [stats.SilencePeriod],
// between 7 and 90 days. And since time heals nothing where no tests run, so
// many runs must have passed that their probability is at most 1 %, even if the
// old rate was only the lower end of its 95 % interval ([stats.Wilson]).
func Propose(p Past, now time.Time) (Proposal, error) {
	rate, err := stats.Wilson(p.Failures, p.Runs, confidence)
	if err != nil {
		return Proposal{}, fmt.Errorf("propose to lift an entry: %w", err)
	}
	out := Proposal{Passes: p.Passes, Rate: rate, PassesNeeded: -1}
	if p.Failures == 0 {
		out.Text = "history has no failure of this kind, and so no rate to judge by"
		return out, nil
	}
	out.Silence = max(0, now.Sub(p.Last))
	out.Needed = stats.SilencePeriod(p.Failures, p.First, p.Last, shortestSilence, longestSilence)
	out.PassesNeeded = stats.UnlikelyPasses(rate.Low, unlikely)
	out.Lift = out.Silence >= out.Needed && out.PassesNeeded >= 0 && p.Passes >= out.PassesNeeded
	const day = 24 * time.Hour
	out.Text = fmt.Sprintf("failed in %d of %d runs; silent for %.1f days (%.1f are asked for) and %d passes (%d are asked for)",
		p.Failures, p.Runs, float64(out.Silence)/float64(day), float64(out.Needed)/float64(day), p.Passes, out.PassesNeeded)
	return out, nil
}
