// Package issue writes the body of an issue for each cluster of failures
// (Markdown): what it is, since when, where, what the guest said, and how to
// see it again.
package issue

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/markdown"
	"seatrial/reports/internal/view"
)

// Bounds: an issue's body may have 65,536 characters.
const (
	maxCells   = 100
	maxExcerpt = 16 << 10 // bytes
	maxMessage = 4 << 10  // bytes
	around     = 10       // lines of an artifact on each side of the one that matters
)

// Write writes the bodies one after the other, parted by a rule; with
// o.Cluster only that one.
func Write(w io.Writer, r rollup.Result, o view.Options) error {
	var rows []rollup.Row
	for _, row := range r.Results {
		if view.Failed(row.Verdict) {
			rows = append(rows, row)
		}
	}
	bundles := view.Bundles(r.Clusters, rows)
	if o.Cluster != "" {
		bundles = slices.DeleteFunc(bundles, func(b view.Bundle) bool { return b.Cluster == nil || b.Cluster.ID != o.Cluster })
		if len(bundles) == 0 {
			return fmt.Errorf("write issue: %w: %q", view.ErrNoCluster, o.Cluster)
		}
	}
	p := printer{bufio.NewWriter(w)}
	for i, b := range bundles {
		if i > 0 {
			p.f("\n---\n\n")
		}
		p.issue(r, b, o)
	}
	if len(bundles) == 0 {
		p.f("No failures: %s\n", view.Total(r))
	}
	if err := p.w.Flush(); err != nil {
		return fmt.Errorf("write issue: %w", err)
	}
	return nil
}

// printer writes Markdown; the first error sticks to the buffer.
type printer struct{ w *bufio.Writer }

func (p printer) f(format string, args ...any) { fmt.Fprintf(p.w, format, args...) }

// field writes a line of a list, or nothing without a value.
func (p printer) field(name, value string) {
	if value != "" {
		p.f("- %s: %s\n", name, value)
	}
}

func (p printer) issue(r rollup.Result, b view.Bundle, o view.Options) {
	row := b.Rows[0]
	p.f("# %s\n\n", markdown.Escape(view.FirstLine(b.Title, 200)))
	first, tracker, causes := "", row.Tracker, row.Causes
	if c := b.Cluster; c != nil {
		p.field("Cluster", markdown.Escape(c.ID))
		if c.FirstSeen != nil && c.FirstSeen.Run != r.Run.ID {
			first = view.Seen(c.FirstSeen)
		}
		tracker = cmp.Or(c.Tracker, tracker)
		if len(c.Causes) > 0 {
			causes = c.Causes
		}
	}
	p.field("Class", markdown.Escape(string(row.Class)))
	p.field("Cause", markdown.Escape(view.Causes(causes)))
	p.field("Tracker", markdown.Tracker(tracker))
	p.field("First seen", markdown.Escape(cmp.Or(first, r.Run.ID+" (this run)")))
	if row.Trend != nil {
		p.field("Last passed", markdown.Escape(view.Seen(row.Trend.LastPassed)))
		p.field("Trend", markdown.Escape(row.Trend.Text))
	}
	if row.Parity != nil {
		p.field("Fails", markdown.Escape(row.Parity.Label))
	}
	p.field("Run", markdown.Escape(r.Run.ID+", seatrial "+r.Run.Version))
	p.f("\n## Affected\n\n| test | place | image | verdict |\n| --- | --- | --- | --- |\n")
	for i, row := range b.Rows {
		if i == maxCells {
			p.f("\nand %d more\n", len(b.Rows)-i)
			break
		}
		p.f("| %s | %s | %s | %s %s |\n", markdown.Escape(view.Entry{Test: &view.Test{Name: row.Test}, Rows: []*rollup.Row{&row}}.Label()),
			markdown.Escape(row.Place()), markdown.Escape(row.Image), view.Symbol(row.Verdict), row.Verdict)
	}
	p.f("\n## What happened\n\n%s", markdown.Block("", cut(row.Message, maxMessage)))
	if lines := view.Subtests(row); len(lines) > 0 {
		for _, line := range lines {
			p.f("- %s\n", markdown.Escape(line))
		}
		p.f("\n")
	}
	p.evidence(row, b.Cluster, o)
	if reproduce := cmp.Or(row.Reproduce, reproduction(b)); reproduce != "" {
		p.f("## Reproduce\n\n%s", markdown.Block("sh", reproduce))
	}
}

func reproduction(b view.Bundle) string {
	if b.Cluster == nil {
		return ""
	}
	return b.Cluster.Reproduce
}

// evidence shows the lines around the finding, or else what the cluster or the
// attempt has to show.
func (p printer) evidence(row rollup.Row, c *rollup.Cluster, o view.Options) {
	a := view.Deciding(row)
	text, from := "", ""
	if f := view.FatalFinding(a); f != nil {
		from = view.Describe(*f)
		for _, line := range o.Excerpt(*f, around) {
			mark := " "
			if line.Mark {
				mark = ">"
			}
			text += fmt.Sprintf("%s %5d  %s\n", mark, line.N, line.Text)
		}
		text = cmp.Or(text, f.Text)
	}
	if text == "" && c != nil {
		text, from = c.Excerpt, c.At
	}
	if text == "" && a != nil {
		text, from = strings.Join(view.LastLines(a.Output, 20), "\n"), a.Artifacts
	}
	if text == "" {
		return
	}
	if from != "" {
		p.f("%s:\n\n", markdown.Escape(from))
	}
	p.f("%s", markdown.Block("", cut(strings.TrimRight(text, "\n"), maxExcerpt)))
}

// cut keeps whole runes.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
