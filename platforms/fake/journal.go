package fake

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// journal is the journal of a guest's present boot.
type journal struct {
	mu    sync.Mutex
	lines []string
	grown chan struct{} // closed and replaced at each line
}

func newJournal() *journal { return &journal{grown: make(chan struct{})} }

// add writes a line, in the format short-iso-precise of journalctl.
func (j *journal) add(host, program, text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	stamp := time.Now().UTC().Format("2006-01-02T15:04:05.000000-0700")
	j.lines = append(j.lines, fmt.Sprintf("%s %s %s[1]: %s\n", stamp, host, program, text))
	close(j.grown)
	j.grown = make(chan struct{})
}

func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = nil
}

// after returns the lines after the first n, and a channel that is closed when
// there are more.
func (j *journal) after(n int) ([]string, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines[min(n, len(j.lines)):], j.grown
}

// copy copies the journal to w; with follow it goes on until ctx ends.
func (j *journal) copy(ctx context.Context, w io.Writer, follow bool) error {
	for n := 0; ; {
		lines, grown := j.after(n)
		for _, l := range lines {
			if _, err := io.WriteString(w, l); err != nil {
				return err
			}
		}
		n += len(lines)
		if !follow {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
