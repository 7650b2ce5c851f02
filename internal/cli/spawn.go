package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"seatrial/harness"
	"seatrial/internal/provision"
	"seatrial/platforms"
)

// spawnFlags are the flags of `spawn`.
type spawnFlags struct {
	targetFlags
	count     int
	userData  string
	memoryMiB int
	cpus      int
	firmware  string
	tpm       bool
	internet  bool
	detach    bool
	keepFor   time.Duration
	out       string
}

func (a *app) spawnCommand() *cobra.Command {
	var f spawnFlags
	cmd := &cobra.Command{
		Use: "spawn", Short: "Boot machines and enter the first", Args: positional(cobra.NoArgs),
		Long: `Boot machines from an image and give a shell in the first. They are removed when
the shell ends. With --detach they stay instead, and are entered by "seatrial ssh".`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if len(f.archs) != 1 || f.count < 1 {
				return usagef("spawn boots machines of one architecture, at least one")
			}
			ctx, stop := a.interruptible(cmd.Context())
			defer stop()
			return a.spawn(ctx, &f)
		},
	}
	fs := cmd.Flags()
	f.targetFlags.register(fs)
	fs.IntVarP(&f.count, "count", "c", 1, "number of machines")
	fs.StringVar(&f.userData, "user-data", "", "file with Ignition, Butane, cloud-config or a script")
	fs.IntVar(&f.memoryMiB, "memory", 0, "memory of each machine in MiB")
	fs.IntVar(&f.cpus, "cpus", 0, "CPUs of each machine")
	fs.StringVar(&f.firmware, "firmware", "", "bios, uefi or uefi-secure (default: the architecture's)")
	fs.BoolVar(&f.tpm, "tpm", false, "give each machine a TPM")
	fs.BoolVar(&f.internet, "internet", false, "let the machines reach the outside")
	fs.BoolVar(&f.detach, "detach", false, "leave the machines running")
	fs.DurationVar(&f.keepFor, "keep-for", time.Hour, "how long detached machines stay")
	fs.StringVar(&f.out, "out", "", "directory for consoles (default: a temporary one)")
	return cmd
}

func (a *app) spawn(ctx context.Context, f *spawnFlags) error {
	spec := platforms.MachineSpec{
		MemoryMiB: f.memoryMiB, CPUs: f.cpus, Firmware: platforms.Firmware(f.firmware), TPM: f.tpm,
		Cold: f.start == string(harness.StartCold) || f.start == string(harness.StartAuto) && f.userData != "",
	}
	if f.userData != "" {
		data, err := os.ReadFile(f.userData)
		if err != nil {
			return usage(err)
		}
		if _, err := provision.Validate(data, provision.Options{IgnitionMax: ignitionMax}); err != nil {
			return usagef("%s: %w", f.userData, err)
		}
		spec.UserData = data
	}
	dir, err := spawnDir(f.out)
	if err != nil {
		return err
	}
	t, err := a.openTargets(ctx, &f.targetFlags)
	if err != nil {
		return err
	}
	defer t.Close()
	cluster, err := t.platforms[0].NewCluster(ctx, platforms.ClusterSpec{Name: "spawn", Dir: dir, Internet: f.internet})
	if err != nil {
		return err
	}
	err = a.enter(ctx, f, cluster, spec, dir)
	if err == nil && f.detach {
		return nil
	}
	return errors.Join(err, cluster.Destroy(context.WithoutCancel(ctx)))
}

// spawnDir is the directory of the machines' consoles.
func spawnDir(out string) (string, error) {
	if out == "" {
		return os.MkdirTemp("", "seatrial-spawn-")
	}
	return filepath.Clean(out), os.MkdirAll(out, 0o755)
}

// enter boots the machines, and gives the user a shell in the first or leaves
// them running.
func (a *app) enter(ctx context.Context, f *spawnFlags, cluster platforms.Cluster, spec platforms.MachineSpec, dir string) error {
	var first platforms.Machine
	for i := range f.count {
		spec.Name = fmt.Sprintf("m%d", i)
		spec.Progress = func(state string) { fmt.Fprintf(a.env.Stderr, "%s: %s\n", spec.Name, state) }
		m, err := cluster.Boot(ctx, spec)
		if err != nil {
			return fmt.Errorf("%w\nthe console is in %s", err, filepath.Join(dir, spec.Name))
		}
		fmt.Fprintf(a.env.Stderr, "%s: ready at %v\n", spec.Name, m.Addresses())
		if first == nil {
			first = m
		}
	}
	if f.detach {
		keeper, ok := cluster.(platforms.Keeper)
		if !ok {
			return fmt.Errorf("leave machines running: %w", platforms.ErrUnsupported)
		}
		handle, err := keeper.Keep(ctx, f.keepFor)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.env.Stdout, "seatrial ssh %s\n", handle)
		return nil
	}
	sh, ok := first.(platforms.Sheller)
	if !ok {
		return fmt.Errorf("enter %s: %w", first.ID(), platforms.ErrUnsupported)
	}
	return a.shell(ctx, sh)
}
