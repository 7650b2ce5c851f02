package runstore

import (
	"errors"
	"fmt"
	"runtime/debug"

	"seatrial/harness/event"
)

// subscriber is one receiver of events, and how it has fared.
type subscriber struct {
	name    string
	receive func(event.Event) error
	first   error // that it returned
	errors  int
	crash   error // set once it panicked; it gets no more events
}

// Subscribe makes receive get every event from now on, in order, each after it
// was written. It is called while the store is locked: it must not call
// Append. An error that it returns, or a panic, does not disturb the run;
// Close returns it, with the name. After a panic it is not called again.
func (s *Store) Subscribe(name string, receive func(event.Event) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs = append(s.subs, &subscriber{name: name, receive: receive})
}

func (s *subscriber) deliver(e event.Event) {
	if s.crash != nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			s.crash = fmt.Errorf("%s: panic at event %d: %v\n%s", s.name, e.Seq, p, debug.Stack())
		}
	}()
	if err := s.receive(e); err != nil {
		s.errors++
		if s.first == nil {
			s.first = fmt.Errorf("%s: at event %d: %w", s.name, e.Seq, err)
		}
	}
}

// failure is what Close reports of the subscriber.
func (s *subscriber) failure() error {
	first := s.first
	if s.errors > 1 {
		first = fmt.Errorf("%w (the first of %d errors)", first, s.errors)
	}
	return errors.Join(first, s.crash)
}
