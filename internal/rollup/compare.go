package rollup

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"seatrial/internal/triage/compare"
)

// Side is one side of a comparison: the rows of a run, or some of them.
type Side struct {
	Name string
	Run  Run
	Rows []Row
	// Part is set if the rows are those of one place of several. Two such sides
	// should be equal, and neither is the older one.
	Part bool
}

// Change says how a test ended on two sides. Where a side has several rows of
// the test, the worst counts.
type Change struct {
	Test string `json:"test"`
	// Kind is regression, fix, new-failure (only the second side has it), changed
	// (another cluster or category), same, or other for what one side cannot tell.
	Kind   string `json:"kind"`
	Before *Row   `json:"-"`
	After  *Row   `json:"-"`
	From   string `json:"from,omitempty"` // verdict, with the category of a failure
	To     string `json:"to,omitempty"`
	// Method and Text say what the change rests on, as in Trend.
	Method string `json:"method"`
	Text   string `json:"text"`
}

// The kinds of changes, those that need attention first.
const (
	Regression = "regression"
	NewFailure = "new-failure"
	Changed    = "changed-cause"
	Fix        = "fix"
	StillFails = "still-fails"
	Untold     = "untold"
	StillGood  = "still-passes"
)

// ChangeKinds lists them in that order.
func ChangeKinds() []string {
	return []string{Regression, NewFailure, Changed, Fix, StillFails, Untold, StillGood}
}

// Compare sets two sides beside each other, test by test. Earlier runs of the same
// version count, too, as far as the rows remember them; where a test has too few,
// its change is told by its two verdicts alone.
func Compare(a, b Side, t compare.Thresholds) ([]Change, error) {
	before, after := worst(a.Rows), worst(b.Rows)
	var tests []compare.Test
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if after[name] != nil {
			tests = append(tests, compare.Test{Name: name, Base: a.counts(name), Sample: b.counts(name)})
		}
	}
	enough := slices.DeleteFunc(slices.Clone(tests), func(test compare.Test) bool {
		return test.Base.Runs() < t.MinBase || test.Sample.Runs() < t.MinNew
	})
	assess := compare.Regressions
	if a.Part && b.Part {
		assess = compare.Parity
	}
	assessed, err := assess(enough, t)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]compare.Assessment)
	for _, one := range assessed {
		byName[one.Name] = one
	}
	names := slices.Sorted(maps.Keys(before))
	for name := range after {
		if before[name] == nil {
			names = append(names, name)
		}
	}
	var all []Change
	for _, name := range names {
		c := change(name, before[name], after[name])
		if one, ok := byName[name]; ok {
			c.statistical(one)
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b Change) int {
		return cmp.Or(cmp.Compare(slices.Index(ChangeKinds(), a.Kind), slices.Index(ChangeKinds(), b.Kind)), cmp.Compare(a.Test, b.Test))
	})
	return all, nil
}

// worst returns the row of each test that needs attention first.
func worst(rows []Row) map[string]*Row {
	all := make(map[string]*Row)
	rank := func(v Verdict) int { return slices.Index(Verdicts(), v) }
	for i, row := range rows {
		if old := all[row.Test]; old == nil || rank(row.Verdict) < rank(old.Verdict) {
			all[row.Test] = &rows[i]
		}
	}
	return all
}

// counts counts the runs of a test on a side, those of earlier runs of the same
// version included.
func (s Side) counts(test string) compare.Counts {
	var c compare.Counts
	add := func(v Verdict) {
		switch {
		case v.Passed():
			c.Pass++
		case v == Fail || v == Known:
			c.Fail++
		}
	}
	for _, row := range s.Rows {
		if row.Test != test {
			continue
		}
		add(row.Verdict)
		version := s.Run.ImageVersion(row.Image, row.Arch)
		for _, one := range row.History {
			if one.Version == version {
				add(one.Verdict)
			}
		}
	}
	return c
}

func change(test string, before, after *Row) Change {
	c := Change{Test: test, Before: before, After: after, From: told(before), To: told(after), Method: "labels"}
	fails := func(r *Row) bool { return r != nil && (r.Verdict == Fail || r.Verdict == Known) }
	passes := func(r *Row) bool { return r != nil && r.Verdict.Passed() }
	switch {
	case passes(before) && fails(after):
		c.Kind = Regression
	case fails(before) && passes(after):
		c.Kind = Fix
	case before == nil && fails(after):
		c.Kind = NewFailure
	case fails(before) && fails(after):
		c.Kind = StillFails
		if before.Cluster != after.Cluster || before.Category != after.Category {
			c.Kind = Changed
		}
	case passes(before) && passes(after):
		c.Kind = StillGood
	default:
		c.Kind = Untold
	}
	c.Text = c.From + " before, " + c.To + " now; one run each"
	return c
}

// told says how a row ended in a word or two.
func told(r *Row) string {
	switch {
	case r == nil:
		return "absent"
	case r.Category != "" && (r.Verdict == Fail || r.Verdict == Known):
		return string(r.Verdict) + " (" + r.Category + ")"
	}
	return string(r.Verdict)
}

// statistical replaces a verdict from one run each by one from many.
func (c *Change) statistical(a compare.Assessment) {
	c.Method, c.Text = "statistics", a.Reason
	switch a.Verdict {
	case compare.Extreme, compare.Regressed:
		c.Kind = Regression
	case compare.Improvement:
		c.Kind = Fix
	default:
		if c.Kind == Regression || c.Kind == Fix {
			c.Kind, c.Text = Untold, "no significant difference: "+strings.TrimSpace(a.Reason)
		}
	}
}
