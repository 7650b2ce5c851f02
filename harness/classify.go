package harness

import (
	"errors"
	"fmt"
	"strings"

	"seatrial/harness/event"
	"seatrial/platforms"
)

// observed is all that is known of an attempt when it is judged.
type observed struct {
	boot     error          // why machines were not there before the test started
	verdict  verdict        // of the test
	fatal    *event.Finding // the first finding that fails the test
	stale    *event.Finding // the first that tells of an emulator's fault
	cause    error          // why the attempt's context ended; nil if it did not
	timedOut bool           // the test's time ran out
	answers  bool           // the guests ran a command afterwards; asked for after a time-out or a lost connection
}

// ErrInterrupted is the cause with which a caller ends the context of a run
// that the user gave up.
var ErrInterrupted = errors.New("interrupted")

// ErrDeadline is the cause with which a caller ends the context of a run whose
// time is up.
var ErrDeadline = errors.New("the run's time is up")

// rule is a row of the table that turns facts into an outcome.
type rule struct {
	name    string
	applies func(observed) bool
	outcome event.Outcome
	class   event.Class
	message func(observed) string
}

// classify judges an attempt: the first rule that applies decides.
func classify(o observed) outcome {
	for _, r := range rules() {
		if r.applies(o) {
			out := outcome{Outcome: r.outcome, Class: r.class, interrupted: r.outcome == event.Error && isInterrupted(o.cause)}
			if r.message != nil {
				out.Message = r.message(o)
			}
			return out
		}
	}
	return outcome{Outcome: event.Pass}
}

// rules is the table, after section 4 of the design. What the image did wrong
// stands above what kept the harness from seeing it, so that a kernel panic
// turns an error into a failure.
func rules() []rule {
	return []rule{
		{"fatal finding", func(o observed) bool { return o.fatal != nil },
			event.Fail, event.Console, fatalMessage},
		{"interrupted", func(o observed) bool { return isInterrupted(o.cause) },
			event.Error, event.Harness, func(o observed) string { return o.cause.Error() }},
		{"guest stopped itself", func(o observed) bool { return isGuest(goneCause(o.cause)) },
			event.Fail, event.LostConnection, func(o observed) string { return goneCause(o.cause).Error() }},
		{"machine failed by its platform", func(o observed) bool { return goneCause(o.cause) != nil },
			event.Error, event.Infra, func(o observed) string { return goneCause(o.cause).Error() }},
		{"guest hung by its emulator", func(o observed) bool { return o.stale != nil && o.hangs() },
			event.Error, event.Infra, func(o observed) string {
				return withVerdict(fmt.Sprintf("the guest hangs where its kernel patched its code, a fault of QEMU before 8.1 (%s %s line %d)",
					o.stale.Machine, o.stale.Source, o.stale.Line), o)
			}},
		{"guest did not boot", func(o observed) bool { return isGuest(o.boot) || errors.Is(o.boot, errBootBudget) },
			event.Fail, event.Boot, func(o observed) string { return o.boot.Error() }},
		{"machines not made", func(o observed) bool { return o.boot != nil },
			event.Error, event.Provision, func(o observed) string { return o.boot.Error() }},
		{"test panicked", func(o observed) bool { return isPanic(o.verdict.err) },
			event.Error, event.Harness, verdictMessage},
		{"test ignored its context", func(o observed) bool { return errors.Is(o.verdict.err, errIgnored) && o.answers },
			event.Error, event.Harness, verdictMessage},
		{"time ran out on a dead guest", func(o observed) bool { return o.timedOut && !o.answers },
			event.Fail, event.KernelHang, func(o observed) string {
				return withVerdict("the test's time ran out and the guest does not answer", o)
			}},
		{"time ran out", func(o observed) bool { return o.timedOut },
			event.Fail, event.Timeout, func(o observed) string {
				return withVerdict("the test's time ran out; the guest still answers", o)
			}},
		{"connection to a dead guest", func(o observed) bool { return isLost(o) && !o.answers },
			event.Fail, event.KernelHang, func(o observed) string {
				return withVerdict("the guest stopped answering", o)
			}},
		{"connection to a healthy guest", isLost,
			event.Error, event.LostConnection, verdictMessage},
		{"assertion", func(o observed) bool { return o.verdict.failed },
			event.Fail, event.Assertion, verdictMessage},
		{"guest fault in the test", func(o observed) bool { return isGuest(o.verdict.err) },
			event.Fail, event.Boot, verdictMessage},
		{"platform fault in the test", func(o observed) bool { return o.verdict.err != nil },
			event.Error, event.Infra, verdictMessage},
		{"skipped", func(o observed) bool { return o.verdict.skipped },
			event.Skip, "", func(o observed) string { return o.verdict.message() }},
	}
}

func fatalMessage(o observed) string {
	return withVerdict(fmt.Sprintf("%s (%s %s line %d)", o.fatal.Title, o.fatal.Machine, o.fatal.Source, o.fatal.Line), o)
}

// withVerdict is text followed by what the test itself had to say.
func withVerdict(text string, o observed) string {
	if own := verdictMessage(o); own != "" {
		return text + "\n" + own
	}
	return text
}

func verdictMessage(o observed) string {
	parts := o.verdict.msgs
	if o.verdict.err != nil {
		parts = append(parts[:len(parts):len(parts)], o.verdict.err.Error())
	}
	return strings.Join(parts, "\n")
}

// hangs reports whether a guest stopped answering, or never began to.
func (o observed) hangs() bool {
	return errors.Is(o.boot, errBootBudget) || !o.answers && (o.timedOut || isLost(o))
}

func isLost(o observed) bool { return errors.Is(o.verdict.err, platforms.ErrConnectionLost) }

func isGuest(err error) bool {
	_, ok := errors.AsType[*platforms.GuestError](err)
	return ok
}

func isPanic(err error) bool {
	_, ok := errors.AsType[*panicError](err)
	return ok
}

// goneCause is the reason for which a machine went, if that ended the attempt.
func goneCause(cause error) error {
	if gone, ok := errors.AsType[*goneError](cause); ok {
		return gone.err
	}
	return nil
}

// deadFinding is the finding that ended the attempt, if one did.
func deadFinding(cause error) *event.Finding {
	if dead, ok := errors.AsType[*deadError](cause); ok {
		return &dead.finding
	}
	return nil
}

// isDead reports whether the attempt ended because a guest cannot go on.
func isDead(cause error) bool { return goneCause(cause) != nil || deadFinding(cause) != nil }

// isInterrupted reports whether the user or the deadline ended the run, by the
// cause for which a context ended.
func isInterrupted(cause error) bool {
	return errors.Is(cause, ErrInterrupted) || errors.Is(cause, ErrDeadline)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func joinAnd(words []string) string {
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
