package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kballard/go-shellquote"

	"seatrial/harness/event"
	"seatrial/internal/consolecheck"
	"seatrial/platforms"
)

// guest is a machine with its watchers: the scanner of its console, the
// follower of its journal, and the goroutine that waits for its end.
type guest struct {
	a       *attempt
	name    string
	console *consolecheck.Scanner
	journal *journal
	m       platforms.Machine
	from    string // option of journalctl: where the journal begins to be the attempt's
	watch   sync.WaitGroup
	unwatch context.CancelFunc
	ended   chan struct{} // closed when it is known how the machine ended
	// unprepared is the script of the spec that the machine has yet to run.
	unprepared string
}

func newGuest(a *attempt, name string) *guest {
	g := &guest{a: a, name: name, ended: make(chan struct{})}
	g.console = a.scanner(name, "console")
	return g
}

// attach gives the guest its booted machine and starts to watch it; ctx is the
// attempt's, which asked for the machine when it began.
func (g *guest) attach(ctx context.Context, m platforms.Machine, began time.Time) error {
	g.m = m
	watch, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	g.unwatch = unwatch
	g.watch.Go(func() { g.watchEnd(watch) })
	how, _ := started(m)
	switch {
	case len(g.a.pack) > 1:
		return g.skipJournal(ctx)
	case how == platforms.StartFork: // its clock is that of this host
		g.from = fmt.Sprintf("--since=@%d", began.Unix())
	}
	return nil
}

// skipJournal leaves out of the journal what other tests have caused on the
// same machine.
func (g *guest) skipJournal(ctx context.Context) error {
	res, err := g.m.Exec(ctx, platforms.Command{Line: "command -v journalctl >/dev/null && sudo -n journalctl -b -n 1 -o cat --show-cursor"})
	if err != nil {
		return fmt.Errorf("find the end of the journal: %w", err)
	}
	if _, cursor, ok := strings.Cut(string(res.Stdout), "-- cursor: "); ok {
		g.from = "--after-cursor=" + shellquote.Join(firstLine(cursor))
	}
	return nil
}

// watchEnd ends the attempt when the machine goes by itself.
func (g *guest) watchEnd(ctx context.Context) {
	err := g.m.Wait(ctx)
	if ctx.Err() != nil {
		return // The machine outlives the attempt.
	}
	reason := "stopped"
	if err != nil {
		reason = err.Error()
		g.a.cancel(&goneError{err})
	}
	close(g.ended)
	g.a.emit(&event.MachineGone{Cell: g.a.job.Cell, N: g.a.n, Machine: g.name, Reason: clip(reason)})
}

// wait returns when the watchers of a destroyed machine have ended.
func (g *guest) wait() {
	g.watch.Wait()
	g.unwatch()
}

// leave ends the watchers of a machine that outlives the attempt.
func (g *guest) leave() {
	g.unwatch()
	g.watch.Wait()
}

// goneError is the cause of an attempt that ended because a machine went.
type goneError struct{ err error }

func (e *goneError) Error() string { return "machine went away: " + e.err.Error() }
func (e *goneError) Unwrap() error { return e.err }

// deadError is the cause of an attempt that ended because a finding says that
// the guest cannot go on.
type deadError struct{ finding event.Finding }

func (e *deadError) Error() string {
	return fmt.Sprintf("%s: %s (%s line %d)", e.finding.Machine, e.finding.Title, e.finding.Source, e.finding.Line)
}

// settle waits until the guest's system has come up, and reports the units
// that did not.
func (g *guest) settle(ctx context.Context) error {
	if g.journal == nil {
		g.journal = newJournal(g)
	}
	g.journal.follow(ctx)
	res, err := g.m.Exec(ctx, platforms.Command{Line: settleScript})
	if err != nil {
		return fmt.Errorf("wait for the system to be up: %w", err)
	}
	if g.a.job.Test.Needs.Degraded {
		return nil
	}
	for unit := range strings.FieldsSeq(string(res.Stdout)) {
		g.a.finding(event.Finding{
			Machine: g.name, Source: "journal", Rule: "unit-failed", Fatal: true,
			Title: "unit failed: " + unit, Text: unit + " is in the failed state once the system is up",
		})
	}
	return nil
}

// settleScript waits for the end of the boot and prints the failed units. A
// guest without systemd is up when it answers.
const settleScript = `command -v systemctl >/dev/null || exit 0
test "$(systemctl is-system-running --wait 2>/dev/null)" = running && exit 0
systemctl list-units --failed --plain --no-legend --full 2>/dev/null | while read -r unit rest; do echo "$unit"; done`

