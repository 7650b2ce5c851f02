package basic

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/platforms"
)

func reboot() harness.Test {
	return harness.Test{
		Name:    "sys.reboot",
		Doc:     "The machine comes back from a reboot as itself: a new boot, the same identity, its state kept and its runtime state gone.",
		Timeout: 3 * time.Minute,
		Needs:   harness.Needs{Platform: []platforms.Capability{platforms.RebootCap}, Cold: true},
		Run: func(ctx context.Context, t *harness.T) {
			state := fmt.Sprintf("written %d", time.Now().UnixNano())
			before := ask(ctx, t, append(identity(),
				question{"write", "mkdir -p /var/lib/seatrial && echo '" + state + "' | tee /run/seatrial-state >/var/lib/seatrial/state"})...)
			t.Machine(0).Reboot(ctx)
			after := ask(ctx, t, append(identity(),
				question{"state", "cat /var/lib/seatrial/state"},
				question{"runtime", "test ! -e /run/seatrial-state"},
				question{"cleanup", "rm -rf /var/lib/seatrial"})...)
			t.Report(rebootFaults(state, before, after))
		},
		Sabotage: []harness.Sabotage{{
			Name:    "state-in-memory",
			Break:   `mkdir -p /var/lib/seatrial && mount -t tmpfs none /var/lib/seatrial`,
			Undo:    `rm -rf /var/lib/seatrial`,
			Message: `state did not survive`,
		}},
	}
}

// identity asks what a machine is known by. The names of identityKept must
// have the same answers after a reboot.
func identity() []question {
	return []question{
		{"boot ID", "cat /proc/sys/kernel/random/boot_id"},
		{"machine ID", "cat /etc/machine-id"},
		{"host name", "uname -n"},
		{"host keys", "cat /etc/ssh/ssh_host_*_key.pub"},
	}
}

func identityKept() []string { return []string{"machine ID", "host name", "host keys"} }

func rebootFaults(state string, before, after answers) []string {
	var faults []string
	if before["boot ID"].out == after["boot ID"].out {
		faults = append(faults, fmt.Sprintf("the boot ID %s did not change", after["boot ID"].out))
	}
	for _, name := range identityKept() {
		if before[name].out != after[name].out {
			faults = append(faults, fmt.Sprintf("the %s changed from %s to %s", name, before[name], after[name]))
		}
	}
	if a := after["state"]; a.out != state {
		faults = append(faults, fmt.Sprintf("the state did not survive: want %q, got %s", state, a))
	}
	if !after["runtime"].ok() {
		faults = append(faults, "what was in /run is still there")
	}
	return faults
}

func secondBoot() harness.Test {
	return harness.Test{
		Name:    "cl.network.initramfs.second-boot",
		Doc:     "On a second boot the network is started by the system, and not in the initramfs.",
		Timeout: 3 * time.Minute,
		Needs: harness.Needs{
			Platform: []platforms.Capability{platforms.RebootCap},
			Image:    needs("networkd", "ignition"),
			Cold:     true,
		},
		Run: func(ctx context.Context, t *harness.T) {
			t.Machine(0).Reboot(ctx)
			got := ask(ctx, t, question{"starts", `journalctl -b -o json --no-pager --output-fields=UNIT,JOB_TYPE,JOB_RESULT _PID=1 UNIT=systemd-networkd.service + _PID=1 UNIT=initrd-switch-root.target`})
			starts, err := parseStarts(got["starts"].out)
			if err != nil {
				t.Fatalf("%v", err)
			}
			t.Report(secondBootFaults(starts))
		},
		Sabotage: []harness.Sabotage{{
			Name:    "network-in-initramfs",
			Break:   `echo 'set kargs="rd.systemd.wants=systemd-networkd.service"' >/boot/grub/kargs.cfg && sync -f /boot`,
			Undo:    `rm /boot/grub/kargs.cfg && sync -f /boot`,
			Message: `network was started in the initramfs`,
		}},
	}
}

// start says when systemd started a unit, since the kernel did.
type start struct {
	unit string
	at   time.Duration
}

// parseStarts reads a journal in JSON, and returns the jobs that started units.
func parseStarts(out string) ([]start, error) {
	var starts []start
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var entry struct {
			Unit      string `json:"UNIT"`
			JobType   string `json:"JOB_TYPE"`
			JobResult string `json:"JOB_RESULT"`
			Monotonic string `json:"__MONOTONIC_TIMESTAMP"` // microseconds
		}
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			return nil, fmt.Errorf("read the journal: %w: %s", err, lines.Text())
		}
		if entry.JobType != "start" || entry.JobResult != "done" {
			continue
		}
		at, err := strconv.ParseInt(entry.Monotonic, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read the journal: time %q: %w", entry.Monotonic, err)
		}
		starts = append(starts, start{entry.Unit, time.Duration(at) * time.Microsecond})
	}
	return starts, lines.Err()
}

func secondBootFaults(starts []start) []string {
	const network, switchRoot = "systemd-networkd.service", "initrd-switch-root.target"
	var switched time.Duration
	for _, s := range starts {
		if s.unit == switchRoot {
			switched = s.at
		}
	}
	if switched == 0 {
		return []string{"the journal does not tell when the initramfs was left"}
	}
	started := false
	for _, s := range starts {
		if s.unit == network && s.at < switched {
			return []string{fmt.Sprintf("the network was started in the initramfs: %s after %s, before the root was switched at %s", s.unit, s.at, switched)}
		}
		started = started || s.unit == network
	}
	if !started {
		return []string{"the network was not started at all"}
	}
	return nil
}
