// Package csv writes the matrix as a table of one row a cell (RFC 4180), for
// spreadsheets and scripts.
package csv

import (
	"encoding/csv"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// maxText bounds a value in runes: spreadsheets take 32,767 characters.
const maxText = 4000

// columns are the names of the columns, in order. New ones come last.
func columns() []string {
	return []string{
		"test", "suite", "platform", "arch", "accel", "image", "version",
		"verdict", "outcome", "class", "category", "candidates", "cluster", "tracker", "known_until",
		"parity", "trend", "first_failed", "last_passed", "flake_rate", "history",
		"seconds", "attempts", "message", "signature", "console", "reproduce",
	}
}

// Write writes a header and a row for each cell in the order of the result.
func Write(w io.Writer, r rollup.Result, _ view.Options) error {
	out := csv.NewWriter(w)
	// Errors stick to the writer.
	_ = out.Write(columns())
	m := view.NewMatrix(r)
	for _, t := range m.Tests {
		for i, row := range t.Cells {
			if row != nil {
				_ = out.Write(record(m.Places[i], *row))
			}
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

func record(p view.Place, row rollup.Row) []string {
	console := ""
	if a := view.Deciding(row); a != nil {
		if f := view.FatalFinding(a); f != nil && f.File != "" {
			console = fmt.Sprintf("%s:%d", f.File, f.Line)
		} else if len(a.Booted) > 0 {
			console = path.Join(a.Booted[0].Artifacts, "console.txt")
		}
	}
	var trend, firstFailed, lastPassed, rate string
	if t := row.Trend; t != nil {
		trend, firstFailed, lastPassed = t.Label, view.Seen(t.FirstFailed), view.Seen(t.LastPassed)
		rate = strconv.FormatFloat(t.Rate, 'f', 3, 64)
	}
	var until, parity string
	if row.Known != nil {
		until = row.Known.Until
	}
	if row.Parity != nil {
		parity = row.Parity.Label
	}
	values := []string{
		row.Test, row.Suite, row.Platform, row.Arch, row.Accel, row.Image, p.Version,
		string(row.Verdict), string(row.Outcome), string(row.Class), row.Category, view.Causes(row.Causes), row.Cluster, row.Tracker, until,
		parity, trend, firstFailed, lastPassed, rate, view.Past(row.History),
		strconv.FormatFloat(row.Seconds, 'f', 3, 64), strconv.Itoa(len(row.Attempts)), row.Message, row.Signature, console, row.Reproduce,
	}
	for i, v := range values {
		values[i] = text(v)
	}
	return values
}

// text cuts a value and keeps it from being taken for a formula: spreadsheets
// compute what begins with one of these signs.
func text(value string) string {
	if runes := []rune(value); len(runes) > maxText {
		value = string(runes[:maxText]) + "…"
	}
	if value != "" && strings.ContainsRune("=+-@\t\n|%", rune(value[0])) {
		return "'" + value
	}
	return value
}
