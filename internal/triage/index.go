package triage

// Of two texts that are alike some part is the same in both: with s bytes in the
// two, fewer than s/20 edits leave more than 9·s/20 bytes of each as they are, in
// no more than s/20 runs, of which one then has ten bytes or more. The six bytes
// at each fifth place of a text are therefore met somewhere in any text that is
// like it.
const (
	runSize = 6
	runStep = 5
)

// index finds the groups whose texts share a run of bytes with another text, in
// the order in which they were added.
type index struct {
	groups []*group
	runs   map[string][]int32 // indices in groups, ascending
	seen   []bool             // those that a search has found, by index; false between searches
}

func newIndex() *index { return &index{runs: make(map[string][]int32)} }

func (x *index) add(g *group) {
	at := int32(len(x.groups))
	x.groups, x.seen = append(x.groups, g), append(x.seen, false)
	for i := 0; i == 0 || i+runSize <= len(g.text); i += runStep {
		run := g.text[i:min(i+runSize, len(g.text))]
		if found := x.runs[run]; len(found) == 0 || found[len(found)-1] != at {
			x.runs[run] = append(found, at)
		}
	}
}

// like returns all groups whose texts may be like a text, and some more.
func (x *index) like(text string) []*group {
	count := 0
	for i := 0; i == 0 || i+runSize <= len(text); i++ {
		for _, at := range x.runs[text[i:min(i+runSize, len(text))]] {
			if !x.seen[at] {
				x.seen[at] = true
				count++
			}
		}
	}
	if count == 0 {
		return nil
	}
	found := make([]*group, 0, count)
	for at, seen := range x.seen {
		if seen {
			x.seen[at] = false
			found = append(found, x.groups[at])
		}
	}
	return found
}
