package harness

import (
	"context"
	"math"
	"math/rand/v2"

	"seatrial/harness/event"
	"seatrial/internal/schedule"
	"seatrial/platforms"
)

// lastRank is that of tasks which run after everything else.
const lastRank = math.MaxInt - 1

// conclude closes a cell that has its outcome, unless it passed as a fork and
// is one of those that are repeated cold when nothing else waits. The outcome
// stands, whatever comes of that: a difference is a fact of its own.
func (r *runner) conclude(ctx context.Context, c *cell, out outcome) {
	fork := out.Outcome == event.Pass && out.start == string(platforms.StartFork)
	if !fork || rand.Float64() >= r.opts.VerifyForks || r.draining(ctx) {
		r.finish(c, out)
		return
	}
	r.put(c.Job, StartCold, task{
		rank: lastRank,
		run:  func(ctx context.Context, lease *schedule.Lease) { r.verify(ctx, c, out, lease) },
		drop: func() { r.finish(c, out) },
	})
}

// verify repeats a pass cold. What does not pass then is tried again as often
// as any other failure: a flaky test is no difference.
func (r *runner) verify(ctx context.Context, c *cell, out outcome, lease *schedule.Lease) {
	for round := 0; ; round++ {
		again := r.attempt(ctx, c, lease, how{start: StartCold, verifies: true})
		if again.Outcome == event.Pass || again.Outcome == event.Skip || round >= r.opts.Retries {
			break
		}
		if lease = r.acquire(ctx, c, StartCold); lease == nil {
			break
		}
	}
	r.finish(c, out)
}
