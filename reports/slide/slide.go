// Package slide writes the list of failing tests under their causes, as a
// porter shows it on a slide (Markdown), one for each architecture.
package slide

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/markdown"
	"seatrial/reports/internal/view"
)

// The marks behind names.
const (
	unsure = "?"
	only   = "†"
)

// Write writes a slide for each architecture on which a test failed; if none
// did, one line that says so.
func Write(w io.Writer, r rollup.Result, _ view.Options) error {
	b := bufio.NewWriter(w)
	slides := 0
	for _, arch := range arches(r) {
		part := r
		part.Results = slices.DeleteFunc(slices.Clone(r.Results), func(row rollup.Row) bool { return row.Arch != arch })
		if groups := failing(view.NewMatrix(part).ByCause()); len(groups) > 0 {
			if slides > 0 {
				fmt.Fprintln(b)
			}
			slide(b, arch, groups)
			slides++
		}
	}
	if slides == 0 {
		fmt.Fprintf(b, "# Status update\n\nNo failing tests: %s\n", view.Total(r))
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write slide: %w", err)
	}
	return nil
}

// arches returns the architectures of the run, the one that is looked at, arm64,
// first.
func arches(r rollup.Result) []string {
	var names []string
	for _, row := range r.Results {
		if !slices.Contains(names, row.Arch) {
			names = append(names, row.Arch)
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names
}

// failing leaves the groups of tests that failed.
func failing(groups []view.Group) []view.Group {
	return slices.DeleteFunc(groups, func(g view.Group) bool { return !g.Cause && g.Name != string(rollup.Error) })
}

func slide(b *bufio.Writer, arch string, groups []view.Group) {
	fmt.Fprintf(b, "# Status update: %s\n\n## Failing Tests\n\n", markdown.Escape(strings.ToUpper(arch)))
	guesses, here := false, false
	for _, g := range groups {
		name := g.Name
		if !g.Cause {
			name = "Not the image's fault"
		}
		var names []string
		for _, e := range g.Entries {
			text := markdown.Escape(e.Label())
			if e.Only() == arch+" only" {
				text += only
				here = true
			}
			if e.Unsure {
				text += unsure
				guesses = true
			}
			names = append(names, text)
		}
		fmt.Fprintf(b, "- %s\n  - %s\n", markdown.Escape(name), strings.Join(names, ", "))
	}
	var legend []string
	if here {
		legend = append(legend, only+" fails on "+markdown.Escape(arch)+" only")
	}
	if guesses {
		legend = append(legend, unsure+" one of several candidates")
	}
	if len(legend) > 0 {
		fmt.Fprintf(b, "\n%s\n", strings.Join(legend, " · "))
	}
}
