package harness

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"seatrial/harness/event"
)

// Twins returns, for each test that lists sabotage, tests which prove that it
// can fail. The twin "NAME.sabotage" first runs the test untouched and then,
// on the same machines, breaks something, runs the part that must notice, and
// mends it again; at the end the test has to pass once more. A sabotage that cannot be undone gets a twin of its own,
// "NAME.sabotage.WHAT".
func Twins(suites []Suite) []Suite {
	var out []Suite
	for _, s := range suites {
		twins := Suite{Name: s.Name, Doc: s.Doc}
		for _, t := range s.Tests {
			twins.Tests = append(twins.Tests, t.twins()...)
		}
		if len(twins.Tests) > 0 {
			out = append(out, twins)
		}
	}
	return out
}

func (t Test) twins() []Test {
	if len(t.Sabotage) == 0 {
		return nil
	}
	shared := t.twin("sabotage")
	shared.Subtests = []Subtest{{Name: "untouched", Doc: "The test passes before anything is broken.", Run: t.untouched}}
	var own []Test
	for _, s := range t.Sabotage {
		proof := Subtest{Name: s.Name, Doc: "The test notices what is broken.", Image: t.part(s.Subtest).Image,
			Run: func(ctx context.Context, parent *T) { t.prove(ctx, parent, s) }}
		if s.Undo != "" || s.Break == "" {
			shared.Subtests = append(shared.Subtests, proof)
			continue
		}
		twin := t.twin("sabotage." + s.Name)
		twin.Subtests = []Subtest{proof}
		own = append(own, twin)
	}
	if len(shared.Subtests) > 1 {
		shared.Subtests = append(shared.Subtests, Subtest{Name: "mended", Doc: "The test passes again at the end.", Run: t.untouched})
	}
	return append([]Test{shared}, own...)
}

// twin is the test under another name and without what it runs.
func (t Test) twin(suffix string) Test {
	t.Doc = "Proves that " + t.Name + " can fail."
	t.Name += "." + suffix
	t.Timeout = 2 * t.timeout()
	t.NonExclusive = false
	t.Run, t.Subtests, t.Sabotage = nil, nil, nil
	return t
}

// Breakage says of which test the guest shall be broken, and how.
type Breakage struct {
	Test, Sabotage string
	Arch           string // only there; empty means everywhere
}

// ParseBreakage reads TEST/SABOTAGE or ARCH=TEST/SABOTAGE.
func ParseBreakage(word string) Breakage {
	arch, name, ok := strings.Cut(word, "=")
	if !ok {
		arch, name = "", word
	}
	test, sabotage, _ := strings.Cut(name, "/")
	return Breakage{Test: test, Sabotage: sabotage, Arch: arch}
}

// Broken returns the catalogue with those tests changed that are to run on broken
// guests: under their own names they break the guest before the part that must
// notice runs, and nothing is mended. So their failures look in reports as those
// of a broken image do. A breakage that names its architecture runs there also where
// the test has no meaning, which is how a porter sees what that looks like.
func Broken(suites []Suite, breakages []Breakage) ([]Suite, error) {
	var known []string
	done := map[Breakage]bool{}
	out := slices.Clone(suites)
	for i := range out {
		out[i].Tests = slices.Clone(out[i].Tests)
		for j, t := range out[i].Tests {
			for _, s := range t.Sabotage {
				known = append(known, t.Name+"/"+s.Name)
				for _, b := range breakages {
					if b.Test == t.Name && b.Sabotage == s.Name {
						out[i].Tests[j] = out[i].Tests[j].brokenBy(s, b.Arch)
						done[b] = true
					}
				}
			}
		}
	}
	var errs []error
	for _, b := range breakages {
		if !done[b] {
			word := b.Test + "/" + b.Sabotage
			errs = append(errs, fmt.Errorf("%s is no sabotage%s", word, didYouMean(word, known, "seatrial list --sabotage")))
		}
	}
	return out, errors.Join(errs...)
}

// brokenBy is the test on a guest that is broken.
func (t Test) brokenBy(s Sabotage, arch string) Test {
	t.NonExclusive = false
	if arch != "" && len(t.Needs.Archs) > 0 {
		t.Needs.Archs = append(slices.Clone(t.Needs.Archs), arch)
	}
	after := func(run func(context.Context, *T)) func(context.Context, *T) {
		return func(ctx context.Context, t *T) {
			if arch == "" || arch == t.Arch() {
				if s.Break != "" {
					t.Machine(0).MustRoot(ctx, s.Break)
				}
				t.served = s.Serve
			}
			run(ctx, t)
		}
	}
	if t.Run != nil {
		t.Run = after(t.Run)
	}
	t.Subtests = slices.Clone(t.Subtests)
	for i, part := range t.Subtests {
		if part.Name == s.Subtest {
			t.Subtests[i].Run = after(part.Run)
		}
	}
	return t
}

// part is the subtest of the given name, or the test itself as one.
func (t Test) part(name string) Subtest {
	for _, s := range t.Subtests {
		if s.Name == name {
			return s
		}
	}
	return Subtest{Name: t.Name, Run: t.Run}
}

// untouched runs the whole test within parent.
func (t Test) untouched(ctx context.Context, parent *T) {
	parts := t.Subtests
	if t.Run != nil {
		parts = []Subtest{t.part("")}
	}
	for _, s := range parts {
		if len(parent.facts.Has.Missing(s.Image...)) > 0 {
			continue
		}
		v := parent.child(ctx, s.Run, nil)
		if v.err != nil {
			parent.broken(v.err)
		}
		if v.failed {
			parent.Errorf("%s: %s", s.Name, v.message())
		}
	}
}

// prove breaks the guest, and expects the test to say so.
func (t Test) prove(ctx context.Context, parent *T, s Sabotage) {
	if s.Break != "" {
		parent.Machine(0).MustRoot(ctx, s.Break)
	}
	v := parent.child(ctx, t.part(s.Subtest).Run, s.Serve)
	if s.Undo != "" {
		parent.Machine(0).MustRoot(ctx, s.Undo)
	}
	class := s.Class
	if class == "" {
		class = event.Assertion
	}
	got := classify(observed{verdict: v, answers: true})
	if got.Outcome == event.Error {
		parent.broken(v.err) // trouble on the way proves nothing about the test
	}
	matched, err := regexp.MatchString(s.Message, got.Message)
	parent.Check(err)
	switch {
	case got.Outcome != event.Fail || got.Class != class:
		parent.Fatalf("%s was broken by %q, and the test ended as %s/%s instead of fail/%s: %s",
			t.Name, s.Name, got.Outcome, got.Class, class, got.Message)
	case !matched:
		parent.Fatalf("%s was broken by %q, and failed with another message than %q: %s", t.Name, s.Name, s.Message, got.Message)
	}
	parent.Logf("noticed: %s", firstLine(got.Message))
}

// child runs a test function as a part of t, and returns what it said. Where
// the function serves something at a port of served, that is served instead.
func (t *T) child(ctx context.Context, run func(context.Context, *T), served Served) verdict {
	c := &T{
		cell: t.cell, n: t.n, subtest: t.subtest, scale: t.scale, dir: t.dir,
		cluster: t.cluster, has: t.has, facts: t.facts, served: served, emit: t.emit,
	}
	return c.call(ctx, run, t.Scale(testGrace))
}
