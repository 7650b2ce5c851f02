package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
)

func cellNamed(test string) event.Cell {
	return event.Cell{Test: test, Suite: "s", Platform: "qemu", Arch: "arm64", Image: "img"}
}

// screen plays back what was written to a terminal: the lines that a user sees
// in the end. It knows the two sequences that the console uses.
func screen(written string) []string {
	lines := []string{""}
	for len(written) > 0 {
		up := 0
		switch {
		case strings.HasPrefix(written, "\x1b[J"):
			lines = append(lines[:len(lines)-1], "")
			written = written[3:]
		case scanUp(written, &up):
			lines = append(lines[:len(lines)-1-up], "")
			written = written[strings.IndexByte(written, 'A')+1:]
		case written[0] == '\n':
			lines = append(lines, "")
			written = written[1:]
		default:
			lines[len(lines)-1] += written[:1]
			written = written[1:]
		}
	}
	return lines[:len(lines)-1]
}

func scanUp(text string, n *int) bool {
	if !strings.HasPrefix(text, "\x1b[") {
		return false
	}
	_, err := fmt.Sscanf(text, "\x1b[%dA", n)
	return err == nil
}

func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := New(&out, Options{Size: func() (int, int) { return 60, 24 }})
		ctx, cancel := context.WithCancel(t.Context())
		animated := make(chan error, 1)
		go func() { animated <- c.Animate(ctx) }()
		send := func(bodies ...event.Body) {
			t.Helper()
			for _, b := range bodies {
				if err := c.Event(event.Event{Time: time.Now(), Body: b}); err != nil {
					t.Fatal(err)
				}
			}
		}
		last := func() []string {
			synctest.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			return screen(out.String())
		}
		a, b := cellNamed("cl.basic"), cellNamed("docker.a.test.with.a.name.that.is.too.long.for.the.terminal")
		send(&event.RunStarted{ID: "r", Version: "v"}, &event.TestPlanned{Cell: a}, &event.TestPlanned{Cell: b},
			&event.AttemptStarted{Cell: a, N: 1, Start: "cold"}, &event.AttemptStarted{Cell: b, N: 1, Start: "cold"},
			&event.MachineBooting{Cell: a, N: 1, Machine: "m1", State: "kernel"},
			&event.MachineReady{Cell: a, N: 1, Machine: "m2"})
		time.Sleep(90*time.Second + refresh/2)
		want := []string{
			"  1m30s cl.basic on qemu-arm64: m1 booting kernel 1m30s, m2 ready"[:59],
			"  1m30s docker.a.test.with.a.name.that.is.too.long.for.the.terminal"[:59],
			"  0/2 done, 2 at work, 1m30s",
		}
		got := last()
		if fmt.Sprint(got[len(got)-3:]) != fmt.Sprint(want) {
			t.Errorf("live lines are\n%q\nwant\n%q", got[len(got)-3:], want)
		}
		send(&event.AttemptFinished{Cell: a, N: 1, Outcome: event.Pass, Seconds: 90}, &event.TestFinished{Cell: a, Outcome: event.Pass, Attempts: 1})
		got = last()
		if line := got[len(got)-3]; line != "00:01:30 pass     1/2 cl.basic on qemu-arm64 (1m30s)" {
			t.Errorf("the line above the live ones is %q", line)
		}
		if line := got[len(got)-1]; line != "  1/2 done, 1 at work, 1 pass, 1m30s" {
			t.Errorf("the last line is %q", line)
		}
		cancel()
		if err := <-animated; err != nil {
			t.Error(err)
		}
		if got := last(); strings.Contains(got[len(got)-1], "at work") {
			t.Errorf("live lines stay: %q", got)
		}
		for _, line := range last() {
			if strings.Contains(line, "\x1b") {
				t.Errorf("color without asking: %q", line)
			}
		}
	})
}

