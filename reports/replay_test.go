package reports_test

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
	"seatrial/internal/runstore"
	"seatrial/reports/console"
)

// TestReplay runs each stream live through a store, with text in it that does
// not survive encoding unchanged, and sees that the terminal and the result
// are the same when they are made from the file later.
func TestReplay(t *testing.T) {
	for name, s := range streams() {
		t.Run(name, func(t *testing.T) {
			at := time.Now() // with a monotonic reading, which the file has not
			store, err := runstore.Create(runstore.Config{
				Dir: filepath.Join(t.TempDir(), "run"), Now: func() time.Time { at = at.Add(time.Second); return at },
			})
			if err != nil {
				t.Fatal(err)
			}
			live, fold := newRecorder(), rollup.New()
			store.Subscribe("console", live.console.Event)
			store.Subscribe("fold", func(e event.Event) error { fold.Add(e); return nil })
			for _, e := range s.events {
				if err := store.Append(e.Body); err != nil {
					t.Fatal(err)
				}
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			replayed, again := newRecorder(), rollup.New()
			for e, err := range runstore.Read(store.Dir()) {
				if err != nil {
					t.Fatal(err)
				}
				if err := replayed.console.Event(e); err != nil {
					t.Fatal(err)
				}
				again.Add(e)
			}
			r := rollup.Judge(fold.Result(), policyFor(name))
			if diff := cmp.Diff(r, rollup.Judge(again.Result(), policyFor(name))); diff != "" {
				t.Errorf("the results differ:\n%s", diff)
			}
			for _, c := range []*recorder{live, replayed} {
				if err := c.console.Summary(r, "runs/x", ""); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(live.out.String(), replayed.out.String()); diff != "" {
				t.Errorf("the terminal differs:\n%s", diff)
			}
		})
	}
}

type recorder struct {
	out     bytes.Buffer
	console *console.Console
}

func newRecorder() *recorder {
	r := &recorder{}
	r.console = console.New(&r.out, console.Options{})
	return r
}
