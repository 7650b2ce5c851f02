// Package reports has the one list of report formats: the files that are made
// from the result of a run. A new format is a directory beside this file and
// a line in [Formats].
//
// The report on the terminal is not a file and not in the list; it is package
// console.
package reports

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"seatrial/internal/rollup"
	"seatrial/reports/csv"
	"seatrial/reports/github"
	"seatrial/reports/html"
	"seatrial/reports/internal/view"
	"seatrial/reports/issue"
	"seatrial/reports/jsonreport"
	"seatrial/reports/junit"
	"seatrial/reports/matrix"
	"seatrial/reports/slide"
	"seatrial/reports/tap"
)

// Options is what a report may need besides the result.
type Options = view.Options

// ErrNoCluster is wrapped by the error for a cluster that the run does not have.
var ErrNoCluster = view.ErrNoCluster

// Format is one way to report a result.
type Format struct {
	Name string // as users call it
	File string // its file in the run directory; "" if it is made on request only
	// Write writes the whole report.
	Write func(w io.Writer, r rollup.Result, o Options) error
	// Parts, if set, returns the writers of the files that the report is
	// split into where its readers have limits; at least one.
	Parts func(r rollup.Result, o Options) []func(io.Writer) error
}

// Formats returns all formats.
func Formats() []Format {
	return []Format{
		{Name: "json", File: "report.json", Write: jsonreport.Write},
		{Name: "junit", File: "junit.xml", Write: junit.Write, Parts: junit.Parts},
		{Name: "tap", File: "report.tap", Write: tap.Write},
		{Name: "matrix", File: "matrix.md", Write: matrix.Write},
		{Name: "html", File: "report.html", Write: html.Write},
		{Name: "csv", Write: csv.Write},
		{Name: "slide", Write: slide.Write},
		{Name: "issue", Write: issue.Write},
		{Name: "github", Write: github.Write},
	}
}

// Find returns the format of a name. The error names those that there are.
func Find(name string) (Format, error) {
	var names []string
	for _, f := range Formats() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Format{}, fmt.Errorf("unknown report format %q: use one of %s", name, strings.Join(names, ", "))
}

// WriteAll makes every report that a run directory has by calling write with
// the name of each file and the function that writes its content. It goes on
// after an error and returns the first.
func WriteAll(r rollup.Result, o Options, write func(name string, content func(io.Writer) error) error) error {
	var first error
	for _, f := range Formats() {
		if f.File == "" {
			continue
		}
		if err := f.Save(f.File, r, o, write); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Save makes one report by calling write for each of its files: the one of the
// given name and, where the report is split, those with "-2", "-3" and so on
// before the extension.
func (f Format) Save(name string, r rollup.Result, o Options, write func(name string, content func(io.Writer) error) error) error {
	if f.Parts == nil {
		return write(name, func(w io.Writer) error { return f.Write(w, r, o) })
	}
	ext := filepath.Ext(name)
	for i, part := range f.Parts(r, o) {
		file := name
		if i > 0 {
			file = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ext), i+1, ext)
		}
		if err := write(file, part); err != nil {
			return err
		}
	}
	return nil
}
