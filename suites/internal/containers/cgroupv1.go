package containers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"seatrial/harness"
	"seatrial/suites/internal/mounts"
)

// CgroupV1Config is the provisioning config of a machine whose control groups are
// those of version 1 alone. Ignition sets the arguments on the first boot, and
// starts the machine again.
//
// With systemd's driver, which the kubelet has, runc freezes and thaws each container
// that it starts. In version 1 the kernel patches its code when the first group freezes
// and when the last one thaws, and QEMU before 8.1 loses such patches: the emulated
// guest hangs. A group that stays frozen, and that nobody is in, leaves nothing to patch.
const CgroupV1Config = `variant: flatcar
version: 1.0.0
kernel_arguments:
  should_exist:
    - systemd.unified_cgroup_hierarchy=0
    - systemd.legacy_systemd_cgroup_controller
systemd:
  units:
    - name: seatrial-frozen.service
      enabled: true
      contents: |
        [Unit]
        Description=A group that stays frozen, on an emulated machine
        ConditionVirtualization=qemu
        Before=containerd.service docker.service
        [Service]
        Type=oneshot
        ExecStart=mkdir /sys/fs/cgroup/freezer/seatrial
        ExecStart=sh -c 'echo FROZEN >/sys/fs/cgroup/freezer/seatrial/freezer.state'
        [Install]
        WantedBy=multi-user.target
`

// CgroupV1BootTimeout is for the two boots.
const CgroupV1BootTimeout = 2 * harness.DefaultBootTimeout

// CheckCgroupV1 wants a machine to have every controller of its kernel in version
// 1, and no version 2 beside it: a hybrid is taken for the one or the other.
func CheckCgroupV1(ctx context.Context, t *harness.T, m *harness.Machine) {
	for _, fault := range cgroupV1Faults(m.Must(ctx, mounts.Command), m.Must(ctx, "cat /proc/cgroups")) {
		t.Errorf("%s: %s", m.ID(), fault)
	}
}

// Hybrid is noticed by CheckCgroupV1 in a subtest.
func Hybrid(subtest string) harness.Sabotage {
	const dir = "/run/seatrial-cgroup2"
	return harness.Sabotage{
		Name: "hybrid-hierarchy", Subtest: subtest,
		Break:   `mkdir ` + dir + ` && mount -t cgroup2 none ` + dir,
		Undo:    `umount ` + dir + ` && rmdir ` + dir,
		Message: `m0: cgroup v2 is mounted at ` + dir,
	}
}

// cgroupV1Faults reads /proc/self/mounts and /proc/cgroups, whose fields are
// explained in proc(5) and cgroups(7).
func cgroupV1Faults(table, cgroups string) []string {
	var faults, mounted []string
	for _, mount := range mounts.Parse(table) {
		switch mount.FSType {
		case "cgroup2":
			faults = append(faults, "cgroup v2 is mounted at "+mount.Point)
		case "cgroup":
			mounted = append(mounted, mount.Options...)
		}
	}
	want := []string{"name=systemd", "blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"}
	for line := range strings.Lines(cgroups) {
		if f := strings.Fields(line); len(f) == 4 && f[3] == "1" && !slices.Contains(want, f[0]) {
			want = append(want, f[0])
		}
	}
	for _, controller := range want {
		if !slices.Contains(mounted, controller) {
			faults = append(faults, fmt.Sprintf("the cgroup v1 controller %s is not mounted", controller))
		}
	}
	return faults
}
