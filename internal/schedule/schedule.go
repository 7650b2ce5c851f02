// Package schedule decides what may run at the same time on this host: by the
// memory and CPUs that machines take, and not by the number of tests.
//
// It knows nothing of tests or platforms.
package schedule

import "sync"

// Cost is what something takes of the host while it runs.
type Cost struct {
	MemoryMiB int
	CPUs      float64
}

// Share is memory that all work which names it takes together, and only once:
// the pages that forks have in common with their template.
type Share struct {
	Name      string
	MemoryMiB int
}

// Budget admits work within a capacity. Work that alone exceeds the capacity
// is admitted when nothing else runs, so that a small host still runs
// everything.
type Budget struct {
	capacity Cost
	slots    int // 0 means any number

	mu      sync.Mutex
	used    Cost           // shares included
	shares  map[string]int // how much of the running work names each
	working int            // leases that are not at rest
	held    int            // leases
	freed   chan struct{}  // closed and replaced whenever something is given back
}

// NewBudget returns a budget of the given capacity, in which at most slots
// pieces of work run at once; 0 slots means that only the capacity counts.
func NewBudget(capacity Cost, slots int) *Budget {
	return &Budget{capacity: capacity, slots: slots, shares: map[string]int{}}
}

// Room is how much work of the given cost fits at once into an empty budget, at
// least 1; 0 means any amount.
func (b *Budget) Room(c Cost, s Share) int {
	room := b.slots
	least := func(n int) {
		if n = max(1, n); room == 0 || n < room {
			room = n
		}
	}
	if c.MemoryMiB > 0 {
		least((b.capacity.MemoryMiB - s.MemoryMiB) / c.MemoryMiB)
	}
	if c.CPUs > 0 {
		least(int(b.capacity.CPUs / c.CPUs))
	}
	return room
}

// Lease is what admitted work holds of a budget. A nil lease holds nothing.
type Lease struct {
	budget *Budget
	cost   Cost
	share  Share
	rests  bool
	over   bool
}

// TryAcquire admits work of the given cost, and the share if its name is not
// empty, if it fits now.
func (b *Budget) TryAcquire(c Cost, s Share) (*Lease, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := c
	if s.Name != "" && b.shares[s.Name] == 0 {
		total.MemoryMiB += s.MemoryMiB
	}
	if b.held > 0 && !b.fits(total) {
		return nil, false
	}
	b.take(c, 1)
	b.join(s)
	b.working++
	b.held++
	return &Lease{budget: b, cost: c, share: s}, true
}

func (b *Budget) fits(c Cost) bool {
	return (b.slots == 0 || b.working < b.slots) &&
		b.used.MemoryMiB+c.MemoryMiB <= b.capacity.MemoryMiB &&
		b.used.CPUs+c.CPUs <= b.capacity.CPUs
}

// take adds a cost to what is used, or takes it away. b.mu is held.
func (b *Budget) take(c Cost, sign int) {
	b.used.MemoryMiB += sign * c.MemoryMiB
	b.used.CPUs += float64(sign) * c.CPUs
}

// join counts work that names a share, and leave does so no more. b.mu is held.
func (b *Budget) join(s Share) {
	if s.Name == "" {
		return
	}
	if b.shares[s.Name]++; b.shares[s.Name] == 1 {
		b.used.MemoryMiB += s.MemoryMiB
	}
}

func (b *Budget) leave(s Share) {
	if s.Name == "" {
		return
	}
	if b.shares[s.Name]--; b.shares[s.Name] == 0 {
		delete(b.shares, s.Name)
		b.used.MemoryMiB -= s.MemoryMiB
	}
}

// wake tells those who wait that something was given back. b.mu is held.
func (b *Budget) wake() {
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// Freed returns a channel that is closed when something is given back. Who
// finds that work does not fit waits for the channel asked for before.
func (b *Budget) Freed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.freed == nil {
		b.freed = make(chan struct{})
	}
	return b.freed
}

// Rest gives back the CPUs and the slot, and keeps the memory: the work is
// done, and its machines are not gone yet.
func (l *Lease) Rest() {
	if l == nil {
		return
	}
	b := l.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.rests || l.over {
		return
	}
	l.rests = true
	b.take(Cost{CPUs: l.cost.CPUs}, -1)
	l.cost.CPUs = 0
	b.working--
	b.wake()
}

// Change makes the work take what it turned out to, whether that fits or not.
func (l *Lease) Change(c Cost, s Share) {
	if l == nil {
		return
	}
	b := l.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.over {
		return
	}
	if l.rests {
		c.CPUs = 0
	}
	b.take(l.cost, -1)
	b.leave(l.share)
	l.cost, l.share = c, s
	b.take(c, 1)
	b.join(s)
	b.wake()
}

// Release gives everything back. It may be called twice.
func (l *Lease) Release() {
	if l == nil {
		return
	}
	l.Rest()
	b := l.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.over {
		return
	}
	l.over = true
	b.take(l.cost, -1)
	b.leave(l.share)
	b.held--
	b.wake()
}
