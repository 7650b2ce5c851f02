package console

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"seatrial/harness/event"
)

func TestNoteAndPause(t *testing.T) {
	var out bytes.Buffer
	at := time.Unix(1000, 0)
	c := New(&out, Options{Now: func() time.Time { return at }, Size: func() (int, int) { return 80, 24 }})
	send := func(b event.Body) {
		t.Helper()
		if err := c.Event(event.Event{Time: at, Body: b}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Note(at, "early\n::warning::x"); err != nil {
		t.Fatal(err)
	}
	send(&event.RunStarted{ID: "r", Version: "v"})
	send(&event.AttemptStarted{Cell: cellNamed("a"), N: 1, Start: "cold"})
	resume, err := c.Pause()
	if err != nil {
		t.Fatal(err)
	}
	quiet := out.Len()
	send(&event.TestFinished{Cell: cellNamed("b"), Outcome: event.Skip, Message: "no gpu"})
	if out.Len() != quiet {
		t.Errorf("while paused it wrote %q", out.String()[quiet:])
	}
	if got := screen(out.String()[:quiet]); strings.Contains(got[len(got)-1], "at work") {
		t.Errorf("the live lines stay: %q", got)
	}
	if err := resume(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"00:00:00 note     early ::warning::x",
		"00:00:00 run      seatrial v, run r, seed 0",
		"00:00:00 plan     0 tests",
		"00:00:00 start    a on qemu-arm64 (cold)",
		"00:00:00 skip     1/2 b on qemu-arm64: no gpu",
		"  0.0s a on qemu-arm64",
		"  1/2 done, 1 at work, 1 skip, 0.0s",
	}
	if got := screen(out.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPast(t *testing.T) {
	var out bytes.Buffer
	c := New(&out, Options{})
	for _, b := range []event.Body{
		&event.RunStarted{ID: "r"}, &event.TestPlanned{Cell: cellNamed("a")}, &event.TestPlanned{Cell: cellNamed("b")},
		&event.TestFinished{Cell: cellNamed("a"), Outcome: event.Pass},
	} {
		c.Past(event.Event{Body: b})
	}
	if out.Len() > 0 {
		t.Errorf("the past was shown: %q", out.String())
	}
	if err := c.Event(event.Event{Body: &event.TestFinished{Cell: cellNamed("b"), Outcome: event.Pass}}); err != nil {
		t.Fatal(err)
	}
	if want := "pass     2/2 b on qemu-arm64\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("got %q, want it to end in %q", out.String(), want)
	}
}
