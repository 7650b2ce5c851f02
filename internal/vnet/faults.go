package vnet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Impairment is what is wrong with a network. It is applied as a whole and replaces the one before;
// the zero value is a healthy network.
type Impairment struct {
	Links []LinkFault // for each pair of machines the first that matches applies

	// Partition lists groups of machines. Machines of different groups do not reach each other;
	// a machine in no group reaches everyone. The runner's own connections come from
	// [GatewayPort]: as long as it is in no group, partitioned machines stay reachable by it.
	Partition [][]string
}

// LinkFault degrades the frames that From sends to To. It is one-way; the way back is a fault of
// its own. An empty name stands for any machine and for the gateway.
type LinkFault struct {
	From, To string
	Drop     float64       // probability that a frame is lost, 0 to 1
	Delay    time.Duration // added to each frame
	Jitter   time.Duration // Delay varies uniformly by up to this, either way; may reorder frames
}

// faults is an impairment in force. For a pair of machines the fate of the n-th frame depends only
// on the seed, the two names and n.
type faults struct {
	seed  uint64
	rules []LinkFault
	group map[string]int // from 1

	mu    sync.Mutex
	pairs map[[2]string]*pairState
}

type pairState struct {
	rule *LinkFault // nil: no fault
	rng  *rand.Rand
}

// compile checks an impairment against the names that exist; nil faults mean a healthy network.
func (im Impairment) compile(seed uint64, known func(name string) bool) (*faults, error) {
	var errs []error
	check := func(name string) {
		if name != GatewayPort && !known(name) {
			errs = append(errs, fmt.Errorf("no machine is called %q", name))
		}
	}
	for _, l := range im.Links {
		for _, name := range []string{l.From, l.To} {
			if name != "" {
				check(name)
			}
		}
		if !(l.Drop >= 0 && l.Drop <= 1) { // false for NaN, too
			errs = append(errs, fmt.Errorf("drop probability %v is not between 0 and 1", l.Drop))
		}
		if l.Delay < 0 || l.Jitter < 0 {
			errs = append(errs, fmt.Errorf("delay %v and jitter %v must not be negative", l.Delay, l.Jitter))
		}
	}
	group := make(map[string]int)
	for i, names := range im.Partition {
		for _, name := range names {
			check(name)
			if g := group[name]; g != 0 && g != i+1 {
				errs = append(errs, fmt.Errorf("%q is in two groups of the partition", name))
			}
			group[name] = i + 1
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if len(im.Links) == 0 && len(group) == 0 {
		return nil, nil
	}
	return &faults{seed: seed, rules: slices.Clone(im.Links), group: group, pairs: make(map[[2]string]*pairState)}, nil
}

// judge decides the fate of the next frame between two ports: lost, or to be held back.
func (f *faults) judge(from, to string) (lost bool, wait time.Duration) {
	if a, b := f.group[from], f.group[to]; a != 0 && b != 0 && a != b {
		return true, 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.pair(from, to)
	if l.rule == nil {
		return false, 0
	}
	// Both numbers are drawn for every frame, so that its fate does not hang on the rule's other half.
	drop, jitter := l.rng.Float64(), 2*l.rng.Float64()-1
	if drop < l.rule.Drop {
		return true, 0
	}
	return false, l.rule.Delay + time.Duration(jitter*float64(l.rule.Jitter))
}

// pair returns the state of a pair, made at its first frame.
func (f *faults) pair(from, to string) *pairState {
	key := [2]string{from, to}
	l := f.pairs[key]
	if l == nil {
		l = &pairState{rng: rand.New(rand.NewPCG(hash64(f.seed, "fault", from, to), f.seed))}
		i := slices.IndexFunc(f.rules, func(r LinkFault) bool {
			return (r.From == "" || r.From == from) && (r.To == "" || r.To == to)
		})
		if i >= 0 {
			l.rule = &f.rules[i]
		}
		f.pairs[key] = l
	}
	return l
}
