package blame

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"seatrial/internal/stats"
)

// world has candidates whose repeats end as a string says, over and over: "."
// passes, "f" fails as looked for, "o" otherwise, "e" is an error.
type world struct {
	ends   []string
	probed []string
}

func (w *world) probe(_ context.Context, c, most int, enough func(Tally) bool) (Tally, error) {
	t := Tally{Failed: map[string]int{}}
	for i := 0; i < most && !(i > 0 && enough(t)); i++ {
		switch w.ends[c][i%len(w.ends[c])] {
		case '.':
			t.Passed++
		case 'f':
			t.Failed["looked for"]++
		case 'o':
			t.Failed["other"]++
		case 'e':
			t.Errors++
		}
	}
	w.probed = append(w.probed, fmt.Sprintf("%d*%d", c, t.Total()))
	return t, nil
}

func TestBisect(t *testing.T) {
	for _, test := range []struct {
		name      string
		ends      []string
		good, bad int
		probed    []string
	}{
		{"two", []string{".", "f"}, 0, 1, []string{"1*3", "0*3"}},
		{"steady, stops at the second failure", []string{".", ".", ".", "f", "f", "f"}, 2, 3, []string{"5*3", "0*3", "2*3", "3*2"}},
		{"first after good", []string{".", "f", "f", "f", "f"}, 0, 1, []string{"4*3", "0*3", "2*2", "1*2"}},
		{"flaky: twice the repeats", []string{".", ".", "..f", "..f"}, 1, 2, []string{"3*6", "0*6", "1*6", "2*6"}},
		{"another failure is passed over", []string{".", ".", "o", "f", "f"}, 1, 3, []string{"4*3", "0*3", "2*3", "1*3", "3*2"}},
		{"an error among passes", []string{".", "..e", "f"}, 1, 2, []string{"2*3", "0*3", "1*3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := &world{ends: test.ends}
			got, err := Bisect(t.Context(), Search{Candidates: len(test.ends), Repeats: 3, Probe: w.probe})
			if err != nil {
				t.Fatal(err)
			}
			if got.Good != test.good || got.Bad != test.bad || got.Signature != "looked for" {
				t.Errorf("between %d and %d (%s), want %d and %d", got.Good, got.Bad, got.Signature, test.good, test.bad)
			}
			if !slices.Equal(w.probed, test.probed) {
				t.Errorf("probed %v, want %v", w.probed, test.probed)
			}
			if got.Confidence <= 0.5 || got.Confidence >= 1 {
				t.Errorf("confidence %v", got.Confidence)
			}
		})
	}
}

func TestBisectRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		ends []string
		bad  bool
	}{
		{"bad end passes", []string{".", "."}, true},
		{"bad end fails once in a long while", []string{".", "...........f"}, true},
		{"bad end fails in other ways", []string{".", "fo.........."}, true},
		{"good end fails", []string{"f", "f"}, false},
		{"good end fails otherwise", []string{"o", "f"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := &world{ends: test.ends}
			_, err := Bisect(t.Context(), Search{Candidates: 2, Repeats: 3, Probe: w.probe})
			end, ok := errors.AsType[*EndError](err)
			if !ok || end.Bad != test.bad {
				t.Errorf("%v", err)
			}
		})
	}
	w := &world{ends: []string{".", "e", "f"}}
	got, err := Bisect(t.Context(), Search{Candidates: 3, Repeats: 3, Probe: w.probe})
	if _, ok := errors.AsType[*AbortError](err); !ok || len(got.Steps) != 3 {
		t.Errorf("%v after %v", err, got.Steps)
	}
}

// Ten failures of ten give a chance of 11/12, and three passes then a
// confidence of 1-(1/12)^3, for each of the two good candidates.
func TestConfidence(t *testing.T) {
	b := &bisection{found: Found{Steps: []Step{
		{Verdict: stats.StepBad, Trials: stats.Trials{Bad: 8}},
		{Verdict: stats.StepBad, Trials: stats.Trials{Bad: 2}},
		{Verdict: stats.StepGood, Trials: stats.Trials{Good: 3}},
		{Verdict: stats.StepSkip, Trials: stats.Trials{Skip: 3}},
		{Verdict: stats.StepGood, Trials: stats.Trials{Good: 3}},
	}}}
	b.weigh()
	if want := math.Pow(1-math.Pow(1.0/12, 3), 2); math.Abs(b.found.Confidence-want) > 1e-12 || b.found.Chance != 11.0/12 {
		t.Errorf("chance %v, confidence %v, want %v", b.found.Chance, b.found.Confidence, want)
	}
}