// TestLiveBelowPlain sees that the lines above the live ones are those that a
// log would have.
func TestLiveBelowPlain(t *testing.T) {
	var plain, live bytes.Buffer
	now := func() time.Time { return time.Unix(1000, 0) }
	p := New(&plain, Options{Now: now})
	l := New(&live, Options{Now: now, Size: func() (int, int) { return 0, 5 }})
	event1 := func(b event.Body) {
		for _, c := range []*Console{p, l} {
			if err := c.Event(event.Event{Time: now(), Body: b}); err != nil {
				t.Fatal(err)
			}
		}
	}
	event1(&event.RunStarted{ID: "r"})
	for i := range 10 {
		event1(&event.AttemptStarted{Cell: cellNamed(fmt.Sprint(i)), N: 1})
		event1(&event.MachineBooting{Cell: cellNamed(fmt.Sprint(i)), N: 1, Machine: "m\x1b[31m", State: "a\nb"})
	}
	lines := screen(live.String())
	if got := strings.Join(lines[len(lines)-3:], "|"); !strings.Contains(got, "  and 9 more|  0/10 done, 10 at work") {
		t.Errorf("in a small terminal the live lines are %q", got)
	}
	for i := range 10 {
		event1(&event.AttemptFinished{Cell: cellNamed(fmt.Sprint(i)), N: 1, Outcome: event.Pass})
		event1(&event.TestFinished{Cell: cellNamed(fmt.Sprint(i)), Outcome: event.Pass, Attempts: 1})
	}
	event1(&event.RunFinished{End: event.Complete})
	if got := strings.Join(screen(live.String()), "\n") + "\n"; got != plain.String() {
		t.Errorf("live:\n%s\nplain:\n%s", got, plain.String())
	}
}

func TestColor(t *testing.T) {
	var out bytes.Buffer
	c := New(&out, Options{Color: true})
	if err := c.Event(event.Event{Body: &event.TestFinished{Cell: cellNamed("a"), Outcome: event.Fail}}); err != nil {
		t.Fatal(err)
	}
	if err := c.Summary(rollup.Result{Gate: rollup.Gate{Verdict: rollup.Go}}, "", ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x1b[1;31mFAIL    \x1b[0m", "gate: \x1b[32mgo\x1b[0m"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
}

// TestNoCommands sees that no line of a log can be a command to a CI system.
func TestNoCommands(t *testing.T) {
	const hostile = "::error::x\n  ::set-output name=a::b\n##[error]x ##vso[task.complete]x\n##teamcity[x]\n"
	c := cellNamed(hostile)
	bodies := []event.Body{
		&event.RunStarted{ID: hostile, Version: hostile}, &event.TestPlanned{Cell: c}, &event.AttemptStarted{Cell: c, N: 1},
		&event.Output{Cell: c, N: 1, Text: hostile},
		&event.Finding{Cell: c, N: 1, Machine: hostile, Title: hostile, Text: hostile, Fatal: true},
		&event.SubtestFinished{Cell: c, N: 1, Name: hostile, Outcome: event.Fail, Message: hostile},
		&event.AttemptFinished{Cell: c, N: 1, Outcome: event.Fail, Message: hostile},
		&event.TestFinished{Cell: c, Outcome: event.Fail, Message: hostile, Attempts: 1, Reproduce: hostile},
		&event.TestFinished{Cell: cellNamed("skipped"), Outcome: event.Skip, Message: hostile},
		&event.CleanupFailed{Platform: hostile, Resource: hostile, Message: hostile},
		&event.RunFinished{End: event.Fault, Message: hostile},
	}
	var out bytes.Buffer
	console, fold := New(&out, Options{}), rollup.New()
	for _, b := range bodies {
		e := event.Event{Body: b}
		fold.Add(e)
		if err := console.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	r := rollup.Judge(fold.Result(), rollup.Policy{})
	r.Gate = rollup.Gate{Verdict: rollup.NoGo, Reasons: []rollup.Reason{{Rule: "x", Text: hostile}, {Rule: "x", Test: hostile, Text: hostile}}}
	if err := console.Summary(r, "runs/x", ""); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##[") || strings.Contains(line, "##vso[") || strings.Contains(line, "##teamcity[") {
			t.Errorf("a command: %q", line)
		}
	}
	if strings.Count(out.String(), "error") < 5 {
		t.Errorf("the text was swallowed:\n%s", out.String())
	}
}

func TestWriteError(t *testing.T) {
	errPipe := errors.New("broken pipe")
	c := New(writerFunc(func([]byte) (int, error) { return 0, errPipe }), Options{})
	if err := c.Event(event.Event{Body: &event.RunStarted{}}); !errors.Is(err, errPipe) {
		t.Errorf("got error %v", err)
	}
	if err := c.Summary(rollup.Result{}, "", ""); !errors.Is(err, errPipe) {
		t.Errorf("got error %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestFit(t *testing.T) {
	tests := []struct {
		in      string
		columns int
		want    string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"äöü", 2, "äö"}, {"漢字x", 4, "漢字"}, {"漢字x", 3, "漢"}, {"abc", 0, ""}, {"", 5, ""},
	}
	for _, tt := range tests {
		if got := fit(tt.in, tt.columns); got != tt.want {
			t.Errorf("fit(%q, %d) = %q, want %q", tt.in, tt.columns, got, tt.want)
		}
	}
}
