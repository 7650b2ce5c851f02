package docker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"seatrial/harness"
)

func selinux() harness.Test {
	return harness.Test{
		Name:    "docker.selinux",
		Doc:     "Under an enforcing SELinux, Docker labels containers apart from each other, and causes no denial.",
		Timeout: 2 * time.Minute,
		Needs:   harness.Needs{Image: needs("docker", "selinux"), Platform: fixtures()},
		Run:     runSELinux,
		Sabotage: []harness.Sabotage{
			withRuntime(harness.Sabotage{Name: "label-dropped", Message: `the process has the SELinux label`}, `del(.process.selinuxLabel)`),
		},
	}
}

// runSELinux makes the machine enforcing by itself: that it stays so is
// coreos.selinux.enforce's to prove.
func runSELinux(ctx context.Context, t *harness.T) {
	m := t.Machine(0)
	image := pullWith(ctx, t, func(config map[string]any) { config["selinux-enabled"] = true })
	m.MustRoot(ctx, "setenforce 1")
	if _, ok := info(ctx, t).securityOption("selinux", "name"); !ok {
		t.Errorf("the daemon does not say that it uses SELinux")
	}
	label := func() string {
		return strings.TrimRight(m.MustRoot(ctx, container(image, "", "cat", "/proc/self/attr/current")), "\x00\n")
	}
	t.Report(labelFaults(label(), label()))
}

// labelFaults wants the labels of two containers to be of a container's type
// and to differ in their categories.
func labelFaults(one, two string) []string {
	var faults []string
	for _, label := range []string{one, two} {
		fields := strings.SplitN(label, ":", 4)
		if len(fields) != 4 || !strings.Contains(fields[2], "container") && !strings.HasPrefix(fields[2], "svirt_lxc") || !strings.Contains(fields[3], ":c") {
			faults = append(faults, fmt.Sprintf("the process has the SELinux label %q, want a container's type and two categories", label))
		}
	}
	if one == two {
		faults = append(faults, fmt.Sprintf("two containers have the same label %q", one))
	}
	return faults
}
