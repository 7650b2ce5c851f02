package cli

import (
	"github.com/spf13/cobra"

	"seatrial/internal/clusterhost"
)

// clusterHostCommand is the child process that owns a cluster's network and
// machines. It is no command for people.
func (a *app) clusterHostCommand() *cobra.Command {
	return &cobra.Command{
		Use: clusterhost.Subcommand, Hidden: true, Args: positional(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := a.interruptible(cmd.Context())
			defer stop()
			return clusterhost.Main(ctx, a.env.Stdin, a.env.Stdout, a.env.Stderr)
		},
	}
}
