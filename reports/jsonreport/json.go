// Package jsonreport writes report.json: the result as it is, for scripts.
package jsonreport

import (
	"encoding/json"
	"fmt"
	"io"

	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// Write writes the result as one indented JSON object.
func Write(w io.Writer, r rollup.Result, _ view.Options) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write report.json: %w", err)
	}
	return nil
}
