package triage

import (
	"cmp"
	"maps"
	"slices"
)

// Cluster is a set of failures that are taken for the same one.
type Cluster struct {
	// ID stays the same over runs as long as each run is given the clusters of
	// earlier ones.
	ID string
	// Key is that of the part which the cluster began with in this run, Keys are
	// those of all parts and of earlier runs, sorted.
	Key   string
	Keys  []string
	Area  string // the class, or "oops"
	Title string // the signature's text that the cluster first had, in whatever run
	// Members are indices of the failures, ascending.
	Members []int
}

// Seed is a cluster of an earlier run.
type Seed struct {
	ID    string
	Area  string
	Title string
	Keys  []string
}

// Seed returns what a later run needs to know of the cluster.
func (c Cluster) Seed() Seed { return Seed{ID: c.ID, Area: c.Area, Title: c.Title, Keys: c.Keys} }

// Grouping is the result of Group.
type Grouping struct {
	// Clusters has those with members, the largest first.
	Clusters []Cluster
	// Unmerged counts the keys that were not compared with all others because
	// there were too many; they are clusters by their exact key alone.
	Unmerged int
}

// Limits of the search, which bound it where thousands of failures have nothing
// in common. They count work and not time, so that a slow machine finds the
// same clusters.
const (
	maxExact       = 8         // edit distances for one text
	maxComparisons = 5_000_000 // of n-grams in one call: all of 3,000 unlike keys
)

// Group joins failures into clusters, after Kubernetes' triage/summarize. Equal
// keys are one cluster. Keys whose texts differ by less than a tenth of their
// mean length are joined too, if they have the same class: first within each
// test, then over all tests, the largest first, beginning with the clusters of
// earlier runs. Oopses are never joined by likeness, since one letter tells
// functions apart.
func Group(failures []Failure, earlier []Seed) Grouping {
	signed := make([]Signed, len(failures))
	for i, f := range failures {
		signed[i] = Signed{f.Test, Sign(f)}
	}
	return GroupSigned(signed, earlier)
}

// Signed is what grouping needs to know of a failure.
type Signed struct {
	Test string
	Signature
}

// GroupSigned is Group for failures whose signatures are known.
func GroupSigned(failures []Signed, earlier []Seed) Grouping {
	g := newGrouper()
	g.seed(earlier)
	var local []*group
	parts := partsOf(failures)
	for _, test := range slices.Sorted(maps.Keys(parts)) {
		local = append(local, g.withinTest(parts[test])...)
	}
	slices.SortStableFunc(local, largestFirst)
	for _, l := range local {
		g.place(l)
	}
	return g.result()
}

// part is the failures that have one key, of one test or of all.
type part struct {
	key, area, text string
	members         []int
}

// partsOf sorts failures by test and key; those of a test come the largest
// first.
func partsOf(failures []Signed) map[string][]*part {
	byKey := make(map[string]map[string]*part)
	for i, f := range failures {
		s := f.Signature
		if byKey[f.Test] == nil {
			byKey[f.Test] = make(map[string]*part)
		}
		p := byKey[f.Test][s.Key]
		if p == nil {
			p = &part{key: s.Key, area: area(s), text: s.Text}
			byKey[f.Test][s.Key] = p
		}
		p.text = min(p.text, s.Text) // one of several: the same in any order
		p.members = append(p.members, i)
	}
	tests := make(map[string][]*part)
	for test, keys := range byKey {
		tests[test] = slices.SortedFunc(maps.Values(keys), func(a, b *part) int {
			return cmp.Or(cmp.Compare(len(b.members), len(a.members)), cmp.Compare(a.key, b.key))
		})
	}
	return tests
}

// group is a cluster in the making. The first part gives it its title.
type group struct {
	id, area, text string
	keys           []string // of earlier runs
	parts          []*part
	size           int
	grams          *grams // of text; made when it is first needed
}

func newGroup(p *part) *group {
	return &group{area: p.area, text: p.text, parts: []*part{p}, size: len(p.members)}
}

func (g *group) add(p *part) {
	g.parts = append(g.parts, p)
	g.size += len(p.members)
}

func (g *group) counted() *grams {
	if g.grams == nil {
		g.grams = gramsOf(g.text)
	}
	return g.grams
}

