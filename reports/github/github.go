// Package github writes annotations for a job of GitHub Actions: workflow
// commands on standard output, which the runner obeys. What comes from a guest
// is escaped so that it cannot be one.
package github

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// GitHub shows ten annotations of each level for a step; there is one for each
// bundle of failures, and the last is for all that are left.
const maxAnnotations = 10

// Write writes an error for each bundle of failures, a warning for each of what
// is to be looked at, and a notice with the gate's answer.
func Write(w io.Writer, r rollup.Result, _ view.Options) error {
	b := bufio.NewWriter(w)
	var errors, warnings []rollup.Row
	for _, row := range view.Problems(r) {
		switch row.Verdict {
		case rollup.Fail, rollup.Error:
			errors = append(errors, row)
		case rollup.Missing:
			if row.Required {
				errors = append(errors, row)
			}
		default:
			warnings = append(warnings, row)
		}
	}
	annotate(b, "error", bundles(r, errors))
	lines := bundles(r, warnings)
	for _, n := range r.Policy {
		lines = append(lines, annotation{"policy: " + n.Kind + ": " + n.Pattern, n.Text + "\n" + n.At})
	}
	annotate(b, "warning", lines)
	command(b, "notice", annotation{"seatrial: " + string(cmp.Or(r.Gate.Verdict, rollup.Unknown)), gate(r)})
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write annotations: %w", err)
	}
	return nil
}

// annotation is what a command shows.
type annotation struct{ title, text string }

func bundles(r rollup.Result, rows []rollup.Row) []annotation {
	var all []annotation
	for _, b := range view.Bundles(r.Clusters, rows) {
		row := b.Rows[0]
		class, message := view.Shown(row)
		title := string(row.Verdict) + ": " + view.Where(b.Rows)
		if class != "" {
			title += " [" + class + "]"
		}
		lines := []string{view.FirstLine(message, 500)}
		if causes := view.Causes(row.Causes); causes != "" {
			lines = append(lines, "cause: "+causes)
		}
		if row.Tracker != "" {
			lines = append(lines, "tracker: "+row.Tracker)
		}
		if row.Parity != nil && row.Parity.Label != "" {
			lines = append(lines, "fails: "+row.Parity.Label)
		}
		if f := view.FatalFinding(view.Deciding(row)); f != nil {
			lines = append(lines, f.Source+": "+view.Describe(*f))
		}
		if row.Reproduce != "" {
			lines = append(lines, "reproduce: "+row.Reproduce)
		}
		all = append(all, annotation{title, strings.Join(lines, "\n")})
	}
	return all
}

// annotate writes as many annotations as are shown.
func annotate(b *bufio.Writer, level string, all []annotation) {
	for i, a := range all {
		if left := len(all) - i; i == maxAnnotations-1 && left > 1 {
			command(b, level, annotation{fmt.Sprintf("and %d more", left), "The job summary and report.html have all of them."})
			return
		}
		command(b, level, a)
	}
}

func gate(r rollup.Result) string {
	lines := []string{view.Total(r)}
	for i, reason := range r.Gate.Reasons {
		if i == maxAnnotations {
			lines = append(lines, fmt.Sprintf("and %d more", len(r.Gate.Reasons)-i))
			break
		}
		lines = append(lines, strings.TrimSpace(reason.Rule+": "+reason.Test+" "+view.FirstLine(reason.Text, 200)))
	}
	return strings.Join(lines, "\n")
}

// command writes a workflow command, escaped as the runner's own toolkit does
// (github.com/actions/toolkit, packages/core/src/command.ts).
func command(b *bufio.Writer, level string, a annotation) {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	title := view.FirstLine(rollup.Printable(a.title), 200)
	fmt.Fprintf(b, "::%s title=%s::%s\n", level, property.Replace(title), data.Replace(rollup.Printable(a.text)))
}
