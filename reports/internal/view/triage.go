package view

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"seatrial/internal/rollup"
)

// Seen names a run in which something was seen, by image version if that is
// known: "3510.2.0 (2026-01-02)".
func Seen(s *rollup.Seen) string {
	if s == nil {
		return ""
	}
	name := cmp.Or(s.Version, s.Run)
	if s.Time.IsZero() {
		return name
	}
	return fmt.Sprintf("%s (%s)", name, s.Time.UTC().Format("2006-01-02"))
}

// Since says since when something has been seen: "new in this run", or "since"
// and the first run; "" if that is not known.
func Since(s *rollup.Seen, run string) string {
	switch {
	case s == nil:
		return ""
	case s.Run == run:
		return "new in this run"
	default:
		return "since " + Seen(s)
	}
}

// Causes lists candidates, those that are guesses with a question mark.
func Causes(causes []rollup.Cause) string {
	var names []string
	for _, c := range causes {
		name := cmp.Or(c.Category, Unexplained)
		if c.Unsure {
			name += "?"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// Fact is something that triage says of a row.
type Fact struct{ Name, Text string }

// Facts is what triage says of a row, for formats that have a line for each.
func Facts(row rollup.Row) []Fact {
	var facts []Fact
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, Fact{name, text})
		}
	}
	add("cause", Causes(row.Causes))
	add("cluster", row.Cluster)
	add("tracker", row.Tracker)
	if k := row.Known; k != nil {
		text := k.Pattern + ": " + k.Action
		if k.Reason != "" {
			text += ", " + k.Reason
		}
		if k.Until != "" {
			text += ", until " + k.Until
		}
		if k.Expired {
			text += ", expired"
		}
		add("known", text+" ("+k.At+")")
	}
	if row.Parity != nil {
		add("fails", row.Parity.Label)
	}
	if t := row.Trend; t != nil {
		add("since", Seen(t.FirstFailed))
		add("last_passed", Seen(t.LastPassed))
		add("trend", strings.TrimSuffix(t.Label+": "+t.Text, ": "))
	}
	if len(row.History) > 0 && Failed(row.Verdict) {
		add("history", Past(row.History))
	}
	return facts
}

// Web reports whether a tracker is an address of the web that can stand in a
// link, of Markdown, too.
func Web(tracker string) bool {
	u, err := url.Parse(tracker)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && !strings.ContainsAny(tracker, "<>()|\\`\" \n")
}

// ShortTracker is a tracker as it fits into a table: of an address the last
// parts, "flatcar#123" or "bug/17".
func ShortTracker(tracker string) string {
	u, err := url.Parse(tracker)
	if err != nil || u.Host == "" {
		return FirstLine(tracker, 30)
	}
	parts := strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' })
	n := len(parts)
	switch {
	case n >= 3 && (parts[n-2] == "issues" || parts[n-2] == "pull"):
		return FirstLine(parts[n-3]+"#"+parts[n-1], 30)
	case n >= 2:
		return FirstLine(parts[n-2]+"/"+parts[n-1], 30)
	default:
		return FirstLine(u.Host+u.Path, 30)
	}
}

// Past is the verdicts of earlier runs as symbols, the oldest first.
func Past(history []rollup.Past) string {
	var b strings.Builder
	for _, p := range history {
		b.WriteString(Symbol(p.Verdict))
	}
	return b.String()
}

// PastWords says the same for someone who cannot see it: "last 8 runs, oldest
// first: 5 pass, 3 fail".
func PastWords(history []rollup.Past) string {
	var parts []string
	for i := 0; i < len(history); {
		n := i
		for n < len(history) && history[n].Verdict == history[i].Verdict {
			n++
		}
		parts = append(parts, fmt.Sprintf("%d %s", n-i, history[i].Verdict))
		i = n
	}
	return fmt.Sprintf("last %s, oldest first: %s", Plural(len(history), "run"), strings.Join(parts, ", "))
}

// Bundle is rows that are one thing to look at: those of a cluster, or those
// in none that say the same.
type Bundle struct {
	Cluster *rollup.Cluster // nil for failures that are in none
	Title   string
	Rows    []rollup.Row
}

// Bundles joins rows by cluster and those in none by what they say. What is the
// image's fault comes first, and then the largest cluster.
func Bundles(clusters []rollup.Cluster, rows []rollup.Row) []Bundle {
	var bundles []Bundle
	index := make(map[string]int)
	for i := range clusters {
		c := &clusters[i]
		index["c "+c.ID] = len(bundles)
		bundles = append(bundles, Bundle{Cluster: c, Title: c.Title})
	}
	for _, row := range rows {
		i, known := index["c "+row.Cluster]
		if !known {
			title := cmp.Or(FirstLine(row.Message, 200), string(row.Verdict))
			key := fmt.Sprintf("m %s %s %s", row.Verdict, row.Class, title)
			if i, known = index[key]; !known {
				i = len(bundles)
				index[key] = i
				bundles = append(bundles, Bundle{Title: title})
			}
		}
		bundles[i].Rows = append(bundles[i].Rows, row)
	}
	bundles = slices.DeleteFunc(bundles, func(b Bundle) bool { return len(b.Rows) == 0 })
	slices.SortStableFunc(bundles, func(a, b Bundle) int { return cmp.Compare(a.rank(), b.rank()) })
	return bundles
}

// rank is that of the row that needs attention most.
func (b Bundle) rank() int {
	lowest := len(rollup.Verdicts())
	for _, row := range b.Rows {
		lowest = min(lowest, Rank(row.Verdict))
	}
	return lowest
}

// Where lists the tests and places of rows in a few words: "docker.base on
// qemu-arm64 and 3 more".
func Where(rows []rollup.Row) string {
	if len(rows) == 0 {
		return ""
	}
	text := rows[0].Test + " on " + rows[0].Place()
	if n := len(rows) - 1; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// Shown returns the class and message that explain a row: its own, or for a
// flaky one those of its last attempt that did not pass.
func Shown(row rollup.Row) (class, message string) {
	if a := Deciding(row); a != nil && row.Verdict == rollup.Flaky {
		return string(a.Class), a.Message
	}
	return string(row.Class), row.Message
}
