package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"seatrial/internal/clusterhost"
	"seatrial/platforms"
)

func (a *app) gcCommand() *cobra.Command {
	var o platforms.SweepOptions
	cmd := &cobra.Command{
		Use: "gc", Short: "Remove what dead runs left behind", Args: positional(cobra.NoArgs),
		Long: `Remove the processes and files of runs that died without tearing down, such as by
kill -9. What belongs to a run that lives, or is kept by --keep, stays. Each run
does the same when it starts.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			removed, err := clusterhost.Sweep(a.runtimeDir(), o)
			verb := "removed"
			if o.DryRun {
				verb = "would remove"
			}
			for _, r := range removed {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s: %s\n", verb, r.Kind, r.Name, r.Why)
			}
			if len(removed) == 0 && err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing is left behind")
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only say what would be removed")
	cmd.Flags().DurationVar(&o.OlderThan, "older-than", 0, "only what is older than this")
	return cmd
}
