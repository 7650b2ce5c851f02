package cli

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"seatrial/internal/image"
	"seatrial/platforms/qemu"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Say what this host has, what it lacks and what installs it", Args: positional(cobra.NoArgs),
		Long: `Say what this host has for running guests and building the reference image, what
it lacks, and the command that installs it. The exit status is 3 if something is
missing without which guests of an architecture cannot run at all.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := a.interruptible(cmd.Context())
			defer stop()
			out := cmd.OutOrStdout()
			checks, err := qemu.Doctor(ctx, a.cacheDir("host"))
			if err != nil {
				return err
			}
			for _, c := range checks {
				say(out, c.OK, c.Name, c.Detail, c.Fix)
			}
			sayHost(out)
			for _, arch := range []string{"amd64", "arm64"} {
				missing := image.MissingTools(arch)
				say(out, len(missing) == 0, "tools to build the reference image for "+arch, strings.Join(missing, ", "), "")
			}
			if slices.ContainsFunc(checks, func(c qemu.Check) bool { return c.Needed && !c.OK }) {
				return &exitError{Code: exitUnknown}
			}
			return nil
		},
	}
}

// say prints one line of a diagnosis, and what mends it.
func say(w io.Writer, ok bool, what, detail, install string) {
	mark := "ok      "
	if !ok {
		mark = "MISSING "
	}
	if detail != "" {
		detail = ": " + detail
	}
	fmt.Fprintf(w, "%s%s%s\n", mark, what, detail)
	if install != "" {
		fmt.Fprintf(w, "        to install: %s\n", install)
	}
}

func sayHost(w io.Writer) {
	total, err := meminfo("MemTotal")
	available, err2 := meminfo("MemAvailable")
	err = errors.Join(err, err2)
	detail := fmt.Sprintf("%d MiB, of which %d are available", total, available)
	if err != nil {
		detail = err.Error()
	}
	say(w, err == nil && available >= qemu.DefaultMemoryMiB+reserveMiB, "memory", detail, "")
	say(w, true, "CPUs", fmt.Sprint(runtime.NumCPU()), "")
}
