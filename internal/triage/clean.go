package triage

import (
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds on what is looked at, in bytes. They are far above what tests say of
// their own will, and low enough for thousands of hostile failures.
const (
	// MaxText is the length of a signature's text.
	MaxText  = 512
	maxInput = 64 << 10 // half from the start of a text, half from its end
	maxLines = 2000     // of such a part
)

// cut stands for what is left out of a text.
const cut = " ... "

// escape matches terminal control sequences (ECMA-48): CSI, OSC with its
// terminator, and the two-character ones.
var escape = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b\n]*(?:\x07|\x1b\\\\)?|[ -/]*[0-Z\\\\^-~])")

// Plain returns a text that is safe to match and to show, of at most about
// limit bytes: its middle is cut out if it is longer, on lines of its own;
// escape sequences are dropped, line ends are "\n", other control characters
// and invalid UTF-8 are "?". It looks at no more than limit bytes of a text.
func Plain(text string, limit int) string {
	if len(text) > limit {
		half := limit / 2
		text = text[:half] + "\n...\n" + text[len(text)-half:]
	}
	text = escape.ReplaceAllString(text, "")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r':
			return '\n'
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
}

// lines returns the first lines of a text that are not blank, trimmed.
func lines(text string, most int) []string {
	var found []string
	for line := range strings.Lines(Plain(text, maxInput)) {
		if line = strings.TrimSpace(line); line != "" && len(found) < most {
			found = append(found, line)
		}
	}
	return found
}

// shorten cuts the middle out of a text that is longer than limit.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	half := (limit - len(cut)) / 2
	head, tail := text[:half], text[len(text)-half:]
	return strings.ToValidUTF8(head, "") + cut + strings.ToValidUTF8(tail, "")
}

// Excerpt reads a file's text, or the start and the end of it if it has more
// than limit bytes. What cannot be read is not there.
func Excerpt(f io.ReadSeeker, limit int) string {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	part := func(from, n int64) string {
		if _, err := f.Seek(from, io.SeekStart); err != nil {
			return ""
		}
		data, _ := io.ReadAll(io.LimitReader(f, n))
		return string(data)
	}
	if size <= int64(limit) {
		return part(0, size)
	}
	half := int64(limit / 2)
	return part(0, half) + "\n...\n" + part(size-half, half)
}
