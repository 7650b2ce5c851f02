package qmp

import (
	"context"
	"sync"

	goqemu "github.com/digitalocean/go-qemu/qmp"
)

// subscription is one consumer's queue of events. It is unbounded: QEMU limits the rate of what a
// guest can cause, and a lost event would be worse than a long queue.
type subscription struct {
	mu    sync.Mutex
	queue []goqemu.Event
	ended bool
	wake  chan struct{} // has a token after each change
}

func newSubscription() *subscription {
	return &subscription{wake: make(chan struct{}, 1)}
}

func (s *subscription) add(e goqemu.Event) {
	s.mu.Lock()
	s.queue = append(s.queue, e)
	s.mu.Unlock()
	s.signal()
}

// end says that no event follows those in the queue.
func (s *subscription) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.signal()
}

func (s *subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *subscription) take() (events []goqemu.Event, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events, s.queue = s.queue, nil
	return events, s.ended
}

// deliver hands the events to out until the queue has ended and is empty, ctx ends or stop is
// closed.
func (s *subscription) deliver(ctx context.Context, stop <-chan struct{}, out chan<- goqemu.Event) {
	for {
		events, ended := s.take()
		for _, e := range events {
			select {
			case out <- e:
			case <-ctx.Done():
				return
			case <-stop:
				return
			}
		}
		if ended {
			return
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		case <-stop:
			return
		}
	}
}
