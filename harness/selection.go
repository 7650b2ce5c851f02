package harness

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// ErrNoMatch is wrapped by the error for a pattern that matches nothing.
var ErrNoMatch = errors.New("matches no test")

// Selection chooses tests and subtests.
type Selection struct {
	include, exclude []pattern
}

// pattern is one word of a selection: a glob on test names, a glob with a
// subtest after a slash, or a tag.
type pattern struct {
	text, tag, test, subtest string
}

// ParseSelection reads patterns: a glob on test names (path.Match), a glob and
// a subtest ("docker.base/docker-info"), "tag:NAME", each with "!" before it to
// exclude what it matches. No pattern, or only excluding ones, means every test
// that is not tagged needs-internet, slow or destructive.
func ParseSelection(words []string) (Selection, error) {
	var s Selection
	for _, w := range words {
		text, excluding := strings.CutPrefix(w, "!")
		p, err := parsePattern(text)
		if err != nil {
			return Selection{}, fmt.Errorf("pattern %q: %w", w, err)
		}
		if excluding {
			s.exclude = append(s.exclude, p)
		} else {
			s.include = append(s.include, p)
		}
	}
	return s, nil
}

func parsePattern(text string) (pattern, error) {
	if tag, ok := strings.CutPrefix(text, "tag:"); ok {
		if tag == "" {
			return pattern{}, errors.New("no tag after \"tag:\"")
		}
		return pattern{text: text, tag: tag}, nil
	}
	test, subtest, slash := strings.Cut(text, "/")
	if test == "" || slash && subtest == "" {
		return pattern{}, errors.New("want TEST, TEST/SUBTEST or tag:NAME")
	}
	for _, glob := range []string{test, subtest} {
		if _, err := path.Match(glob, ""); err != nil {
			return pattern{}, err
		}
	}
	return pattern{text: text, test: test, subtest: subtest}, nil
}

// matches reports whether the pattern chooses the test or a part of it.
func (p pattern) matches(t Test) bool {
	if p.tag != "" {
		return t.HasTag(p.tag)
	}
	if ok, _ := path.Match(p.test, t.Name); !ok {
		return false
	}
	return p.subtest == "" || len(p.subtests(t)) > 0
}

// subtests lists the subtests that the pattern names.
func (p pattern) subtests(t Test) []string {
	var names []string
	for _, s := range t.Subtests {
		if ok, _ := path.Match(p.subtest, s.Name); ok {
			names = append(names, s.Name)
		}
	}
	return names
}

// Selected is a test that a selection chose.
type Selected struct {
	Suite string
	Test  Test
	// Subtests that were asked for; empty means all.
	Subtests []string
}

// Select returns the chosen tests in alphabetical order. A pattern that
// matches nothing is an error that wraps ErrNoMatch and names near misses.
func (s Selection) Select(suites []Suite) ([]Selected, error) {
	var chosen []Selected
	for _, suite := range suites {
		for _, t := range suite.Tests {
			if sel, ok := s.choose(suite.Name, t); ok {
				chosen = append(chosen, sel)
			}
		}
	}
	if err := s.check(suites); err != nil {
		return nil, err
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("the selection is empty: everything is excluded: %w", ErrNoMatch)
	}
	slices.SortFunc(chosen, func(a, b Selected) int { return strings.Compare(a.Test.Name, b.Test.Name) })
	return chosen, nil
}

// choose applies the selection to one test.
func (s Selection) choose(suite string, t Test) (Selected, bool) {
	sel := Selected{Suite: suite, Test: t}
	whole, wanted := len(s.include) == 0 && byDefault(t), []string(nil)
	for _, p := range s.include {
		if !p.matches(t) {
			continue
		}
		if p.subtest == "" {
			whole = true
		} else {
			wanted = append(wanted, p.subtests(t)...)
		}
	}
	if !whole && len(wanted) == 0 {
		return sel, false
	}
	var dropped []string
	for _, p := range s.exclude {
		if !p.matches(t) {
			continue
		}
		if p.subtest == "" {
			return sel, false
		}
		dropped = append(dropped, p.subtests(t)...)
	}
	for _, sub := range t.Subtests {
		if (whole || slices.Contains(wanted, sub.Name)) && !slices.Contains(dropped, sub.Name) {
			sel.Subtests = append(sel.Subtests, sub.Name)
		}
	}
	if len(t.Subtests) > 0 && len(sel.Subtests) == 0 {
		return sel, false
	}
	if len(sel.Subtests) == len(t.Subtests) {
		sel.Subtests = nil
	}
	return sel, true
}

func byDefault(t Test) bool {
	return !t.HasTag(TagInternet) && !t.HasTag(TagSlow) && !t.HasTag(TagDestructive)
}

// check finds patterns that match nothing, which are always a mistake.
func (s Selection) check(suites []Suite) error {
	var errs []error
	for _, p := range slices.Concat(s.include, s.exclude) {
		if !slices.ContainsFunc(suites, func(suite Suite) bool { return slices.ContainsFunc(suite.Tests, p.matches) }) {
			errs = append(errs, fmt.Errorf("pattern %q: %w%s", p.text, ErrNoMatch, nearMisses(p, suites)))
		}
	}
	return errors.Join(errs...)
}

// nearMisses names up to three tests, subtests or tags that look like what was
// meant.
func nearMisses(p pattern, suites []Suite) string {
	var names []string
	for _, suite := range suites {
		for _, t := range suite.Tests {
			if p.tag != "" {
				for _, tag := range t.Tags {
					names = append(names, "tag:"+tag)
				}
				continue
			}
			names = append(names, t.Name)
			for _, sub := range t.Subtests {
				names = append(names, t.Name+"/"+sub.Name)
			}
		}
	}
	slices.Sort(names)
	return didYouMean(p.text, slices.Compact(names), "seatrial list")
}

// didYouMean names up to three of the names that look like the word, or the
// command that lists them.
func didYouMean(word string, names []string, command string) string {
	near := closest(word, names, 3)
	if len(near) == 0 {
		return "; `" + command + "` shows what there is"
	}
	return "; did you mean " + strings.Join(near, " or ") + "?"
}

// closest returns the names nearest to word: those that contain it or that it
// takes few edits to reach.
func closest(word string, names []string, n int) []string {
	type near struct {
		name string
		dist int
	}
	var found []near
	for _, name := range names {
		d := editDistance(word, name)
		if strings.Contains(name, strings.Trim(word, "*.")) && strings.Trim(word, "*.") != "" {
			d = min(d, 1)
		}
		if d <= max(2, len(word)/3) {
			found = append(found, near{name, d})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return a.dist - b.dist })
	var out []string
	for _, f := range found[:min(n, len(found))] {
		out = append(out, f.name)
	}
	return out
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