func largestFirst(a, b *group) int {
	return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(a.parts[0].key, b.parts[0].key))
}

type grouper struct {
	owners      map[string]*group // by key
	areas       map[string]*index // those that texts are compared with
	all         []*group
	comparisons int
	unmerged    int
}

func newGrouper() *grouper {
	return &grouper{owners: make(map[string]*group), areas: make(map[string]*index)}
}

func (g *grouper) seed(earlier []Seed) {
	ids := make(map[string]bool)
	for _, s := range earlier {
		if s.ID == "" || ids[s.ID] {
			continue
		}
		ids[s.ID] = true
		seeded := &group{id: s.ID, area: s.Area, text: shorten(s.Title, MaxText), keys: s.Keys}
		g.keep(seeded)
		for _, key := range s.Keys {
			if g.owners[key] == nil {
				g.owners[key] = seeded
			}
		}
	}
}

func (g *grouper) keep(c *group) {
	g.all = append(g.all, c)
	g.area(c).add(c)
}

// area returns the index of the groups that a group may be joined with.
func (g *grouper) area(c *group) *index {
	if g.areas[c.area] == nil {
		g.areas[c.area] = newIndex()
	}
	return g.areas[c.area]
}

// withinTest joins the parts of one test.
func (g *grouper) withinTest(parts []*part) []*group {
	x := newIndex()
	for _, p := range parts {
		c := newGroup(p)
		if found := g.nearest(c, x); found != nil {
			found.add(p)
			continue
		}
		x.add(c)
	}
	return x.groups
}

// place moves the parts of a test's group to the clusters that own their keys,
// and the rest to the cluster that is most alike, or to one of their own.
func (g *grouper) place(l *group) {
	var rest []*part
	for _, p := range l.parts {
		if owner := g.owners[p.key]; owner != nil {
			owner.add(p)
			continue
		}
		rest = append(rest, p)
	}
	if len(rest) == 0 {
		return
	}
	target := g.owners[l.parts[0].key] // the rest belongs with its largest part
	if target == nil {
		target = g.nearest(l, g.area(l))
	}
	if target == nil {
		target = &group{area: l.area, text: l.text, grams: l.grams}
		g.keep(target)
	}
	for _, p := range rest {
		target.add(p)
		g.owners[p.key] = target
	}
}

// nearest returns the group whose text is alike, or nil. Of those that pass the
// filters it looks at the eight that promise most.
func (g *grouper) nearest(c *group, x *index) *group {
	if c.area == string(Oops) || len(x.groups) == 0 {
		return nil
	}
	if g.comparisons > maxComparisons {
		g.unmerged++
		return nil
	}
	among := x.like(c.text)
	g.comparisons += len(among)
	type candidate struct {
		group *group
		bound int
	}
	var candidates []candidate
	for _, o := range among {
		limit := likeness(c.text, o.text)
		if c.area != o.area || len(c.text)-len(o.text) > limit || len(o.text)-len(c.text) > limit {
			continue
		}
		if bound := c.counted().atLeast(o.counted()); bound <= limit {
			candidates = append(candidates, candidate{o, bound})
		}
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.bound, b.bound) })
	for _, o := range candidates[:min(len(candidates), maxExact)] {
		if alike(c.text, o.group.text) {
			return o.group
		}
	}
	return nil
}

func (g *grouper) result() Grouping {
	r := Grouping{Unmerged: g.unmerged}
	for _, c := range g.all {
		if len(c.parts) > 0 {
			r.Clusters = append(r.Clusters, c.cluster())
		}
	}
	slices.SortFunc(r.Clusters, func(a, b Cluster) int {
		return cmp.Or(cmp.Compare(len(b.Members), len(a.Members)), cmp.Compare(a.ID, b.ID))
	})
	return r
}

func (g *group) cluster() Cluster {
	c := Cluster{ID: g.id, Area: g.area, Title: g.text, Key: g.parts[0].key, Keys: slices.Clone(g.keys)}
	if c.ID == "" {
		c.ID = idOf(c.Key)
	}
	for _, p := range g.parts {
		c.Keys = append(c.Keys, p.key)
		c.Members = append(c.Members, p.members...)
	}
	slices.Sort(c.Keys)
	c.Keys = slices.Compact(c.Keys)
	slices.Sort(c.Members)
	return c
}
