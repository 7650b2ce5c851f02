package fake

import (
	"bufio"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"mvdan.cc/sh/v3/interp"

	"seatrial/platforms"
)

// systemctl knows the state of the system, restarts it and switches it off. Of
// the units it knows the SSH server, which can be stopped.
func systemctl(_ context.Context, p *process, args []string) error {
	isOption := func(a string) bool { return strings.HasPrefix(a, "-") }
	words := slices.DeleteFunc(slices.Clone(args), isOption)
	if len(words) == 0 {
		return p.fail(1, "systemctl: no command")
	}
	failed := p.m.failedUnits()
	switch words[0] {
	case "is-system-running":
		if len(failed) > 0 {
			if err := p.print("degraded\n"); err != nil {
				return err
			}
			return interp.ExitStatus(1)
		}
		return p.print("running\n")
	case "list-units":
		for _, unit := range failed {
			if err := p.print("%s loaded failed failed\n", unit); err != nil {
				return err
			}
		}
		return nil
	case "is-active", "is-enabled", "cat":
		return interp.ExitStatus(3)
	}
	if !p.root {
		return p.fail(1, "systemctl: interactive authentication required")
	}
	switch words[0] {
	case "reboot":
		p.m.restart()
	case "poweroff":
		p.m.Halt()
	case "stop":
		if slices.ContainsFunc(words[1:], func(unit string) bool { return strings.HasPrefix(unit, "ssh") }) {
			p.m.StopSSH()
		}
	}
	return nil
}

// journalctl prints the journal of the present boot, and with -f what is added
// to it: all of it, or what comes after a cursor or a time; with --show-cursor
// only where it ends.
func journalctl(ctx context.Context, p *process, args []string) error {
	from := 0
	for _, a := range args {
		option, value, _ := strings.Cut(a, "=")
		number, err := strconv.ParseInt(strings.TrimPrefix(value, "@"), 10, 64)
		switch option {
		case "--show-cursor":
			return p.print("-- cursor: %d\n", p.m.journal.end())
		case "--after-cursor":
			from = int(number)
		case "--since":
			from = p.m.journal.at(time.Unix(number, 0))
		default:
			continue
		}
		if err != nil {
			return p.fail(1, "journalctl: %v", err)
		}
	}
	return p.m.journal.copy(ctx, p.stdout, from, slices.Contains(args, "-f"))
}

// systemdCat is `systemd-cat -t PROGRAM`.
func systemdCat(_ context.Context, p *process, args []string) error {
	if len(args) != 2 || args[0] != "-t" || p.stdin == nil {
		return p.fail(1, "systemd-cat: want -t PROGRAM and input")
	}
	lines := bufio.NewScanner(p.stdin)
	for lines.Scan() {
		p.m.Log(args[1], lines.Text())
	}
	if err := lines.Err(); err != nil {
		return p.fail(1, "systemd-cat: %v", err)
	}
	return nil
}

// lsblk is `lsblk OPTION... DEVICE`, and prints the device's size in bytes.
func lsblk(_ context.Context, p *process, args []string) error {
	const (
		mib      = 1 << 20
		imageMiB = 2048
	)
	device := ""
	if len(args) > 0 {
		device = args[len(args)-1]
	}
	if device == "/dev/vda" {
		return p.print("%d\n", max(imageMiB, imageMiB+p.m.spec.GrowDiskMiB)*mib)
	}
	i := slices.IndexFunc(p.m.spec.Disks, func(d platforms.Disk) bool { return device == "/dev/disk/by-id/virtio-"+d.Serial })
	if i < 0 {
		return p.fail(32, "lsblk: %s: not a block device", device)
	}
	return p.print("%d\n", p.m.spec.Disks[i].SizeMiB*mib)
}
