package harness

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"seatrial/harness/event"
	"seatrial/platforms"
	"seatrial/platforms/fake"
)

// motd is a test that wants a file to be as it was.
func motd(sabotage ...Sabotage) Test {
	return Test{
		Name: "motd", Doc: "The message is there.", Sabotage: sabotage,
		Subtests: []Subtest{
			{Name: "content", Doc: "It greets.", Run: func(ctx context.Context, t *T) {
				if got := t.Machine(0).Must(ctx, "cat /tmp/motd 2>/dev/null || echo welcome"); got != "welcome" {
					t.Fatalf("the message is %q", got)
				}
			}},
			{Name: "blind", Doc: "Notices nothing.", Run: passes},
			{Name: "cut", Doc: "Loses its connection when it is broken.", Run: func(ctx context.Context, t *T) {
				if t.Machine(0).Must(ctx, "cat /tmp/motd 2>/dev/null || true") == "cut" {
					faked(t, 0).StopSSH()
					t.Machine(0).Must(ctx, "true")
				}
			}},
			{Name: "skipped", Doc: "Is not for this image.", Image: []platforms.Capability{"etcd"}, Run: fails},
		},
	}
}

func TestTwins(t *testing.T) {
	mend := Sabotage{Name: "changed", Subtest: "content", Break: "echo go away | tee /tmp/motd", Undo: "echo welcome | tee /tmp/motd",
		Message: `the message is "go away"`}
	with := func(change func(*Sabotage)) Sabotage {
		s := mend
		change(&s)
		return s
	}
	tests := []struct {
		name     string
		sabotage Sabotage
		twin     string // whose subtest it is, after "motd."
		outcome  event.Outcome
		class    event.Class
		message  string
	}{
		{"noticed", mend, "sabotage", event.Pass, "", ""},
		{"not noticed", with(func(s *Sabotage) { s.Subtest = "blind" }), "sabotage", event.Fail, event.Assertion,
			`motd was broken by "changed", and the test ended as pass/ instead of fail/assertion`},
		{"another message", with(func(s *Sabotage) { s.Message = "permission denied" }), "sabotage", event.Fail, event.Assertion,
			`failed with another message than "permission denied"`},
		{"another class", with(func(s *Sabotage) { s.Class = event.Boot }), "sabotage", event.Fail, event.Assertion,
			"ended as fail/assertion instead of fail/boot"},
		{"cannot be broken", with(func(s *Sabotage) { s.Break = "exit 5" }), "sabotage", event.Fail, event.Assertion, "exit status 5"},
		{"not mended", with(func(s *Sabotage) { s.Undo = "true" }), "sabotage", event.Fail, event.Assertion, `mended: content: the message is "go away"`},
		{"cannot be undone", with(func(s *Sabotage) { s.Undo = "" }), "sabotage.changed", event.Pass, "", ""},
		// The platform's trouble is not the test's.
		{"lost", with(func(s *Sabotage) { s.Subtest, s.Break = "cut", "echo cut | tee /tmp/motd" }), "sabotage", event.Fail, event.KernelHang, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := Validate([]Suite{{Name: "s", Tests: []Test{motd(tt.sabotage)}}}); err != nil {
				t.Fatal(err)
			}
			twins := Twins([]Suite{{Name: "s", Tests: []Test{named("plain", passes), motd(tt.sabotage)}}})
			if len(twins) != 1 {
				t.Fatalf("%d suites of twins", len(twins))
			}
			if err := Validate(twins); err != nil {
				t.Error(err)
			}
			e := newEngine(t, fake.Options{})
			e.run(t.Context(), t, twins[0].Tests...)
			f := e.finished("motd." + tt.twin)
			if f == nil || f.Outcome != tt.outcome || f.Class != tt.class || !strings.Contains(f.Message, tt.message) {
				t.Errorf("it ended as %+v, want %s/%s %q", f, tt.outcome, tt.class, tt.message)
			}
			subtests := of[*event.TestPlanned](e)
			if want := tt.twin == "sabotage"; want != slices.Contains(subtests[0].Subtests, "changed") {
				t.Errorf("the shared twin has the parts %v", subtests[0].Subtests)
			}
		})
	}
}

