package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"seatrial/internal/gate"
	"seatrial/internal/rollup"
)

func (a *app) gateCommand() *cobra.Command {
	var files policyFlags
	var past historyFlags
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "gate [--policy FILE] DIR ...", Short: "Say whether the images of runs may ship",
		Long: `Judge runs by the policy of a channel, and give each reason with its evidence. All
runs must be go for the answer to be go.

The exit code is that of the answer: 0 go, 1 no-go, 3 unknown. A policy file with
a mistake is wrong use, exit code 2, and opens nothing.`,
		Args: positional(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			p, err := files.policy()
			if err != nil {
				return err
			}
			by, err := gatePolicy(file)
			if err != nil {
				return err
			}
			var gates []rollup.Gate
			for _, dir := range dirs {
				fold, err := folded(dir)
				if err != nil {
					return noRun(err)
				}
				p, err := a.remembering(cmd.Context(), p, past, fold.Result().Run.ID)
				if err != nil {
					return err
				}
				p.ReadText = textsIn(dir)
				gates = append(gates, in(dir, judged(fold, p, by).Gate))
			}
			all := gate.Join(gates)
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(all)
			} else {
				err = printGate(cmd.OutOrStdout(), all)
			}
			if err != nil {
				return err
			}
			return verdictError(rollup.Result{Gate: all})
		},
	}
	files.register(cmd.Flags())
	past.register(cmd.Flags())
	cmd.Flags().StringVar(&file, "policy", "", "gate policy: what blocks in a channel")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer as in report.json")
	return cmd
}

// in makes the evidence in a run directory point there from here.
func in(dir string, g rollup.Gate) rollup.Gate {
	for i, r := range g.Reasons {
		if strings.HasPrefix(r.Evidence, "artifacts/") {
			g.Reasons[i].Evidence = filepath.Join(dir, r.Evidence)
		}
	}
	return g
}

// printGate prints an answer and its reasons, a line each; what a guest said is
// indented, and stands after a word of ours.
func printGate(w io.Writer, g rollup.Gate) error {
	channel := ""
	if g.Channel != "" {
		channel = " for " + g.Channel
	}
	if _, err := fmt.Fprintf(w, "gate%s: %s\n", channel, g.Verdict); err != nil {
		return err
	}
	for _, r := range g.Reasons {
		line := fmt.Sprintf("  %-7s  %s", r.Severity, r.Rule)
		if r.Test != "" {
			line += " " + r.Test
		}
		line += ": " + r.Text
		if r.Evidence != "" {
			line += "\n           see " + r.Evidence
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
