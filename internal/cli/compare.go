package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"seatrial/internal/rollup"
	"seatrial/internal/triage/compare"
)

func (a *app) compareCommand() *cobra.Command {
	var files policyFlags
	var past historyFlags
	var asJSON, all bool
	cmd := &cobra.Command{
		Use: "compare A B", Short: "Say what changed between two runs, images, architectures ...",
		Long: `Compare how tests ended in A with how they end in B: regressions, fixes, changed
causes. A and B are run directories, or parts of one:

  seatrial compare runs/old runs/new
  seatrial compare arch=amd64 arch=arm64              # of runs/latest
  seatrial compare runs/x,accel=kvm runs/x,accel=tcg  # also: platform, image

A test that has enough runs in the history on both sides is judged by statistics
(Fisher's exact test, adjusted for the number of tests), else by its verdicts.

The exit code is 1 if there are regressions.`,
		Args: positional(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, words []string) error {
			p, err := files.policy()
			if err != nil {
				return err
			}
			var sides []rollup.Side
			for _, word := range words {
				s, err := a.side(cmd.Context(), word, p, past)
				if err != nil {
					return err
				}
				sides = append(sides, s)
			}
			changes, err := rollup.Compare(sides[0], sides[1], compare.SippyThresholds())
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(changes)
			} else {
				err = printChanges(cmd.OutOrStdout(), sides, changes, all)
			}
			if err == nil && slices.ContainsFunc(changes, func(c rollup.Change) bool { return c.Kind == rollup.Regression }) {
				return &exitError{Code: exitNoGo}
			}
			return err
		},
	}
	files.register(cmd.Flags())
	past.register(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object for each test")
	cmd.Flags().BoolVar(&all, "all", false, "print also what has not changed")
	return cmd
}

// properties are those by which a run can be divided.
func properties() map[string]func(rollup.Row) string {
	return map[string]func(rollup.Row) string{
		"platform": func(r rollup.Row) string { return r.Platform },
		"arch":     func(r rollup.Row) string { return r.Arch },
		"accel":    func(r rollup.Row) string { return r.Accel },
		"image":    func(r rollup.Row) string { return r.Image },
	}
}

// side reads "DIR", "PROPERTY=VALUE" or "DIR,PROPERTY=VALUE,...".
func (a *app) side(ctx context.Context, word string, p rollup.Policy, past historyFlags) (rollup.Side, error) {
	parts := strings.Split(word, ",")
	dir := filepath.Join(runsDir, "latest")
	if !strings.Contains(parts[0], "=") {
		dir, parts = parts[0], parts[1:]
	}
	r, _, err := a.loadWith(ctx, dir, p, past)
	if err != nil {
		return rollup.Side{}, err
	}
	rows := r.Results
	for _, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		property := properties()[name]
		if property == nil {
			return rollup.Side{}, usagef("%s: there is no property %q; there are %s", word, name, strings.Join(slices.Sorted(maps.Keys(properties())), ", "))
		}
		values := make(map[string]bool)
		rows = slices.DeleteFunc(slices.Clone(rows), func(row rollup.Row) bool {
			values[property(row)] = true
			return property(row) != value
		})
		if len(rows) == 0 {
			return rollup.Side{}, usagef("%s: no test with %s=%s; there are: %s", word, name, value, strings.Join(slices.Sorted(maps.Keys(values)), ", "))
		}
	}
	return rollup.Side{Name: word, Run: r.Run, Rows: rows, Part: len(parts) > 0}, nil
}

func printChanges(out io.Writer, sides []rollup.Side, changes []rollup.Change, all bool) error {
	counts := make(map[string]int)
	for _, c := range changes {
		counts[c.Kind]++
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s -> %s:", sides[0].Name, sides[1].Name)
	for _, kind := range rollup.ChangeKinds() {
		if counts[kind] > 0 {
			fmt.Fprintf(&b, " %d %s", counts[kind], kind)
		}
	}
	b.WriteString("\n")
	last := ""
	for _, c := range changes {
		if !all && (c.Kind == rollup.StillGood || c.Kind == rollup.Untold && c.Method == "labels") {
			continue
		}
		if c.Kind != last {
			fmt.Fprintf(&b, "\n%s\n", c.Kind)
			last = c.Kind
		}
		fmt.Fprintf(&b, "  %s: by %s: %s\n", c.Test, c.Method, c.Text)
		if c.After != nil && c.Kind != rollup.Fix && c.Kind != rollup.StillGood {
			if c.After.Message != "" {
				first, _, _ := strings.Cut(c.After.Message, "\n")
				fmt.Fprintf(&b, "      %s\n", first)
			}
			if c.After.Reproduce != "" {
				fmt.Fprintf(&b, "      reproduce: %s\n", c.After.Reproduce)
			}
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
