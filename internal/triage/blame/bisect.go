package blame

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"seatrial/harness/event"
	"seatrial/internal/stats"
)

// Tally counts how the repeats of a test on one candidate ended.
type Tally struct {
	Passed  int
	Failed  map[string]int // by signature
	Errors  int            // the platform's fault
	Skipped int
}

// Add counts a repeat; the signature is that of a failure.
func (t *Tally) Add(o event.Outcome, signature string) {
	switch o {
	case event.Pass:
		t.Passed++
	case event.Skip:
		t.Skipped++
	case event.Fail:
		if t.Failed == nil {
			t.Failed = map[string]int{}
		}
		t.Failed[signature]++
	default:
		t.Errors++
	}
}

// Total is the number of repeats.
func (t Tally) Total() int {
	n := t.Passed + t.Errors + t.Skipped
	for _, c := range t.Failed {
		n += c
	}
	return n
}

// Trials counts them as a bisection that looks for a signature does: another
// failure tells nothing of it.
func (t Tally) Trials(signature string) stats.Trials {
	s := stats.Trials{Good: t.Passed, Bad: t.Failed[signature], Infra: t.Errors}
	s.Skip = t.Total() - s.Good - s.Bad - s.Infra
	return s
}

// commonest is the signature of most failures.
func (t Tally) commonest() string {
	signatures := slices.Sorted(maps.Keys(t.Failed))
	if len(signatures) == 0 {
		return ""
	}
	return slices.MaxFunc(signatures, func(a, b string) int { return cmp.Compare(t.Failed[a], t.Failed[b]) })
}

// Probe tries a candidate up to most times, and stops early when enough is
// known.
type Probe func(ctx context.Context, candidate, most int, enough func(Tally) bool) (Tally, error)

// Search is a bisection to be done.
type Search struct {
	// Candidates is how many there are, in order: the first is taken for good,
	// the last for bad, and what broke stays broken between them.
	Candidates int
	// Repeats of a candidate; twice as many where the failure is flaky.
	Repeats int
	Probe   Probe
	// Tried, when not nil, is told each step at its end.
	Tried func(Step)
}

// Step is what was found out of one candidate.
type Step struct {
	Candidate int          `json:"candidate"`
	Trials    stats.Trials `json:"trials"`
	Verdict   stats.Step   `json:"verdict"`
	// Other is the commonest failure that is not the one looked for.
	Other string `json:"other,omitempty"`
}

// Found is the result of a bisection.
type Found struct {
	// Signature is that of the failure which the bad candidate has.
	Signature string `json:"signature"`
	// Good is the last candidate known to be good, Bad the first known to be
	// bad; those between them could not be judged.
	Good  int    `json:"good"`
	Bad   int    `json:"bad"`
	Steps []Step `json:"steps"`
	Flaky bool   `json:"flaky"`
	// Chance is how often a bad candidate fails, by Laplace's rule of
	// succession over all that were judged bad: even one that always failed
	// might not do so the next time.
	Chance float64 `json:"chance"`
	// Confidence is the product over the candidates that were judged good of
	// the chance that a bad one would have shown it (syzkaller,
	// pkg/bisect/bisect.go).
	Confidence float64 `json:"confidence"`
}

// EndError says that an end of the list is not what it was taken for.
type EndError struct {
	Bad  bool // the bad end, else the good one
	Step Step
}

func (e *EndError) Error() string {
	end := "good"
	if e.Bad {
		end = "bad"
	}
	t := e.Step.Trials
	return fmt.Sprintf("the %s end is not %s: of %d repeats %d passed, %d failed alike, %d failed otherwise or were skipped, %d ended in an error",
		end, end, t.Total(), t.Good, t.Bad, t.Skip, t.Infra)
}

// AbortError says that the platform spoiled too many repeats to go on.
type AbortError struct{ Step Step }

func (e *AbortError) Error() string {
	return fmt.Sprintf("the platform spoiled %d of %d repeats; it is too ill to tell good from bad", e.Step.Trials.Infra, e.Step.Trials.Total())
}

