package consolecheck

import "fmt"

// Severity says what a finding means for the guest.
type Severity int

// The severities, from the least one on.
const (
	// Warn is worth a look.
	Warn Severity = iota + 1
	// Fatal means that the guest's state is broken for any test.
	Fatal
	// Dead means that the guest cannot be reached any more, and never will be
	// in this boot: a wait for it may end at once.
	Dead
)

func (s Severity) String() string {
	switch s {
	case Warn:
		return "warn"
	case Fatal:
		return "fatal"
	case Dead:
		return "dead"
	default:
		return fmt.Sprintf("Severity(%d)", int(s))
	}
}

// The sources of text. A journal is the output of
// `journalctl -o short-iso-precise`.
const (
	Console = "console"
	Journal = "journal"
)

// Finding is a line that a rule matched.
type Finding struct {
	Source   string
	Rule     string
	Severity Severity
	// Title says what happened in a form that is the same each time it
	// happens, see Normalize.
	Title string
	// Text is the line, printable and without escape sequences.
	Text string
	// Boot counts the boots in the source, from 1.
	Boot int
	// Line counts the line feeds before the text, from 1.
	Line int
	// Offset is the number of bytes before the text.
	Offset int64
	// Secondary marks what the kernel printed as part or consequence of an
	// earlier finding: the first one is the cause.
	Secondary bool
}
