package basic

import (
	"fmt"
	"strings"
	"time"

	"seatrial/harness"
)

// The swap file of cl.swap_activation. The kernel uses its first page for
// itself.
const (
	swapFile    = "/var/vm/swapfile1"
	swapMiB     = 64
	swapUnit    = "var-vm-swapfile1.swap"
	swapUsedKiB = swapMiB<<10 - 4
)

func swapActivation() harness.Test {
	return harness.Test{
		Name:    "cl.swap_activation",
		Doc:     "Swap on a file, set up by units of the provisioning config, is in use after the first boot.",
		Timeout: time.Minute,
		Needs: harness.Needs{
			Image:    needs("ignition"),
			UserData: swapUserData(),
			Cold:     true,
		},
		Run: judge(swapFaults,
			question{"swaps", "cat /proc/swaps"},
			question{"unit", "systemctl is-active " + swapUnit},
			question{"swappiness", "cat /proc/sys/vm/swappiness"}),
		Sabotage: []harness.Sabotage{{
			Name:    "swap-stopped",
			Break:   "systemctl stop " + swapUnit,
			Undo:    "systemctl start " + swapUnit,
			Message: `swap on /var/vm/swapfile1 is not in use`,
		}},
	}
}

// swapUserData is a Butane config of the oldest version, which every Ignition
// of spec 3 can be given.
func swapUserData() string {
	return fmt.Sprintf(`variant: fcos
version: 1.0.0
storage:
  files:
    - path: /etc/sysctl.d/80-swappiness.conf
      mode: 0644
      contents:
        inline: |
          vm.swappiness=10
systemd:
  units:
    - name: %[1]s
      enabled: true
      contents: |
        [Unit]
        Description=Swap on a file
        Requires=create-swapfile.service
        After=create-swapfile.service

        [Swap]
        What=%[2]s

        [Install]
        WantedBy=multi-user.target
    - name: create-swapfile.service
      contents: |
        [Unit]
        Description=Make the swap file
        ConditionPathExists=!%[2]s
        RequiresMountsFor=/var
        DefaultDependencies=no

        [Service]
        Type=oneshot
        ExecStart=/usr/bin/mkdir -p /var/vm
        ExecStart=/usr/bin/fallocate -l %[3]dM %[2]s
        ExecStart=/usr/bin/chmod 600 %[2]s
        ExecStart=/usr/sbin/mkswap %[2]s
        RemainAfterExit=true
`, swapUnit, swapFile, swapMiB)
}

func swapFaults(got answers) []string {
	var faults []string
	if unit := got["unit"]; unit.out != "active" {
		faults = append(faults, fmt.Sprintf("%s is %s", swapUnit, unit.out))
	}
	if swappiness := got["swappiness"]; swappiness.out != "10" {
		faults = append(faults, fmt.Sprintf("vm.swappiness is %s, the config sets 10", swappiness))
	}
	size := ""
	for line := range strings.Lines(got["swaps"].out) {
		// Filename, Type, Size in KiB, Used, Priority
		if f := strings.Fields(line); len(f) >= 3 && f[0] == swapFile {
			size = f[2]
		}
	}
	switch {
	case size == "":
		faults = append(faults, fmt.Sprintf("swap on %s is not in use: %s", swapFile, got["swaps"]))
	case size != fmt.Sprint(swapUsedKiB):
		faults = append(faults, fmt.Sprintf("swap on %s has %s KiB, want %d", swapFile, size, swapUsedKiB))
	}
	return faults
}
