package schedule

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

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
				if _, ok := b.TryAcquire(c); !ok {
					t.Fatalf("%v was not admitted", c)
				}
			}
			if _, ok := b.TryAcquire(tt.want); ok != tt.ok {
				t.Errorf("admitted: %v, want %v", ok, tt.ok)
			}
		})
	}
}

func TestAcquireWaitsForRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(Cost{1000, 1}, 0)
		first, _ := b.TryAcquire(Cost{1000, 1})
		start := time.Now()
		time.AfterFunc(3*time.Second, first)
		release, err := b.Acquire(t.Context(), Cost{500, 1})
		if err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited != 3*time.Second {
			t.Errorf("waited %s, want 3s", waited)
		}
		release()

		held, _ := b.TryAcquire(Cost{1000, 1})
		defer held()
		stop := errors.New("stop")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, stop)
		defer cancel()
		if _, err := b.Acquire(ctx, Cost{1, 1}); !errors.Is(err, stop) {
			t.Errorf("error %v, want %v", err, stop)
		}
	})
}
