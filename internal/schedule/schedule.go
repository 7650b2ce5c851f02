// Package schedule decides what may run at the same time on this host: by the
// memory and CPUs that machines take, and not by the number of tests.
//
// It knows nothing of tests or platforms.
package schedule

import (
	"context"
	"sync"
)

// Cost is what something takes of the host while it runs.
type Cost struct {
	MemoryMiB int
	CPUs      float64
}

// Budget admits work within a capacity. Work that alone exceeds the capacity
// is admitted when nothing else runs, so that a small host still runs
// everything.
type Budget struct {
	capacity Cost
	slots    int // 0 means any number

	mu      sync.Mutex
	used    Cost
	running int
	freed   chan struct{} // closed and replaced at each release
}

// NewBudget returns a budget of the given capacity, in which at most slots
// pieces of work run at once; 0 slots means that only the capacity counts.
func NewBudget(capacity Cost, slots int) *Budget {
	return &Budget{capacity: capacity, slots: slots, freed: make(chan struct{})}
}

// TryAcquire admits work of the given cost if it fits now. The returned
// function gives the cost back; it must be called once.
func (b *Budget) TryAcquire(c Cost) (release func(), ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running > 0 && !b.fits(c) {
		return nil, false
	}
	b.used.MemoryMiB += c.MemoryMiB
	b.used.CPUs += c.CPUs
	b.running++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.used.MemoryMiB -= c.MemoryMiB
		b.used.CPUs -= c.CPUs
		b.running--
		close(b.freed)
		b.freed = make(chan struct{})
	}, true
}

func (b *Budget) fits(c Cost) bool {
	return (b.slots == 0 || b.running < b.slots) &&
		b.used.MemoryMiB+c.MemoryMiB <= b.capacity.MemoryMiB &&
		b.used.CPUs+c.CPUs <= b.capacity.CPUs
}

// Acquire waits until work of the given cost fits, or ctx ends.
func (b *Budget) Acquire(ctx context.Context, c Cost) (release func(), err error) {
	for {
		b.mu.Lock()
		freed := b.freed
		b.mu.Unlock()
		if release, ok := b.TryAcquire(c); ok {
			return release, nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
