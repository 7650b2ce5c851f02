package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"seatrial/harness/event"
	"seatrial/platforms"
)

// T is a test's view of its attempt: its machines, and where it says what it
// found. Fatalf, Skipf and the methods of [Machine] that end a test must be
// called from the goroutine that runs the test function; the others may be
// called from any.
type T struct {
	cell    event.Cell
	n       int
	subtest string
	scale   float64 // by which durations of the test's author are multiplied
	dir     string
	cluster *cluster
	has     platforms.Set
	facts   Facts
	served  Served // in place of what the test serves
	emit    func(event.Body)

	mu     sync.Mutex
	result verdict
}

// verdict is what a test function has said so far.
type verdict struct {
	failed  bool
	skipped bool
	ended   bool  // by Fatalf, Skipf or a broken platform
	err     error // not the test's own finding, but of a platform or harness
	msgs    []string
}

func (v verdict) message() string { return strings.Join(v.msgs, "\n") }

// Name is the test's name, with "/subtest" within a subtest.
func (t *T) Name() string {
	if t.subtest != "" {
		return t.cell.Test + "/" + t.subtest
	}
	return t.cell.Test
}

// Arch is the architecture of the machines, as in GOARCH.
func (t *T) Arch() string { return t.cell.Arch }

// Has reports whether the platform or the image has a capability. A test that
// needs it says so in Needs; Has is for choosing between two ways.
func (t *T) Has(c platforms.Capability) bool { return t.has[c] || t.facts.Has[c] }

// OSRelease is a field of the guest's os-release file, such as "ID".
func (t *T) OSRelease(field string) string { return t.facts.OSRelease[field] }

// Machine returns machine i of those that Needs asked for, from 0.
func (t *T) Machine(i int) *Machine {
	guests := t.cluster.live()
	if i >= len(guests) {
		t.broken(fmt.Errorf("%s asks for machine %d of %d", t.Name(), i, len(guests)))
	}
	return &Machine{t: t, guest: guests[i]}
}

// Boot starts a further machine. Name and, unless given, user data are filled
// in.
func (t *T) Boot(ctx context.Context, spec platforms.MachineSpec) *Machine {
	g, err := t.cluster.boot(ctx, spec)
	t.Check(err)
	m := &Machine{t: t, guest: g}
	m.prepare(ctx)
	return m
}

// Listen serves a fixture on a TCP port of the address that FixtureAddress
// returns. The listener is closed when the attempt ends.
func (t *T) Listen(ctx context.Context, port uint16) net.Listener {
	l, err := t.cluster.listen(ctx, port)
	t.Check(err)
	return l
}

// FixtureAddress is the harness's own address in the cluster's first network.
func (t *T) FixtureAddress() netip.Addr {
	addr, err := t.cluster.fixtureAddress()
	t.Check(err)
	return addr
}

// Impair makes the cluster's network worse, until the zero Impairment heals it or
// the next subtest begins.
func (t *T) Impair(ctx context.Context, i platforms.Impairment) {
	t.Check(t.cluster.impair(ctx, i))
}

// Scale multiplies a duration by the slowness of the guest and by what the
// user asked for. WaitFor and timeouts of tests are scaled without it.
func (t *T) Scale(d time.Duration) time.Duration { return time.Duration(float64(d) * t.scale) }

// Logf records a line that helps whoever reads a failure.
func (t *T) Logf(format string, args ...any) {
	t.emit(&event.Output{Cell: t.cell, N: t.n, Subtest: t.subtest, Text: clip(fmt.Sprintf(format, args...))})
}

// Errorf records an assertion that does not hold, and goes on.
func (t *T) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.result.failed = true
	t.result.msgs = append(t.result.msgs, clip(fmt.Sprintf(format, args...)))
}

// Report makes each fault an assertion that does not hold.
func (t *T) Report(faults []string) {
	for _, fault := range faults {
		t.Errorf("%s", fault)
	}
}

// Fatalf records an assertion that does not hold, and ends the test.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	t.end()
}

