package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"seatrial/internal/clusterhost"
	"seatrial/platforms"
	"seatrial/platforms/qemu"
)

func (a *app) gcCommand() *cobra.Command {
	var o platforms.SweepOptions
	var kept bool
	cmd := &cobra.Command{
		Use: "gc", Short: "Remove what dead runs left behind", Args: positional(cobra.NoArgs),
		Long: `Remove the processes and files of runs that died without tearing down, such as by
kill -9. What belongs to a run that lives stays; so do machines that were kept by
--keep or spawn --detach, unless --kept is given. Each run does the same when it
starts.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			removed, err := clusterhost.Sweep(a.runtimeDir(), o)
			if kept && err == nil {
				var ended []platforms.Removed
				ended, err = a.endKept(cmd.Context(), o.DryRun)
				removed = append(removed, ended...)
			}
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
	cmd.Flags().BoolVar(&kept, "kept", false, "end machines that were kept, too")
	return cmd
}

// endKept ends the clusters that were kept, before their time.
func (a *app) endKept(ctx context.Context, dryRun bool) ([]platforms.Removed, error) {
	handles, err := qemu.Kept(a.runtimeDir())
	if err != nil {
		return nil, err
	}
	var removed []platforms.Removed
	for _, h := range handles {
		if !dryRun {
			cluster, err := qemu.Attach(ctx, a.runtimeDir(), h, a.log)
			if errors.Is(err, qemu.ErrNotKept) {
				continue // its time came just now
			}
			if err == nil {
				err = cluster.Destroy(ctx)
			}
			if err != nil {
				return removed, err
			}
		}
		removed = append(removed, platforms.Removed{Kind: "cluster", Name: h, Why: "it was kept"})
	}
	return removed, nil
}