// TestUndo: what one sabotage broke does not disturb the next, whether or not
// it was noticed.
func TestUndo(t *testing.T) {
	var broken, mended atomic.Int32
	e := newEngine(t, fake.Options{Exec: func(ctx context.Context, m *fake.Machine, cmd platforms.Command) (platforms.Result, error) {
		switch cmd.Line {
		case Root("break it"):
			broken.Add(1)
			return platforms.Result{}, nil
		case Root("mend it"):
			mended.Add(1)
			return platforms.Result{}, nil
		}
		return m.Run(ctx, cmd)
	}})
	sabotage := func(name, subtest string) Sabotage {
		return Sabotage{Name: name, Subtest: subtest, Break: "break it", Undo: "mend it", Message: "no"}
	}
	test := Test{
		Name: "t", Doc: "Notices what is broken.", Sabotage: []Sabotage{sabotage("first", "blind"), sabotage("second", "sees"), sabotage("third", "panics")},
		Subtests: []Subtest{
			{Name: "blind", Doc: "Notices nothing.", Run: passes},
			{Name: "sees", Doc: "Notices.", Run: func(_ context.Context, t *T) {
				if broken.Load() != mended.Load() {
					t.Errorf("no")
				}
			}},
			{Name: "panics", Doc: "Panics when it is broken.", Run: func(context.Context, *T) {
				if broken.Load() != mended.Load() {
					panic("boom")
				}
			}},
		},
	}
	e.run(t.Context(), t, Twins([]Suite{{Name: "s", Tests: []Test{test}}})[0].Tests...)
	var got []string
	for _, s := range of[*event.SubtestFinished](e) {
		got = append(got, s.Name+" "+string(s.Outcome))
	}
	if want := []string{"untouched pass", "first fail", "second pass", "third error"}; !slices.Equal(got, want) {
		t.Errorf("subtests: %v, want %v", got, want)
	}
	if broken.Load() != 3 || mended.Load() != 3 {
		t.Errorf("broken %d times, mended %d times", broken.Load(), mended.Load())
	}
	if f := e.finished("t.sabotage"); f.Outcome != event.Error || f.Class != event.Harness {
		t.Errorf("it ended as %s/%s: %s", f.Outcome, f.Class, f.Message)
	}
}

func TestBroken(t *testing.T) {
	changed := Sabotage{Name: "changed", Subtest: "content", Break: "echo go away | tee /tmp/motd", Message: "go away"}
	served := Sabotage{Name: "served", Serve: Served{80: nil}, Message: "it is served something else"}
	client := named("client", func(_ context.Context, t *T) {
		if t.served != nil {
			t.Errorf("it is served something else")
		}
	})
	client.Sabotage = []Sabotage{served}
	elsewhere := named("elsewhere", fails)
	elsewhere.Sabotage, elsewhere.Needs.Archs, elsewhere.Needs.Why = []Sabotage{served}, []string{"arm64"}, "amd64 has none"
	catalogue := []Suite{{Name: "s", Tests: []Test{motd(changed), client, elsewhere}}}
	for _, tt := range []struct {
		word, test string
		want       event.Outcome
		message    string
	}{
		{"motd/changed", "motd", event.Fail, `content: the message is "go away"`},
		{"motd/changed", "client", event.Pass, ""},
		{"client/served", "client", event.Fail, "it is served something else"},
		{"amd64=client/served", "client", event.Fail, "it is served something else"},
		{"arm64=client/served", "client", event.Pass, ""},
		{"amd64=elsewhere/served", "elsewhere", event.Fail, "one is not two"},
		{"elsewhere/served", "elsewhere", event.Skip, "amd64 has none"},
	} {
		broken, err := Broken(catalogue, []Breakage{ParseBreakage(tt.word)})
		if err != nil {
			t.Fatal(err)
		}
		e := newEngine(t, fake.Options{})
		e.run(t.Context(), t, broken[0].Tests...)
		if f := e.finished(tt.test); f.Outcome != tt.want || !strings.Contains(f.Message, tt.message) {
			t.Errorf("%s: %s ended as %s: %s", tt.word, tt.test, f.Outcome, f.Message)
		}
	}
	if _, err := Broken(catalogue, []Breakage{{Test: "motd", Sabotage: "change"}, {Test: "x"}}); err == nil ||
		!strings.Contains(err.Error(), "did you mean motd/changed?") || !strings.Contains(err.Error(), "x/ is no sabotage; `seatrial list --sabotage`") {
		t.Errorf("unknown sabotage: %v", err)
	}
}

// TestTwinOfAWholeTest: a test without subtests has a twin, too, and one that
// fails untouched proves nothing.
func TestTwinOfAWholeTest(t *testing.T) {
	sabotage := Sabotage{Name: "gone", Break: "echo gone | tee /tmp/gone", Undo: "echo | tee /tmp/gone", Message: "it is gone"}
	sees := named("sees", func(ctx context.Context, t *T) {
		if t.Machine(0).Must(ctx, "cat /tmp/gone 2>/dev/null || true") == "gone" {
			t.Errorf("it is gone")
		}
	})
	sees.Sabotage = []Sabotage{sabotage}
	broken := named("broken", func(_ context.Context, t *T) { t.Errorf("it is gone") })
	broken.Sabotage = []Sabotage{sabotage}
	e := newEngine(t, fake.Options{})
	e.run(t.Context(), t, Twins([]Suite{{Name: "s", Tests: []Test{sees, broken}}})[0].Tests...)
	if f := e.finished("sees.sabotage"); f.Outcome != event.Pass {
		t.Errorf("it ended as %s: %s", f.Outcome, f.Message)
	}
	if f := e.finished("broken.sabotage"); f.Outcome != event.Fail || !strings.Contains(f.Message, "untouched: broken: it is gone") {
		t.Errorf("it ended as %s: %s", f.Outcome, f.Message)
	}
}