// Failed reports whether an assertion did not hold so far.
func (t *T) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.result.failed
}

// Skipf ends the test as one that cannot run here, for the given reason.
func (t *T) Skipf(format string, args ...any) {
	t.mu.Lock()
	t.result.skipped = true
	t.result.msgs = append(t.result.msgs, clip(fmt.Sprintf(format, args...)))
	t.mu.Unlock()
	t.end()
}

// Save keeps data as an artifact of the attempt under the given file name.
func (t *T) Save(name string, data []byte) {
	if filepath.Base(name) != name {
		t.broken(fmt.Errorf("save artifact: %q is not a file name", name))
	}
	if err := os.WriteFile(filepath.Join(t.dir, name), data, 0o666); err != nil {
		t.broken(fmt.Errorf("save artifact: %w", err))
	}
}

// Check ends the test when err is not nil. An error of a platform keeps its
// own class; any other is a failed assertion. A command that the message has
// no room for is logged.
func (t *T) Check(err error) {
	if err == nil {
		return
	}
	if exit, ok := errors.AsType[*ExitError](err); ok && brief(exit.Line) != exit.Line {
		t.Logf("%s: %s", exit.Machine, exit.Line)
	}
	if isAssertion(err) {
		t.Fatalf("%v", err)
	}
	t.broken(err)
}

// isAssertion reports whether err is what the guest did wrong in the eyes of a
// test, and not trouble on the way to it.
func isAssertion(err error) bool {
	if _, ok := errors.AsType[*ExitError](err); ok {
		return true
	}
	_, ok := errors.AsType[*waitError](err)
	return ok
}

// broken ends the test for a reason that is not its own finding.
func (t *T) broken(err error) {
	t.mu.Lock()
	if t.result.err == nil {
		t.result.err = err
	}
	t.mu.Unlock()
	t.end()
}

func (t *T) end() {
	t.mu.Lock()
	t.result.ended = true
	t.mu.Unlock()
	runtime.Goexit()
}

// clip bounds a text that goes into an event, keeping both ends.
func clip(s string) string {
	const limit = 64 << 10
	if len(s) <= limit {
		return s
	}
	return s[:limit/2] + fmt.Sprintf("\n[%d bytes left out]\n", len(s)-limit) + s[len(s)-limit/2:]
}

// call runs a test function in a goroutine of its own, so that Fatalf can end
// it and a panic can be contained. It begins with a sound network, whatever the
// one before did; after the last, a failure's network stays as it was. A
// function that does not return within the grace period after ctx ended is
// abandoned.
func (t *T) call(ctx context.Context, run func(context.Context, *T), grace time.Duration) verdict {
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() { done <- err }()
		defer func() {
			if p := recover(); p != nil {
				err = &panicError{value: p, stack: stack()}
			}
		}()
		t.Check(t.cluster.heal(ctx))
		run(ctx, t)
	}()
	err, returned := await(ctx, done, grace)
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.result
	v.msgs = append([]string(nil), v.msgs...)
	switch {
	case !returned:
		v.err = fmt.Errorf("%s ignored its ended context for %s and was abandoned: %w", t.Name(), grace, errIgnored)
	case err != nil:
		v.err = err
	}
	return v
}

// await waits for done, and once ctx has ended at most for grace.
func await(ctx context.Context, done <-chan error, grace time.Duration) (err error, returned bool) {
	select {
	case err = <-done:
		return err, true
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err = <-done:
		return err, true
	case <-timer.C:
		return nil, false
	}
}

// errIgnored marks a test that went on after its context had ended.
var errIgnored = errors.New("ignored its ended context")

// panicError is a panic of a test function.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

// stack is the stack of the panicking goroutine, without the frames of the
// harness below the test function.
func stack() string {
	buf := make([]byte, 16<<10)
	s := string(buf[:runtime.Stack(buf, false)])
	if _, after, ok := strings.Cut(s, "panic("); ok {
		s = "panic(" + after
	}
	return s
}
