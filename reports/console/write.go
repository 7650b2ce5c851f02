package console

import (
	"fmt"
	"strings"
	"time"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
)

// ANSI colors; "" stands for none.
const (
	bold   = "1"
	red    = "1;31"
	green  = "32"
	yellow = "33"
	dim    = "2"
)

func colorOf(o event.Outcome) string {
	switch o {
	case event.Pass:
		return green
	case event.Fail, event.Error:
		return red
	default:
		return dim
	}
}

// linef writes one plain line: the time since the start of the run, the
// progress if there is any, a word that says what the line is, and the text.
func (c *Console) linef(at time.Time, progress, color, what, format string, args ...any) {
	elapsed := time.Duration(0)
	if !c.started.IsZero() {
		elapsed = at.Sub(c.started)
	}
	clock := fmt.Sprintf("%02d:%02d:%02d", int(elapsed.Hours()), int(elapsed.Minutes())%60, int(elapsed.Seconds())%60)
	text := strings.ReplaceAll(printable(fmt.Sprintf(format, args...)), "\n", " ")
	fmt.Fprintf(&c.buf, "%s %s %s%s\n", clock, c.paint(color, fmt.Sprintf("%-8s", what)), progress, text)
}

func (c *Console) paint(color, text string) string {
	if !c.opts.Color || color == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// printable makes text safe for a terminal and for the log of a CI system:
// GitHub, Azure DevOps and TeamCity obey lines of output that begin with
// "::" or have "##[", "##vso[" or "##teamcity[" in them.
func printable(text string) string {
	text = rollup.Printable(text)
	for _, mark := range []string{"##[", "##vso[", "##teamcity["} {
		text = strings.ReplaceAll(text, mark, "# "+mark[1:])
	}
	return text
}

// flush replaces the live lines by what the call has to write and draws them
// anew below it, all in one write.
func (c *Console) flush() error {
	if c.paused && c.drawn == 0 {
		return nil
	}
	text := c.buf.String()
	c.buf.Reset()
	live := c.liveLines()
	if c.drawn > 0 {
		text = fmt.Sprintf("\x1b[%dA\x1b[J", c.drawn) + text
	}
	for _, line := range live {
		text += line + "\n"
	}
	c.drawn = len(live)
	if text == "" {
		return nil
	}
	if _, err := c.out.Write([]byte(text)); err != nil {
		return fmt.Errorf("write to the console: %w", err)
	}
	return nil
}
