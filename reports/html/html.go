// Package html writes the report for people: one file that needs nothing
// else, no network and no server.
//
// The page is whole without its script: the answer, what failed and why, the
// matrix, and the details of the first problems, for readers who may not run
// scripts (Jenkins) and for paper. The script filters, searches, sorts and
// groups the matrix, and shows the details of any cell, which stand as data at
// the end of the file so that thousands of them cost nothing until they are
// asked for. Artifacts are linked relative to the run directory.
package html

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

//go:embed report.tmpl detail.tmpl style.css script.js
var files embed.FS

// Write writes the report.
func Write(w io.Writer, r rollup.Result, o view.Options) error {
	t, err := template.New("report.tmpl").Funcs(funcs()).ParseFS(files, "*.tmpl")
	if err != nil {
		return fmt.Errorf("write HTML: %w", err)
	}
	p, err := newPage(r, o, t)
	if err != nil {
		return fmt.Errorf("write HTML: %w", err)
	}
	if err := t.Execute(w, p); err != nil {
		return fmt.Errorf("write HTML: %w", err)
	}
	return nil
}

func funcs() template.FuncMap {
	return template.FuncMap{
		"symbol":  view.Symbol,
		"seconds": view.Seconds,
		"first":   func(text string) string { return view.FirstLine(text, 200) },
		"seen":    view.Seen,
		"causes":  view.Causes,
		"plural":  view.Plural,
		"percent": func(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) },
		"strip":   strip,
		"web":     view.Web,
		"short":   view.ShortTracker,
		"gate":    gateSymbol,
	}
}

func gateSymbol(v rollup.GateVerdict) string {
	switch v {
	case rollup.Go:
		return "✓"
	case rollup.NoGo:
		return "✗"
	default:
		return "?"
	}
}

// policy is the Content-Security-Policy of the page: it loads nothing and runs
// only its own style and script.
func policy(style, script []byte) string {
	return fmt.Sprintf("default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'",
		digest(style), digest(script))
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return base64.StdEncoding.EncodeToString(sum[:])
}
