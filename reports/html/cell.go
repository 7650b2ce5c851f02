package html

import (
	"cmp"
	"fmt"
	"html/template"
	"net/url"
	"path"
	"strings"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// cell is a field of the matrix.
type cell struct {
	*rollup.Row
	Note  string
	Links []link
}

// link leads to a file of the run directory.
type link struct {
	Text string
	URL  template.URL
}

func newCell(row *rollup.Row, o view.Options) *cell {
	c := &cell{Row: row, Note: note(row)}
	if !view.Failed(row.Verdict) && row.Verdict != rollup.Flaky {
		return c
	}
	a := view.Deciding(*row)
	if a == nil {
		return c
	}
	at := map[string]rollup.Finding{}
	if f := view.FatalFinding(a); f != nil && f.File != "" {
		at[f.Source] = *f
	}
	for _, source := range []string{"console", "journal"} {
		if f, ok := at[source]; ok && o.Has(f.File) {
			c.Links = append(c.Links, link{fmt.Sprintf("%s:%d", source, f.Line), lineURL(f, o)})
			continue
		}
		for _, m := range a.Booted {
			file := path.Join(m.Artifacts, source+".txt")
			if (source == "console" || m.Seconds > 0) && o.Has(file) {
				c.Links = append(c.Links, link{source, fileURL(file)})
				break
			}
		}
	}
	return c
}

// note says what is special about a row, in a word or two.
func note(row *rollup.Row) string {
	wrong := 0
	for _, s := range row.Subtests {
		if view.Failed(s.Verdict) {
			wrong++
		}
	}
	switch {
	case wrong > 0:
		return fmt.Sprintf("%d of %d", wrong, len(row.Subtests))
	case view.Failed(row.Verdict):
		return string(row.Class)
	case row.Verdict == rollup.Flaky:
		return view.Plural(len(row.Attempts), "attempt")
	default:
		return ""
	}
}

// fileURL is the address of a file relative to the page. Paths of artifacts
// are made of safe names, see [rollup.SafeName].
func fileURL(file string) template.URL {
	u := url.URL{Path: "./" + file}
	return template.URL(u.EscapedPath())
}

// maxFragment bounds the text that a link looks for, in bytes.
const maxFragment = 120

// lineURL is the address of the line of a finding: browsers scroll to the text
// of a text fragment (wicg.github.io/scroll-to-text-fragment) and mark it.
// Others open the file at its start.
func lineURL(f rollup.Finding, o view.Options) template.URL {
	text := cmp.Or(o.Plain(f), f.Text)
	if strings.ContainsAny(text, "\\\n") || strings.Contains(text, "[...]") {
		return fileURL(f.File) // not what the file has
	}
	if len(text) > maxFragment {
		text = text[:maxFragment]
		text = text[:max(0, strings.LastIndexByte(text, ' '))] // a whole word
	}
	if text = strings.TrimSpace(text); text == "" {
		return fileURL(f.File)
	}
	escaped := strings.NewReplacer("-", "%2D", "+", "%20").Replace(url.QueryEscape(text))
	return fileURL(f.File) + template.URL("#:~:text="+escaped)
}

// Sizes of the history strip, in its own units.
const (
	stripStep   = 4
	stripHeight = 12
)

// strip draws the history of a cell, a bar for each run, the newest at the
// right: passes are a low line, failures full bars, what is neither a dot; the
// same is said in words.
func strip(history []rollup.Past) template.HTML {
	if len(history) == 0 {
		return ""
	}
	paths := make(map[string]*strings.Builder)
	for i := 0; i < len(history); {
		n := i + 1
		for n < len(history) && history[n].Verdict == history[i].Verdict {
			n++
		}
		class, top, height := "o", stripHeight/2, 2
		switch history[i].Verdict {
		case rollup.Pass, rollup.Fixed:
			class, top, height = "p", stripHeight-3, 3
		case rollup.Flaky:
			class, top, height = "y", stripHeight-7, 7
		case rollup.Fail, rollup.Known:
			class, top, height = "f", 0, stripHeight
		case rollup.Error:
			class, top, height = "e", 0, stripHeight-5
		}
		if paths[class] == nil {
			paths[class] = new(strings.Builder)
		}
		if class == "p" {
			fmt.Fprintf(paths[class], "M%d %dh%dv%dh-%dz", i*stripStep, top, (n-i)*stripStep-1, height, (n-i)*stripStep-1)
		} else {
			for ; i < n; i++ {
				fmt.Fprintf(paths[class], "M%d %dh3v%dh-3z", i*stripStep, top, height)
			}
		}
		i = n
	}
	var b strings.Builder
	words := view.PastWords(history)
	fmt.Fprintf(&b, `<svg class="h" role="img" aria-label="%s" viewBox="0 0 %d %d" width="%d" height="%d">`,
		template.HTMLEscapeString(words), len(history)*stripStep, stripHeight, len(history)*stripStep, stripHeight)
	for _, class := range []string{"p", "y", "f", "e", "o"} {
		if d := paths[class]; d != nil {
			fmt.Fprintf(&b, `<path class="%s" d="%s"/>`, class, d)
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}
