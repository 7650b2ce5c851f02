package rollup

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of the texts in a result, in bytes.
const (
	maxMessage = 8 << 10
	maxOutput  = 64 << 10 // of an attempt or subtest that did not pass
	maxPassed  = 4 << 10  // of one that did
	maxFinding = 2 << 10
	maxName    = 200
)

// Printable returns text that can be shown on a terminal, in XML 1.0, HTML,
// Markdown and YAML without acting there: it is valid UTF-8, lines end in
// "\n", and all other control and formatting characters are spelled as \x1b or
// \u202e. Tabs are kept.
func Printable(text string) string {
	if !strings.ContainsFunc(text, special) {
		return text
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	var b strings.Builder
	b.Grow(len(text) + 16)
	for i, r := range text {
		switch {
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				fmt.Fprintf(&b, `\x%02x`, text[i])
			} else {
				b.WriteRune(r)
			}
		case r == '\r': // a progress bar drawing over itself
			b.WriteByte('\n')
		case !special(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// name makes a text that names something printable on one line. Of a very long
// one the middle becomes a digest, so that different names stay different.
func name(text string) string {
	shown := strings.NewReplacer("\n", `\x0a`, "\t", `\x09`).Replace(Printable(text))
	if len(shown) <= maxName {
		return shown
	}
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%s[...%x...]%s", wholeHead(shown[:maxName/2-12]), sum[:4], wholeTail(shown[len(shown)-maxName/2+12:]))
}

// names does the same for each text.
func names(texts []string) []string {
	if texts == nil {
		return nil
	}
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = name(text)
	}
	return out
}

// special reports whether Printable must look at r.
func special(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r < 0x20, r >= 0x7f && r < 0xa0: // C0, DEL, C1
		return true
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // directions
		return true
	case r == 0x2028, r == 0x2029: // line ends to some
		return true
	}
	return r&0xfffe == 0xfffe || r == utf8.RuneError
}

// clip makes text printable and cuts its middle out if it is longer than
// limit bytes.
func clip(text string, limit int) string {
	if len(text) > 2*limit { // most of it will go: do not escape it all
		text = text[:limit] + text[len(text)-limit:]
	}
	text = strings.TrimRight(Printable(text), "\n")
	if len(text) <= limit {
		return text
	}
	head, rest := text[:limit/2], text[len(text)-limit/2:]
	return fmt.Sprintf("%s [...] %s", wholeHead(head), wholeTail(rest))
}

// wholeHead drops the rune at the end of text that a cut has halved.
func wholeHead(text string) string {
	for len(text) > 0 {
		if r, size := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || size != 1 {
			break
		}
		text = text[:len(text)-1]
	}
	return text
}

// wholeTail drops the rune at the start of text that a cut has halved.
func wholeTail(text string) string {
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}

// tail keeps the end of a text that is written piece by piece.
type tail struct {
	buf []byte
	cut int // bytes dropped
}

func (t *tail) write(text string) {
	t.buf = append(t.buf, text...)
	if len(text) > 0 && text[len(text)-1] != '\n' {
		t.buf = append(t.buf, '\n')
	}
	if len(t.buf) > 2*maxOutput {
		t.shrink(maxOutput)
	}
}

// shrink drops the start of the text so that at most limit bytes remain.
func (t *tail) shrink(limit int) {
	if over := len(t.buf) - limit; over > 0 {
		t.buf = append([]byte(nil), t.buf[over:]...)
		t.cut += over
	}
}

// text returns what was kept, starting with a whole line where there is one.
func (t *tail) text() string {
	kept, cut := string(t.buf), t.cut
	if over := len(kept) - maxOutput; over > 0 {
		kept, cut = kept[over:], cut+over
	}
	if cut > 0 {
		if i := strings.IndexByte(kept, '\n'); i >= 0 && i < len(kept)-1 {
			kept, cut = kept[i+1:], cut+i+1
		}
		kept = fmt.Sprintf("[%d bytes cut]\n%s", cut, wholeTail(kept))
	}
	return strings.TrimRight(kept, "\n")
}