// Bisect looks for the first bad candidate. The error is an *EndError, an
// *AbortError, or that of a probe; what was found until then is returned with
// it.
func Bisect(ctx context.Context, s Search) (Found, error) {
	b := &bisection{Search: s, found: Found{Good: 0, Bad: s.Candidates - 1}}
	err := b.run(ctx)
	b.weigh()
	return b.found, err
}

type bisection struct {
	Search
	found Found
}

func (b *bisection) run(ctx context.Context) error {
	if err := b.badEnd(ctx); err != nil {
		return err
	}
	step, err := b.try(ctx, b.found.Good)
	if err != nil {
		return err
	}
	if step.Verdict != stats.StepGood {
		return &EndError{Step: step}
	}
	for {
		next := b.next()
		if next < 0 {
			return nil
		}
		step, err := b.try(ctx, next)
		switch {
		case err != nil:
			return err
		case step.Verdict == stats.StepGood:
			b.found.Good = next
		case step.Verdict == stats.StepBad:
			b.found.Bad = next
		}
	}
}

// patience is how many times Repeats the bad end may take to fail twice.
const patience = 4

// badEnd finds out what the failure is, and how often it happens.
func (b *bisection) badEnd(ctx context.Context) error {
	last := b.found.Bad
	t, err := b.Probe(ctx, last, patience*b.Repeats, func(t Tally) bool {
		return t.Total() >= b.Repeats && t.Trials(t.commonest()).Bad >= 2
	})
	if err != nil {
		return err
	}
	b.found.Signature = t.commonest()
	step, err := b.judged(last, t)
	if err != nil {
		return err
	}
	if step.Verdict != stats.StepBad {
		return &EndError{Bad: true, Step: step}
	}
	b.found.Flaky = step.Trials.Flaky()
	return nil
}

// try judges a candidate, with no more repeats than it takes.
func (b *bisection) try(ctx context.Context, candidate int) (Step, error) {
	most := b.Repeats
	if b.found.Flaky {
		most *= 2
	}
	t, err := b.Probe(ctx, candidate, most, func(t Tally) bool {
		bad := t.Failed[b.found.Signature]
		return bad >= 2 && 6*bad >= most // no further repeat can change that
	})
	if err != nil {
		return Step{}, err
	}
	return b.judged(candidate, t)
}

func (b *bisection) judged(candidate int, t Tally) (Step, error) {
	s := Step{Candidate: candidate, Trials: t.Trials(b.found.Signature)}
	s.Verdict = s.Trials.Step(b.found.Flaky)
	others := Tally{Failed: maps.Clone(t.Failed)}
	delete(others.Failed, b.found.Signature)
	s.Other = others.commonest()
	b.found.Steps = append(b.found.Steps, s)
	if b.Tried != nil {
		b.Tried(s)
	}
	if s.Verdict == stats.StepAbort {
		return s, &AbortError{s}
	}
	return s, nil
}

// next is the candidate nearest to the middle that was not tried, or -1.
func (b *bisection) next() int {
	best := -1
	for c := b.found.Good + 1; c < b.found.Bad; c++ {
		tried := slices.ContainsFunc(b.found.Steps, func(s Step) bool { return s.Candidate == c })
		if !tried && (best < 0 || b.fromMiddle(c) < b.fromMiddle(best)) {
			best = c
		}
	}
	return best
}

func (b *bisection) fromMiddle(c int) int {
	d := 2*c - b.found.Good - b.found.Bad
	return max(d, -d)
}

// weigh fills in chance and confidence.
func (b *bisection) weigh() {
	bad, judged := 0, 0
	for _, s := range b.found.Steps {
		if s.Verdict == stats.StepBad {
			bad += s.Trials.Bad
			judged += s.Trials.Bad + s.Trials.Good
		}
	}
	b.found.Chance = float64(bad+1) / float64(judged+2)
	var steps []float64
	for _, s := range b.found.Steps {
		if s.Verdict == stats.StepGood {
			steps = append(steps, stats.GoodConfidence(b.found.Chance, s.Trials.Good))
		}
	}
	b.found.Confidence = stats.Confidence(steps)
}
