// Package markdown writes texts of a guest into Markdown so that they stay
// texts.
package markdown

import (
	"strings"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// Escape makes a text appear as it is in a paragraph or a table cell, on one
// line: neither Markdown, HTML, mentions nor links.
func Escape(text string) string {
	var b strings.Builder
	text = rollup.Printable(text)
	for i, r := range text {
		switch {
		case r == '\n':
			b.WriteByte(' ')
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case r == '@':
			b.WriteString("&#64;")
		case strings.ContainsRune("\\`*_[]#|~$", r), r == ':' && strings.HasPrefix(text[i:], "://"):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Block is a fenced block, or nothing for no text; the fence is longer than any
// in the text.
func Block(language, text string) string {
	if text == "" {
		return ""
	}
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence + language + "\n" + rollup.Printable(text) + "\n" + fence + "\n\n"
}

// Tracker is where a failure is tracked, as a link if it can be one.
func Tracker(tracker string) string {
	if !view.Web(tracker) {
		return Escape(tracker)
	}
	return "[" + Escape(view.ShortTracker(tracker)) + "](" + tracker + ")"
}
