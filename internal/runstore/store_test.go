package runstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// clock returns a clock that goes on by a second each time it is read.
func clock() func() time.Time {
	at := begin
	return func() time.Time {
		at = at.Add(time.Second)
		return at
	}
}

func cellNamed(test string) event.Cell {
	return event.Cell{Test: test, Suite: "s", Platform: "qemu", Arch: "amd64", Image: "img"}
}

// create makes a run in a new directory.
func create(t *testing.T, bodies ...event.Body) *Store {
	t.Helper()
	s, err := Create(Config{Dir: filepath.Join(t.TempDir(), "run"), Now: clock()})
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, bodies...)
	return s
}

func appendAll(t *testing.T, s *Store, bodies ...event.Body) {
	t.Helper()
	for _, b := range bodies {
		if err := s.Append(b); err != nil {
			t.Fatal(err)
		}
	}
}

func closeStore(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, dir string) []event.Event {
	t.Helper()
	var events []event.Event
	for e, err := range Read(dir) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

func TestCreate(t *testing.T) {
	root := filepath.Join(t.TempDir(), "runs")
	for i, id := range []string{"aaaa", "bbbb"} {
		s, err := Create(Config{Root: root, ID: id, Now: func() time.Time { return begin }})
		if err != nil {
			t.Fatal(err)
		}
		want := filepath.Join(root, "20260102-030405-"+id)
		if s.Dir() != want {
			t.Errorf("directory %s, want %s", s.Dir(), want)
		}
		if link, err := os.Readlink(filepath.Join(root, "latest")); err != nil || link != filepath.Base(want) {
			t.Errorf("run %d: latest links to %q, %v", i, link, err)
		}
		closeStore(t, s)
	}
	if entries, _ := os.ReadDir(root); len(entries) != 3 {
		t.Errorf("more than two runs and a link: %v", entries)
	}
}

func TestCreateInUse(t *testing.T) {
	dir := t.TempDir()
	first, err := Create(Config{Dir: dir})
	if err != nil {
		t.Fatalf("an empty directory was refused: %v", err)
	}
	defer first.Close()
	if _, err := Create(Config{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second run in the directory: %v", err)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "precious"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(Config{Dir: other}); !errors.Is(err, ErrInUse) {
		t.Errorf("a directory with a file: %v", err)
	}
	if entries, _ := os.ReadDir(other); len(entries) != 1 {
		t.Errorf("something was left in it: %v", entries)
	}
}

// TestCreateRace lets many runs fight for one directory: one gets it.
func TestCreateRace(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() {
			s, err := Create(Config{Dir: dir})
			if err == nil {
				defer s.Close()
			}
			errs[i] = err
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, ErrInUse):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d runs share the directory", won)
	}
}

// TestSubscribersSeeTheFile appends from many sides, hostile text included,
// and sees that subscribers get what a reader of the file gets, in order.
func TestSubscribersSeeTheFile(t *testing.T) {
	s := create(t)
	var live []event.Event
	s.Subscribe("live", func(e event.Event) error {
		if written, err := os.ReadFile(filepath.Join(s.Dir(), EventsFile)); err != nil || !strings.Contains(string(written), fmt.Sprintf("{\"seq\":%d,", e.Seq)) {
			t.Errorf("event %d came before it was written", e.Seq)
		}
		live = append(live, e)
		return nil
	})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for n := range 10 {
				if err := s.Append(&event.Output{Cell: cellNamed(fmt.Sprint(i)), N: n, Text: "\x00\xff\u2028 \x1b[1m"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	closeStore(t, s)
	if diff := cmp.Diff(readAll(t, s.Dir()), live); diff != "" {
		t.Error(diff)
	}
	for i, e := range live {
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d has number %d", i+1, e.Seq)
		}
	}
	if len(live) != 200 {
		t.Errorf("%d events", len(live))
	}
}

func TestFailingSubscribers(t *testing.T) {
	s := create(t)
	broken, panicked, healthy := 0, 0, 0
	errBroken := errors.New("broken pipe")
	s.Subscribe("broken", func(event.Event) error { broken++; return errBroken })
	s.Subscribe("crashing", func(event.Event) error { panicked++; panic("oh no") })
	s.Subscribe("healthy", func(event.Event) error { healthy++; return nil })
	for range 3 {
		appendAll(t, s, &event.Output{})
	}
	err := s.Close()
	if broken != 3 || panicked != 1 || healthy != 3 {
		t.Errorf("calls: broken %d, crashing %d, healthy %d", broken, panicked, healthy)
	}
	if !errors.Is(err, errBroken) {
		t.Errorf("got error %v", err)
	}
	for _, want := range []string{"broken: at event 1", "the first of 3", "crashing: panic at event 1: oh no"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if err := s.Append(&event.Output{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
}

func TestAppendRefusesHugeEvents(t *testing.T) {
	s := create(t, &event.RunStarted{ID: "r"})
	if err := s.Append(&event.Output{Text: strings.Repeat("x", event.MaxLine)}); err == nil {
		t.Error("a huge event was written")
	}
	appendAll(t, s, &event.Output{Text: "y"})
	closeStore(t, s)
	if events := readAll(t, s.Dir()); len(events) != 2 || events[1].Seq != 2 {
		t.Errorf("got %v", events)
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "report")
	write := func(text string, fail error) error {
		return WriteFile(path, func(w io.Writer) error {
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
			return fail
		})
	}
	errFail := errors.New("fail")
	if err := write("one", nil); err != nil {
		t.Fatal(err)
	}
	if err := write("half", errFail); !errors.Is(err, errFail) {
		t.Errorf("got error %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "one" {
		t.Errorf("a failed write left %q", got)
	}
	if err := write("two", nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "two" {
		t.Errorf("got %q", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("something was left behind: %v", entries)
	}
}

func TestArtifactDir(t *testing.T) {
	kvm, tcg := cellNamed("a/b"), cellNamed("a/b")
	kvm.Accel, tcg.Accel = "kvm", "tcg"
	s := create(t, &event.TestPlanned{Cell: kvm})
	defer s.Close()
	rel := func(machine string) string {
		path, err := filepath.Rel(s.Dir(), s.ArtifactDir(kvm, 3, machine))
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	if got := rel("m1"); got != "artifacts/qemu-amd64/a~2Fb/3/m1" {
		t.Errorf("got %s", got)
	}
	if got := rel(""); got != "artifacts/qemu-amd64/a~2Fb/3" {
		t.Errorf("got %s", got)
	}
	if got := rel("../../.."); strings.Contains(got, "..") && !strings.HasSuffix(got, "~2E.~2F..~2F..") {
		t.Errorf("got %s", got)
	}
	appendAll(t, s, &event.TestPlanned{Cell: tcg})
	if got := rel("m1"); got != "artifacts/qemu-amd64-kvm/a~2Fb/3/m1" {
		t.Errorf("with two accels: %s", got)
	}
}
