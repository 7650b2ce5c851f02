package triage

import (
	"regexp"
	"strings"

	"seatrial/harness/event"
)

// Failure is a test that did not pass, with what is known of why. Texts may be
// of any length and content.
type Failure struct {
	Test     string // "docker.base", or "docker.base/docker-info" for a part of it
	Suite    string
	Platform string
	Arch     string
	Accel    string
	Image    string
	// Version is the image's, as in its os-release (VERSION_ID, or BUILD_ID
	// where that says more); "" if it is not known.
	Version string
	Class   event.Class
	// Title is that of the first fatal finding on a console or in a journal,
	// already without addresses and numbers; "" if there was none.
	Title   string
	Message string // why the harness failed it; assertions are on lines of their own
	Output  string // what the test logged
	Console string // of its machines
}

// Kind says where a signature was taken from.
type Kind string

// The kinds, the strongest first.
const (
	Oops      Kind = "oops"      // the title of the first fatal finding
	ByClass   Kind = "class"     // the class and what the harness said of it
	Assertion Kind = "assertion" // the first line of the test's own message
)

// Signature is what is left of a failure when all that is accidental has been
// taken out.
type Signature struct {
	Kind  Kind
	Class event.Class
	// Text is one printable line of at most MaxText bytes.
	Text string
	// Key is equal for equal failures and names the version of the algorithm;
	// see [Version].
	Key string
}

// Sign returns the signature of a failure.
//
// The first oops wins, since later failures are its consequences. A failure
// that has no assertion of its own (a boot that did not end, a time-out) is
// known by its class and message. What is left is known by the first line of
// its message, or the first line of its output that tells of a fault.
func Sign(f Failure) Signature {
	s := Signature{Class: f.Class}
	message := lines(f.Message, 2)
	switch {
	case f.Title != "":
		s.Kind, s.Text = Oops, firstOr(lines(f.Title, 1), "")
	case f.Class != event.Assertion && f.Class != "" && f.Class != event.Console:
		s.Kind, s.Text = ByClass, string(f.Class)
		if len(message) > 0 {
			s.Text += ": " + strings.Join(message, " | ")
		}
	default:
		s.Kind, s.Text = Assertion, firstOr(message, faultLine(f.Output))
	}
	if s.Kind != Oops { // titles come without noise
		s.Text = rename(s.Text)
	}
	s.Text = shorten(s.Text, MaxText)
	s.Key = exactKey(s)
	return s
}

func firstOr(all []string, otherwise string) string {
	if len(all) > 0 {
		return all[0]
	}
	return otherwise
}

// noMessage is the text of a failure that says nothing at all.
const noMessage = "failed without a message"

var fault = regexp.MustCompile(`(?i)\b(?:fail(?:ed|ure)?|error|fatal|panic|denied|refused|timed out|not found|cannot|could not|unexpected|expected|mismatch)\b`)

// faultLine is the first line of an output that tells of a fault, else its
// last line.
func faultLine(output string) string {
	all := lines(output, maxLines)
	for _, line := range all {
		if fault.MatchString(line) {
			return line
		}
	}
	if len(all) == 0 {
		return noMessage
	}
	return all[len(all)-1]
}
