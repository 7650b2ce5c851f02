// Package tap writes TAP version 14 (testanything.org), with a subtest for
// each declared part of a test and the facts as YAML diagnostics.
package tap

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// Write writes the result, a test point for each row in the order of the
// result.
func Write(w io.Writer, r rollup.Result, _ view.Options) error {
	p := &printer{w: bufio.NewWriter(w)}
	p.line("TAP version 14")
	p.line(fmt.Sprintf("1..%d", len(r.Results)))
	for i, row := range r.Results {
		p.row(i+1, row)
	}
	if err := p.w.Flush(); err != nil {
		return fmt.Errorf("write TAP: %w", err)
	}
	return nil
}

// printer writes lines; the first error sticks to the buffer.
type printer struct {
	w      *bufio.Writer
	indent string
}

func (p *printer) line(text string) { p.w.WriteString(p.indent + text + "\n") }

func (p *printer) row(n int, row rollup.Row) {
	name := row.Test + " on " + row.Place()
	if len(row.Subtests) > 0 && len(row.Attempts) > 0 {
		p.line("# Subtest: " + escape(name))
		p.indent = "    "
		p.line(fmt.Sprintf("1..%d", len(row.Subtests)))
		for i, s := range row.Subtests {
			verdict := s.Verdict
			p.point(i+1, s.Name, verdict, s.Message)
			if !ok(verdict) {
				p.diagnostics([]entry{{"message", s.Message}, {"severity", string(verdict)}, {"class", string(s.Class)}})
			}
		}
		p.indent = ""
	}
	p.point(n, name, row.Verdict, row.Message)
	if row.Verdict != rollup.Skip {
		p.diagnostics(facts(row))
	}
}

// point writes one test point. What was skipped has the reason as directive,
// and what is expected to fail is a TODO, as TAP has it.
func (p *printer) point(n int, name string, v rollup.Verdict, message string) {
	text := fmt.Sprintf("ok %d - %s", n, escape(name))
	if !ok(v) {
		text = "not " + text
	}
	switch v {
	case rollup.Skip:
		text += " # SKIP " + escape(message)
	case rollup.Known:
		text += " # TODO known: " + escape(message)
	case rollup.Fixed:
		text += " # TODO expected to fail"
	}
	p.line(strings.TrimRight(text, " "))
}

func ok(v rollup.Verdict) bool {
	return v == rollup.Pass || v == rollup.Flaky || v == rollup.Skip || v == rollup.Fixed
}

// escape makes a text fit for a description: one line, and no "#" that begins
// a directive.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, "#", `\#`, "\n", " ").Replace(rollup.Printable(text))
}

// entry is a line of diagnostics; one without value is left out.
type entry struct {
	key   string
	value any
}

func facts(row rollup.Row) []entry {
	entries := []entry{
		{"message", row.Message},
		{"severity", string(row.Verdict)},
		{"class", string(row.Class)},
		{"duration_ms", float64(int64(row.Seconds*1e6+0.5)) / 1e3},
	}
	if len(row.Attempts) > 1 {
		var attempts []string
		for _, a := range row.Attempts {
			text := view.Attempt(a)
			if a.Message != "" {
				text += ": " + view.FirstLine(a.Message, 200)
			}
			attempts = append(attempts, text)
		}
		entries = append(entries, entry{"attempts", attempts})
	}
	if row.Verdict == rollup.Pass {
		return entries
	}
	if a := view.Deciding(row); a != nil {
		var findings []string
		for _, f := range a.Findings {
			findings = append(findings, view.Describe(f))
		}
		entries = append(entries, entry{"findings", findings}, entry{"artifacts", a.Artifacts})
	}
	for _, f := range view.Facts(row) {
		entries = append(entries, entry{f.Name, f.Text})
	}
	return append(entries, entry{"reproduce", row.Reproduce})
}

// diagnostics writes a YAML block. Strings are written as in JSON, which YAML
// reads, so that nothing in them can end the block.
func (p *printer) diagnostics(entries []entry) {
	p.line("  ---")
	for _, e := range entries {
		switch v := e.value.(type) {
		case string:
			if v != "" {
				p.line("  " + e.key + ": " + quote(v))
			}
		case float64:
			p.line(fmt.Sprintf("  %s: %g", e.key, v))
		case []string:
			if len(v) > 0 {
				p.line("  " + e.key + ":")
			}
			for _, item := range v {
				p.line("  - " + keyLike.ReplaceAllString(quote(item), `$1\x3a$2`))
			}
		}
	}
	p.line("  ...")
}

// keyLike is the start of a list's string that Perl's TAP::Parser takes for a key.
var keyLike = regexp.MustCompile(`^("\S*\s*):(\s)`)

func quote(text string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	// A string can always be encoded.
	if err := enc.Encode(rollup.Printable(text)); err != nil {
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}
