package debian

import (
	"slices"
	"strings"
)

// paragraph is one paragraph of a Debian control file (deb-control(5)): fields
// in their order, continuation lines kept as they are.
type paragraph []field

type field struct{ name, value string }

// parseControl splits a control file into its paragraphs. Lines that begin with
// "#" are comments, as apt's sources have them.
func parseControl(text string) []paragraph {
	var all []paragraph
	var p paragraph
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			if p != nil {
				all, p = append(all, p), nil
			}
		case (line[0] == ' ' || line[0] == '\t') && p != nil:
			p[len(p)-1].value += "\n" + line
		default:
			name, value, _ := strings.Cut(line, ":")
			p = append(p, field{name, strings.TrimSpace(value)})
		}
	}
	if p != nil {
		all = append(all, p)
	}
	return all
}

// get returns a field's value, "" if there is none.
func (p paragraph) get(name string) string {
	for _, f := range p {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// insert puts a field behind the first one.
func (p paragraph) insert(name, value string) paragraph {
	return slices.Insert(p, 1, field{name, value})
}

func formatControl(all []paragraph) string {
	var b strings.Builder
	for _, p := range all {
		for _, f := range p {
			b.WriteString(f.name + ":")
			if !strings.HasPrefix(f.value, "\n") {
				b.WriteString(" ")
			}
			b.WriteString(f.value + "\n")
		}
		b.WriteString("\n")
	}
	return b.String()
}
