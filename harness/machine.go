package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/kballard/go-shellquote"

	"seatrial/platforms"
)

// Machine is a booted guest as a test sees it. Its methods without an error
// result end the test when they fail: with an assertion when the guest did
// something wrong, and with the platform's own error otherwise.
type Machine struct {
	t *T
	*guest
}

// ID is the machine's name within its cluster: m0, m1 ...
func (m *Machine) ID() string { return m.m.ID() }

// Addresses are those at which other machines of the cluster reach this one.
func (m *Machine) Addresses() []netip.Addr { return m.m.Addresses() }

// Address is the machine's first address.
func (m *Machine) Address() netip.Addr {
	as := m.Addresses()
	if len(as) == 0 {
		m.t.broken(fmt.Errorf("%s has no address", m.ID()))
	}
	return as[0]
}

// ExitError says that a command ran and did not exit with status 0. Its message
// has the beginning of the command and what the command complained of.
type ExitError struct {
	Machine, Line string
	Result        platforms.Result
}

func (e *ExitError) Error() string {
	out := bytes.TrimSpace(e.Result.Stderr)
	if len(out) == 0 {
		out = bytes.TrimSpace(e.Result.Stdout)
	}
	msg := fmt.Sprintf("%s: %s: exit status %d", e.Machine, brief(e.Line), e.Result.ExitCode)
	if len(out) > 0 {
		msg += ": " + tail(string(out), 2048)
	}
	return msg
}

// brief is the beginning of a command line that is a script or long.
func brief(line string) string {
	const limit = 160
	first := firstLine(line)
	if len(first) > limit {
		first = strings.ToValidUTF8(first[:limit], "")
	}
	if first != line {
		first += "…"
	}
	return first
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "..." + s[len(s)-n:]
}

// Exec runs a command, whose exit status is data.
func (m *Machine) Exec(ctx context.Context, cmd platforms.Command) (platforms.Result, error) {
	return m.m.Exec(ctx, cmd)
}

// Output runs a shell command line and returns its standard output without
// the newline at its end. A status other than 0 is an *ExitError.
func (m *Machine) Output(ctx context.Context, line string) (string, error) {
	res, err := m.m.Exec(ctx, platforms.Command{Line: line})
	if err != nil {
		return "", err
	}
	if res.ExitCode != 0 {
		return "", &ExitError{Machine: m.ID(), Line: line, Result: res}
	}
	return strings.TrimRight(string(res.Stdout), "\n"), nil
}

// Must is Output that ends the test on an error.
func (m *Machine) Must(ctx context.Context, line string) string {
	out, err := m.Output(ctx, line)
	m.t.Check(err)
	return out
}

// Status runs a shell command line and returns its exit status.
func (m *Machine) Status(ctx context.Context, line string) int {
	res, err := m.m.Exec(ctx, platforms.Command{Line: line})
	m.t.Check(err)
	return res.ExitCode
}

// Root makes a command line that runs the given shell script as root.
func Root(script string) string { return "sudo -n sh -c " + shellquote.Join(script) }

// MustRoot is Must for a shell script that is run as root.
func (m *Machine) MustRoot(ctx context.Context, script string) string {
	return m.Must(ctx, Root(script))
}

// prepare runs what the machine's spec asks for, unless it was run.
func (m *Machine) prepare(ctx context.Context) {
	if m.unprepared != "" {
		m.MustRoot(ctx, m.unprepared)
		m.unprepared = ""
	}
}

// Upload writes content to path on the machine, as root.
func (m *Machine) Upload(ctx context.Context, path string, mode fs.FileMode, content []byte) {
	m.t.Check(m.m.Upload(ctx, path, mode, bytes.NewReader(content)))
}

// Download returns the content of a file on the machine, read as root. A file
// that is not there fails the test.
func (m *Machine) Download(ctx context.Context, path string) []byte {
	var buf bytes.Buffer
	err := m.m.Download(ctx, path, &buf)
	if errors.Is(err, fs.ErrNotExist) {
		m.t.Fatalf("%s: %s does not exist", m.ID(), path)
	}
	m.t.Check(err)
	return buf.Bytes()
}

// Dial connects to an address as seen from the machine's network; a loopback
// host means the machine.
func (m *Machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return m.m.Dial(ctx, network, address)
}

// Reboot restarts the machine and returns when it is up again, with all its
// units started.
func (m *Machine) Reboot(ctx context.Context) {
	m.t.Check(m.reboot(ctx))
}

// PowerOff stops the machine.
func (m *Machine) PowerOff(ctx context.Context) { m.t.Check(m.m.PowerOff(ctx)) }

// Console copies what the machine has printed so far to w.
func (m *Machine) Console(ctx context.Context, w io.Writer) error { return m.m.Console(ctx, w) }

// waitError says what did not come true in time.
type waitError struct {
	what  string
	limit time.Duration
	last  error
}

func (e *waitError) Error() string {
	return fmt.Sprintf("%s: not within %s: %v", e.what, e.limit.Round(time.Millisecond), e.last)
}

func (e *waitError) Unwrap() error { return e.last }

// WaitFor calls cond until it returns nil, several times a second and at most
// for limit, which is scaled by the slowness of the guest. What keeps failing
// ends the test, with cond's last error. A broken platform ends it at once.
func (t *T) WaitFor(ctx context.Context, what string, limit time.Duration, cond func(context.Context) error) {
	t.Check(poll(ctx, what, t.Scale(limit), cond))
}

// Expect is WaitFor for a command on a machine, that must come to exit with
// status 0; it returns its output.
func (m *Machine) Expect(ctx context.Context, limit time.Duration, line string) string {
	var out string
	m.t.WaitFor(ctx, m.ID()+": "+brief(line), limit, func(ctx context.Context) (err error) {
		out, err = m.Output(ctx, line)
		return err
	})
	return out
}

const pollInterval = 250 * time.Millisecond

func poll(ctx context.Context, what string, limit time.Duration, cond func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	var last error
	for {
		err := cond(limited)
		if err == nil {
			return nil
		}
		if limited.Err() == nil && isFinal(err) {
			return err
		}
		if last == nil || limited.Err() == nil {
			last = err
		}
		select {
		case <-ticker.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return fmt.Errorf("%s: %w", what, context.Cause(ctx))
			}
			return &waitError{what: what, limit: limit, last: last}
		}
	}
}

// isFinal reports whether waiting on cannot help.
func isFinal(err error) bool {
	var guestErr *platforms.GuestError
	return errors.Is(err, platforms.ErrMachineGone) || errors.Is(err, platforms.ErrUnsupported) ||
		errors.Is(err, platforms.ErrConnectionLost) || errors.As(err, &guestErr)
}
