package consolecheck

import (
	"regexp"
	"strings"
)

// maxTitle is the length of a title in bytes.
const maxTitle = 120

// noise lists what differs between two occurrences of the same thing, in the
// order of replacement. It follows syzkaller's report titles (pkg/report), to
// which UUIDs are added; hexadecimal numbers need a digit or 0x here, so that
// words such as "facade" stay.
var noise = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b`), "UUID"},
	{regexp.MustCompile(`([a-zA-Z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+`), "${1}"},
	{regexp.MustCompile(`(^|[^a-zA-Z0-9])(?:0x[0-9a-f]+|[0-9a-f]{6,})`), "${1}ADDR"},
	{regexp.MustCompile(`\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b`), "IP"},
	{regexp.MustCompile(`(\.\w+)(?::[0-9]+)+`), "${1}:LINE"},
	{regexp.MustCompile(`CPU#[0-9]+`), "CPU"},
	{regexp.MustCompile(`(^|\W)[0-9]+(\W|$)`), "${1}NUM${2}"},
	{regexp.MustCompile(`[0-9]{7,}`), "NUM"},
}

// Normalize makes texts about the same thing equal, as titles are: it replaces
// addresses, numbers and the like by placeholders until nothing changes, keeps
// printable ASCII only, and cuts the result to 120 bytes.
func Normalize(text string) string {
	for {
		next := printable(text)
		for _, n := range noise {
			next = n.re.ReplaceAllStringFunc(next, func(match string) string {
				if strings.HasSuffix(n.to, "ADDR") && !strings.ContainsAny(match, "0123456789") {
					return match
				}
				return n.re.ReplaceAllString(match, n.to)
			})
		}
		next = strings.TrimSpace(next[:min(len(next), maxTitle)])
		if next == text {
			return text
		}
		text = next
	}
}

// printable drops what is not ASCII text and folds white space.
func printable(text string) string {
	ascii := strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r < ' ' || r > '~':
			return -1
		default:
			return r
		}
	}, strings.ReplaceAll(text, "\u2026", "...")) // systemd shortens names so
	return strings.Join(strings.Fields(ascii), " ")
}
