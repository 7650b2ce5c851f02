package schedule

import "testing"

func TestTryAcquire(t *testing.T) {
	tests := []struct {
		name  string
		slots int
		held  []Cost
		want  Cost
		ok    bool
	}{
		{"fits", 0, []Cost{{1000, 1}}, Cost{1000, 1}, true},
		{"no memory", 0, []Cost{{1000, 1}}, Cost{1001, 1}, false},
		{"no CPU", 0, []Cost{{100, 1}}, Cost{100, 1.5}, false},
		{"no slot", 1, []Cost{{100, 1}}, Cost{100, 1}, false},
		{"too large, but alone", 0, nil, Cost{9000, 9}, true},
		{"too large and not alone", 0, []Cost{{1, 0}}, Cost{9000, 9}, false},
		{"beside something too large", 0, []Cost{{9000, 9}}, Cost{1, 0}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := NewBudget(Cost{2000, 2}, tt.slots)
			for _, c := range tt.held {
				acquire(t, b, c, Share{}, true)
			}
			acquire(t, b, tt.want, Share{}, tt.ok)
		})
	}
}

func acquire(t *testing.T, b *Budget, c Cost, s Share, ok bool) *Lease {
	t.Helper()
	lease, got := b.TryAcquire(c, s)
	if got != ok {
		t.Fatalf("%v with %v was admitted: %v, want %v", c, s, got, ok)
	}
	return lease
}

// TestShares: what forks have in common counts once, and until the last of
// them is gone.
func TestShares(t *testing.T) {
	b := NewBudget(Cost{1200, 99}, 0)
	base := Share{"base", 1000}
	first := acquire(t, b, Cost{100, 1}, base, true)
	second := acquire(t, b, Cost{100, 1}, base, true)
	acquire(t, b, Cost{1, 1}, base, false)
	first.Release()
	first.Release()
	acquire(t, b, Cost{101, 1}, Share{}, false)
	third := acquire(t, b, Cost{100, 1}, base, true)
	second.Release()
	third.Release()
	acquire(t, b, Cost{150, 1}, Share{"other", 1000}, true)
	acquire(t, b, Cost{1, 1}, base, false)
}

// TestRest: a lease at rest holds its memory, and neither CPUs nor its slot.
func TestRest(t *testing.T) {
	b := NewBudget(Cost{1000, 1}, 1)
	first := acquire(t, b, Cost{600, 1}, Share{}, true)
	acquire(t, b, Cost{100, 0}, Share{}, false)
	freed := b.Freed()
	first.Rest()
	first.Rest()
	<-freed
	acquire(t, b, Cost{500, 1}, Share{}, false)
	second := acquire(t, b, Cost{400, 1}, Share{}, true)
	second.Release()
	first.Release()
	acquire(t, b, Cost{1000, 1}, Share{}, true)
}

// TestChange: work that takes more than was thought keeps others out until it
// is over, and work that takes less lets others in.
func TestChange(t *testing.T) {
	b := NewBudget(Cost{1000, 2}, 0)
	base := Share{"base", 500}
	l := acquire(t, b, Cost{100, 1}, base, true)
	l.Change(Cost{2000, 1}, Share{})
	acquire(t, b, Cost{1, 0}, Share{}, false)
	l.Rest()
	freed := b.Freed()
	l.Change(Cost{100, 7}, base)
	<-freed
	second := acquire(t, b, Cost{400, 2}, base, true)
	l.Release()
	l.Change(Cost{9000, 9}, base)
	second.Release()
	acquire(t, b, Cost{1000, 2}, Share{}, true)
}

func TestRoom(t *testing.T) {
	for _, tt := range []struct {
		slots int
		cost  Cost
		share Share
		want  int
	}{
		{0, Cost{}, Share{}, 0},
		{3, Cost{}, Share{}, 3},
		{3, Cost{250, 0}, Share{}, 3},
		{0, Cost{250, 0}, Share{}, 4},
		{0, Cost{250, 1}, Share{}, 2},
		{0, Cost{250, 0}, Share{"base", 500}, 2},
		{0, Cost{5000, 9}, Share{}, 1},
	} {
		if got := NewBudget(Cost{1000, 2}, tt.slots).Room(tt.cost, tt.share); got != tt.want {
			t.Errorf("%+v: room for %d", tt, got)
		}
	}
	var none *Lease
	none.Rest()
	none.Change(Cost{1, 1}, Share{})
	none.Release()
}
