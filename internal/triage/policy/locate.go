package policy

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// locate returns the position in the file of a byte of a scalar's value.
//
// YAML folds lines, drops indentation and knows escapes, but it keeps the order
// of all that is not white space. So value and file are walked side by side,
// white space passed over in both.
func (s *source) locate(n *yaml.Node, offset int) Position {
	w := walker{rest: s.data, line: 1, column: 1}
	for w.line < n.Line || w.line == n.Line && w.column < n.Column {
		if _, ok := w.next(); !ok {
			return s.at(n)
		}
	}
	w.enter(n.Style)
	value := n.Value
	offset = min(offset, len(value))
	for i, r := range value {
		if unicode.IsSpace(r) {
			if i >= offset {
				break
			}
			continue
		}
		w.skipSpace(n.Style)
		if i >= offset {
			return Position{s.name, w.line, w.column}
		}
		if got, ok := w.char(n.Style); !ok || got != r && n.Style&yaml.DoubleQuotedStyle == 0 {
			return s.at(n) // a tag or an anchor stands before the value
		}
	}
	return Position{s.name, w.line, w.column}
}

// walker reads a file's characters and counts lines and columns from 1.
type walker struct {
	rest         []byte
	line, column int
}

func (w *walker) next() (rune, bool) {
	if len(w.rest) == 0 {
		return 0, false
	}
	r, size := utf8.DecodeRune(w.rest)
	w.rest = w.rest[size:]
	if w.column++; r == '\n' {
		w.line, w.column = w.line+1, 1
	}
	return r, true
}

// enter moves to where a scalar's text begins: behind its quote, or to the line
// after the header of a block.
func (w *walker) enter(style yaml.Style) {
	switch {
	case style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		for r, ok := w.next(); ok && r != '\n'; r, ok = w.next() {
		}
	case style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		w.next()
	}
}

// skipSpace passes over white space, however it is written.
func (w *walker) skipSpace(style yaml.Style) {
	for len(w.rest) > 0 {
		r, _ := utf8.DecodeRune(w.rest)
		escaped := style&yaml.DoubleQuotedStyle != 0 && r == '\\' && len(w.rest) > 1 && bytes.IndexByte([]byte("tnrvf \t\n"), w.rest[1]) >= 0
		if !escaped && !unicode.IsSpace(r) {
			return
		}
		w.next()
		if escaped {
			w.next()
		}
	}
}

// char reads one character of the value, and all of the escape that stands for
// it. Of an escape it returns something else than the character itself.
func (w *walker) char(style yaml.Style) (rune, bool) {
	r, ok := w.next()
	switch {
	case style&yaml.SingleQuotedStyle != 0 && r == '\'':
		w.next() // two of them
	case style&yaml.DoubleQuotedStyle != 0 && r == '\\':
		kind, more := w.next()
		digits := map[rune]int{'x': 2, 'u': 4, 'U': 8}[kind]
		for range digits {
			w.next()
		}
		return kind, more
	}
	return r, ok
}
