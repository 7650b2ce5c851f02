package console

import (
	"context"
	"fmt"
	"strings"
	"time"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// refresh is how often the live lines are drawn again for their clocks.
const refresh = 500 * time.Millisecond

// Animate keeps the clocks of the live lines going until ctx ends, then wipes
// the lines. Without a terminal it only waits.
func (c *Console) Animate(ctx context.Context) error {
	if c.opts.Size == nil {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(refresh)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			c.mu.Lock()
			defer c.mu.Unlock()
			c.running = nil
			return c.flush()
		case <-ticker.C:
			if err := c.redraw(); err != nil {
				return err
			}
		}
	}
}

func (c *Console) redraw() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flush()
}

// liveLines says what is going on: a line for each attempt at work, as far as
// the terminal has room, and one for the whole.
func (c *Console) liveLines() []string {
	if c.opts.Size == nil || len(c.running) == 0 || c.paused {
		return nil
	}
	columns, height := c.opts.Size()
	if columns <= 0 {
		columns = 80
	}
	if height <= 0 {
		height = 24
	}
	now := c.opts.Now()
	var lines []string
	room := max(1, height-3)
	for i, a := range c.running {
		if i == room-1 && len(c.running) > room {
			lines = append(lines, fmt.Sprintf("  and %d more", len(c.running)-i))
			break
		}
		lines = append(lines, "  "+c.attemptLine(a, now))
	}
	total := fmt.Sprintf("  %d/%d done, %d at work", c.done, len(c.cells), len(c.running))
	for _, o := range []event.Outcome{event.Pass, event.Fail, event.Error, event.Skip} {
		if c.counts[o] > 0 {
			total += fmt.Sprintf(", %d %s", c.counts[o], o)
		}
	}
	lines = append(lines, total+", "+view.Seconds(now.Sub(c.started).Seconds()))
	for i, line := range lines {
		lines[i] = c.paint(dim, fit(line, columns-1))
	}
	return lines
}

func (c *Console) attemptLine(a *attemptState, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", view.Seconds(now.Sub(a.started).Seconds()), c.label(a.cell))
	if a.n > 1 {
		fmt.Fprintf(&b, ", attempt %d", a.n)
	}
	for i, m := range a.machines {
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%s%s %s", sep, m.id, m.state)
		if m.state != "ready" {
			fmt.Fprintf(&b, " %s", view.Seconds(now.Sub(m.since).Seconds()))
		}
	}
	return strings.ReplaceAll(rollup.Printable(b.String()), "\n", " ")
}

// fit cuts a line to a number of columns. Runes beyond Latin, Greek and
// Cyrillic are counted as two columns wide, which errs on the safe side.
func fit(line string, columns int) string {
	width := 0
	for i, r := range line {
		w := 1
		if r >= 0x1100 && (r < 0x2000 || r >= 0x2e80) {
			w = 2
		}
		if width+w > columns {
			return line[:i]
		}
		width += w
	}
	return line
}
