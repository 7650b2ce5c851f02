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
	var kept, templates bool
	cmd := &cobra.Command{
		Use: "gc", Short: "Remove what dead runs left behind", Args: positional(cobra.NoArgs),
		Long: `Remove the processes and files of runs that died without tearing down, such as by
kill -9. What belongs to a run that lives stays; so do machines that were kept by
--keep or spawn --detach, unless --kept is given. Each run does the same when it
starts. Templates of machines that nobody can use any more are removed, too; with
--templates all are, and the next run makes new ones.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			removed, err := clusterhost.Sweep(a.runtimeDir(), o)
			if kept && err == nil {
				var ended []platforms.Removed
				ended, err = a.endKept(cmd.Context(), o.DryRun)
				removed = append(removed, ended...)
			}
			if err == nil {
				var unused []platforms.Removed
				unused, err = a.removeTemplates(templates, o.DryRun)
				removed = append(removed, unused...)
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
	cmd.Flags().BoolVar(&templates, "templates", false, "remove all templates of machines, too")
	cmd.Flags().BoolVar(&kept, "kept", false, "end machines that were kept, too")
	return cmd
}

// removeTemplates removes templates of machines that are out of use, or all of them.
func (a *app) removeTemplates(all, dryRun bool) ([]platforms.Removed, error) {
	store := qemu.TemplateStore(a.cacheDir("templates"))
	if all {
		return store.Clear(dryRun)
	}
	return store.Sweep(dryRun)
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