// reboot restarts the guest and waits until its system is up again.
func (g *guest) reboot(ctx context.Context) error {
	g.journal.stop()
	g.a.booting(g.name, "rebooting")
	ctx, cancel := context.WithTimeoutCause(ctx, g.a.bootBudget(), errBootBudget)
	defer cancel()
	if err := g.m.Reboot(ctx); err != nil {
		return err
	}
	return g.settle(ctx)
}

// answers reports whether the guest runs a trivial command within the grace
// time.
func (g *guest) answers(ctx context.Context, grace time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	_, err := g.m.Exec(ctx, platforms.Command{Line: "true"})
	if errors.Is(err, platforms.ErrMachineGone) {
		// How it ended says more than that it does not answer.
		select {
		case <-g.ended:
		case <-ctx.Done():
		}
	}
	return err == nil
}

// finish saves the rest of the journal, unless the guest is known to be dead.
func (g *guest) finish(ctx context.Context) {
	g.console.Flush()
	if g.journal == nil {
		return
	}
	if !isDead(context.Cause(g.a.ctx)) {
		g.journal.flush(ctx)
	}
	g.journal.stop()
	g.journal.close()
}

// journal copies a guest's journal to journal.txt, boot after boot, and
// through a scanner.
type journal struct {
	g       *guest
	file    *os.File
	scanner *consolecheck.Scanner

	mu     sync.Mutex
	marker []byte        // that flush waits for; nil when it does not
	tail   []byte        // the last bytes, in which a part of the marker may be
	seen   chan struct{} // closed when the marker passes
	cancel context.CancelFunc
	done   chan struct{} // closed when the follower ended; nil without one
}

func newJournal(g *guest) *journal {
	j := &journal{g: g, scanner: g.a.scanner(g.name, "journal")}
	dir := g.a.machineDir(g.name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		g.a.log.Warn("keep journal", "err", err)
		return j
	}
	file, err := os.OpenFile(filepath.Join(dir, "journal.txt"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		g.a.log.Warn("keep journal", "err", err)
		return j
	}
	j.file = file
	return j
}

// follow starts to copy the journal of the guest's present boot.
func (j *journal) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	j.mu.Lock()
	j.cancel, j.done = cancel, done
	j.mu.Unlock()
	where := j.g.from
	j.g.from = "" // another boot is the attempt's from its start
	go func() {
		defer close(done)
		_, err := j.g.m.Exec(ctx, platforms.Command{Line: followScript + " " + where, Stdout: j, Stderr: io.Discard})
		if err != nil && ctx.Err() == nil && !errors.Is(err, platforms.ErrConnectionLost) && !errors.Is(err, platforms.ErrMachineGone) {
			j.g.a.log.Info("journal ended", "machine", j.g.name, "err", err)
		}
	}()
}

const followScript = `command -v journalctl >/dev/null || exit 0
exec sudo -n journalctl -b --no-tail -f -o short-iso-precise`

// Write takes what journalctl prints.
func (j *journal) Write(p []byte) (int, error) {
	if j.file != nil {
		if _, err := j.file.Write(p); err != nil {
			return 0, err
		}
	}
	j.lookForMarker(p)
	return j.scanner.Write(p)
}

func (j *journal) lookForMarker(p []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.marker == nil {
		return
	}
	j.tail = append(j.tail, p...)
	if bytes.Contains(j.tail, j.marker) {
		close(j.seen)
		j.marker, j.tail = nil, nil
		return
	}
	j.tail = j.tail[max(0, len(j.tail)-len(j.marker)):]
}

// flush returns when everything that the guest has logged so far has been
// copied, or when it takes too long. A line that passes through the journal
// proves it.
func (j *journal) flush(ctx context.Context) {
	marker := fmt.Sprintf("seatrial-end-of-attempt-%d", time.Now().UnixNano())
	seen := make(chan struct{})
	j.mu.Lock()
	j.marker, j.seen = []byte(marker), seen
	done := j.done
	j.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushBudget)
	defer cancel()
	res, err := j.g.m.Exec(ctx, platforms.Command{Line: "command -v systemd-cat >/dev/null && echo " + marker + " | systemd-cat -t seatrial"})
	if err != nil || res.ExitCode != 0 {
		return
	}
	select {
	case <-seen:
	case <-done:
	case <-ctx.Done():
		j.g.a.log.Warn("journal is incomplete: the guest did not log its end", "machine", j.g.name)
	}
}

// flushBudget bounds the wait for the end of a journal. A guest that is dead
// costs this much at most.
const flushBudget = 10 * time.Second

// stop ends the follower of the present boot, if there is one.
func (j *journal) stop() {
	j.mu.Lock()
	cancel, done := j.cancel, j.done
	j.cancel, j.done = nil, nil
	j.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	<-done
	j.scanner.Flush()
}

func (j *journal) close() {
	if j.file == nil {
		return
	}
	if err := j.file.Close(); err != nil {
		j.g.a.log.Warn("keep journal", "err", err)
	}
}
