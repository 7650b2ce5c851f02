package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"seatrial/internal/rollup"
	"seatrial/reports"
)

// toGitHub tells GitHub Actions of a result, if the program runs in one of its
// jobs: annotations among its output, the matrix in the job's summary.
func (a *app) toGitHub(out io.Writer, result rollup.Result, dir string) error {
	if a.env.Getenv("GITHUB_ACTIONS") != "true" {
		return nil
	}
	o := reports.Options{Artifacts: os.DirFS(dir)}
	annotations, err := reports.Find("github")
	if err != nil {
		return err
	}
	err = annotations.Write(out, result, o)
	if path := a.env.Getenv("GITHUB_STEP_SUMMARY"); path != "" {
		err = errors.Join(err, appendSummary(path, result, o))
	}
	return err
}

// appendSummary adds the matrix to a file that other steps write to as well.
func appendSummary(path string, result rollup.Result, o reports.Options) error {
	matrix, err := reports.Find("matrix")
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("write the job summary: %w", err)
	}
	if err := errors.Join(matrix.Write(file, result, o), file.Close()); err != nil {
		return fmt.Errorf("write the job summary: %w", err)
	}
	return nil
}
