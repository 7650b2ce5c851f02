package fake

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// journal is the journal of a guest's present boot.
type journal struct {
	mu    sync.Mutex
	lines []string
	times []time.Time   // of the lines
	grown chan struct{} // closed and replaced at each line
}

func newJournal() *journal { return &journal{grown: make(chan struct{})} }

// add writes a line, in the format short-iso-precise of journalctl.
func (j *journal) add(host, program, text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	j.times = append(j.times, now)
	stamp := now.UTC().Format("2006-01-02T15:04:05.000000-0700")
	j.lines = append(j.lines, fmt.Sprintf("%s %s %s[1]: %s\n", stamp, host, program, text))
	close(j.grown)
	j.grown = make(chan struct{})
}

func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines, j.times = nil, nil
}

// end is the number of lines, and at that of those before a time.
func (j *journal) end() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.lines)
}

func (j *journal) at(t time.Time) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n, _ := slices.BinarySearchFunc(j.times, t, time.Time.Compare)
	return n
}

// after returns the lines after the first n, and a channel that is closed when
// there are more.
func (j *journal) after(n int) ([]string, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines[min(n, len(j.lines)):], j.grown
}

// copy copies the journal after its first n lines to w; with follow it goes on
// until ctx ends.
func (j *journal) copy(ctx context.Context, w io.Writer, n int, follow bool) error {
	for {
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
