package consolecheck

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// piece is a part of a raw line that a terminal would show in one place.
type piece struct {
	offset int // within the raw line
	text   string
}

// plain says that a raw line is printable ASCII.
func plain(raw []byte) bool {
	for _, b := range raw {
		if b < ' ' || b > '~' {
			return false
		}
	}
	return true
}

// pieces makes a raw line printable: escape sequences (ECMA-48) and control
// characters go, invalid UTF-8 is spelled out. Sequences that move the cursor
// elsewhere or clear the screen, as firmware and GRUB use them instead of line
// feeds, divide the line. A sequence cut off at the end is dropped.
func pieces(raw []byte) []piece {
	var all []piece
	var text strings.Builder
	start := 0
	divide := func(next int) {
		if text.Len() > 0 {
			all = append(all, piece{start, text.String()})
			text.Reset()
		}
		start = next
	}
	for i := 0; i < len(raw); {
		if raw[i] == 0x1b {
			n, moves := escape(raw[i:])
			i += n
			if moves || text.Len() == 0 {
				divide(i)
			}
			continue
		}
		r, size := utf8.DecodeRune(raw[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&text, `\x%02x`, raw[i])
		case r == '\t':
			text.WriteByte(' ')
		case unicode.IsControl(r):
		case !unicode.IsPrint(r):
			fmt.Fprintf(&text, `\u%04x`, r)
		default:
			text.WriteRune(r)
		}
		i += size
	}
	divide(len(raw))
	return all
}

// escape returns the length of the escape sequence at the start of raw, and
// whether what follows stands elsewhere on the screen.
func escape(raw []byte) (n int, moves bool) {
	if len(raw) < 2 {
		return len(raw), false
	}
	switch raw[1] {
	case '[': // parameters and intermediates, then a final byte
		for i, b := range raw[2:] {
			if b < ' ' || b > '~' {
				return i + 2, false // broken off: systemd shortens names without regard to sequences
			}
			if b >= '@' {
				return i + 3, bytes.IndexByte([]byte("HfJ"), b) >= 0
			}
		}
		return len(raw), false
	case ']': // a string up to BEL or ESC \
		for i, b := range raw[2:] {
			if b == 0x07 {
				return i + 3, false
			}
			if b == '\\' && raw[i+1] == 0x1b {
				return i + 3, false
			}
		}
		return len(raw), false
	}
	for i, b := range raw[1:] {
		if b < ' ' || b > '~' {
			return i + 1, false
		}
		if b >= '0' {
			return i + 2, b == 'c' // reset
		}
	}
	return len(raw), false
}

// message cuts what stands before a line's message: the kernel's time stamp
// ("[    1.234567] ", or "[    1.234567][    T1] " with CONFIG_PRINTK_CALLER), or
// the journal's time and host and the name "kernel".
func message(source string, line string) string {
	if source == Journal {
		time, rest, _ := strings.Cut(line, " ")
		_, entry, ok := strings.Cut(rest, " ")
		if !ok || len(time) < len("2006-01-02T15:04:05") || time[10] != 'T' {
			return line
		}
		return strings.TrimPrefix(entry, "kernel: ")
	}
	stamp, rest, ok := strings.Cut(line, "] ")
	if ok && strings.HasPrefix(stamp, "[") && strings.Trim(stamp, "[] .0123456789CT") == "" {
		return rest
	}
	return line
}
