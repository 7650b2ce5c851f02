// Package html writes the report for people: one file that needs nothing
// else, neither a network nor scripts, though with scripts it can be searched
// and filtered. Artifacts are linked relative to the run directory.
package html

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

//go:embed report.tmpl style.css script.js
var files embed.FS

// Write writes the report.
func Write(w io.Writer, r rollup.Result) error {
	p, err := newPage(r)
	if err != nil {
		return fmt.Errorf("write HTML: %w", err)
	}
	t, err := template.New("report.tmpl").Funcs(funcs()).ParseFS(files, "report.tmpl")
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
		"first":   func(text string) string { return view.FirstLine(text, 160) },
		"file":    finding,
		"lower":   strings.ToLower,
	}
}

// finding says where a finding stands when there is no file to link to.
func finding(f rollup.Finding) string {
	return fmt.Sprintf("%s %s, boot %d, line %d", f.Machine, f.Source, f.Boot, f.Line)
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
