package basic

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"seatrial/harness"
)

// kernelChecks are about the kernel, its settings and what it hands out.
func kernelChecks() []check {
	return []check{kernelTaint(), kernelModules(), entropy(), clock(), sysctls(), cgroupV2()}
}

func kernelTaint() check {
	return check{
		Subtest: harness.Subtest{
			Name: "KernelTaint", Doc: "Nothing went wrong in the kernel that it remembers as a taint.",
			Run: judge(taintFaults, question{"tainted", "cat /proc/sys/kernel/tainted"}),
		},
		sabotage: []harness.Sabotage{{
			Name:    "taint-warning",
			Break:   `echo 512 >/run/seatrial-tainted && mount --bind /run/seatrial-tainted /proc/sys/kernel/tainted`,
			Undo:    `umount /proc/sys/kernel/tainted && rm /run/seatrial-tainted`,
			Message: `warning`,
		}},
	}
}

// taints names the bits of the kernel's taint mask that tell of a fault; the
// others tell of modules that somebody chose to load. Bits and their meaning
// are those of Documentation/admin-guide/tainted-kernels.rst.
func taints() map[int]string {
	return map[int]string{
		1:  "a module was loaded by force",
		3:  "a module was unloaded by force",
		4:  "a processor reported a machine check",
		5:  "a page was in a bad state",
		7:  "the kernel died (oops or bug)",
		9:  "the kernel issued a warning",
		14: "a soft lockup occurred",
	}
}

func taintFaults(got answers) []string {
	tainted := got["tainted"]
	mask, err := strconv.ParseUint(tainted.out, 10, 64)
	if err != nil {
		return []string{fmt.Sprintf("the kernel's taint mask cannot be read: %s", tainted)}
	}
	var faults []string
	for bit := range 64 {
		if text, ok := taints()[bit]; ok && mask&(1<<bit) != 0 {
			faults = append(faults, fmt.Sprintf("the kernel is tainted: %s (bit %d of %d)", text, bit, mask))
		}
	}
	return faults
}

func kernelModules() check {
	return check{
		Subtest: harness.Subtest{
			Name: "KernelModules", Doc: "The modules of the running kernel are installed, with their index.",
			Run: judge(moduleFaults,
				question{"index", `wc -l <"/lib/modules/$(uname -r)/modules.dep"`},
				question{"loop", "modprobe --dry-run loop"}),
		},
		sabotage: []harness.Sabotage{{
			Name:    "modules-hidden",
			Break:   `mount -t tmpfs none "/lib/modules/$(uname -r)"`,
			Undo:    `umount "/lib/modules/$(uname -r)"`,
			Message: `modules\.dep`,
		}},
	}
}

func moduleFaults(got answers) []string {
	var faults []string
	index := got["index"]
	if n, err := strconv.Atoi(index.out); err != nil || n == 0 {
		faults = append(faults, fmt.Sprintf("the running kernel has no modules.dep: %s", index))
	}
	if loop := got["loop"]; !loop.ok() {
		faults = append(faults, fmt.Sprintf("the module loop cannot be found: %s", loop))
	}
	return faults
}

func entropy() check {
	const read = "timeout 10 od -An -v -tx1 -w32 -N32 /dev/random"
	return check{
		Subtest: harness.Subtest{
			Name: "Entropy", Doc: "The kernel's random generator is ready, and gives other bytes each time.",
			Run: judge(entropyFaults, question{"first", read}, question{"second", read}),
		},
		sabotage: []harness.Sabotage{{
			Name:    "random-is-zero",
			Break:   `mount --bind /dev/zero /dev/random`,
			Undo:    `umount /dev/random`,
			Message: `same 32 bytes twice`,
		}},
	}
}

func entropyFaults(got answers) []string {
	first, second := got["first"], got["second"]
	for _, a := range []answer{first, second} {
		if len(strings.Fields(a.out)) != 32 || !a.ok() {
			return []string{fmt.Sprintf("/dev/random did not give 32 bytes in 10 seconds: %s", a)}
		}
	}
	if first.out == second.out {
		return []string{fmt.Sprintf("/dev/random gave the same 32 bytes twice: %s", first)}
	}
	return nil
}

func clock() check {
	return check{
		Subtest: harness.Subtest{
			Name: "Clock", Doc: fmt.Sprintf("The machine's clock differs from the harness's by less than %s.", clockTolerance),
			Run: func(ctx context.Context, t *harness.T) {
				before := time.Now()
				out := t.Machine(0).Must(ctx, "date +%s.%N")
				t.Report(clockFaults(out, before, time.Now()))
			},
		},
		sabotage: []harness.Sabotage{{
			// The time service would mend the clock at once.
			Name:    "clock-ahead",
			Break:   "systemctl stop systemd-timesyncd && " + setClock(10*time.Minute),
			Undo:    setClock(-10*time.Minute) + " && systemctl start systemd-timesyncd",
			Message: `10m.* ahead`,
		}},
	}
}

// setClock makes the script that sets the clock ahead, or back, of what it is.
func setClock(by time.Duration) string {
	return fmt.Sprintf(`date -s "$(date -d '%+d seconds' +@%%s.%%N)"`, int(by.Seconds()))
}

// clockTolerance is how far a clock may be off. A time service keeps it within
// milliseconds; without one, a machine's clock starts with that of its host,
// which tells full seconds.
const clockTolerance = 5 * time.Second

// clockFaults judges the time that a guest printed, in seconds since 1970, at
// some moment between before and after.
func clockFaults(out string, before, after time.Time) []string {
	whole, fraction, _ := strings.Cut(out, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	nanos, errNanos := strconv.ParseInt(fraction, 10, 64)
	if err != nil || errNanos != nil {
		return []string{fmt.Sprintf("the machine's time %q is not a number of seconds", out)}
	}
	guest := time.Unix(seconds, nanos)
	switch {
	case guest.Before(before.Add(-clockTolerance)):
		return []string{fmt.Sprintf("the machine's clock is %s behind: it says %s", before.Sub(guest).Round(time.Second), guest.UTC().Format(time.RFC3339))}
	case guest.After(after.Add(clockTolerance)):
		return []string{fmt.Sprintf("the machine's clock is %s ahead: it says %s", guest.Sub(after).Round(time.Second), guest.UTC().Format(time.RFC3339))}
	}
	return nil
}

// sysctl is a kernel parameter with the least value that an image may ship.
type sysctl struct {
	path  string // below /proc/sys
	least int
	why   string
}

func sysctlFloor() []sysctl {
	return []sysctl{
		{"kernel/randomize_va_space", 2, "stack, libraries and heap have random addresses"},
		{"kernel/pid_max", 32768, "there are enough process IDs for a server"},
		{"fs/protected_hardlinks", 1, "hard links to other people's files are refused"},
		{"fs/protected_symlinks", 1, "symbolic links of others in /tmp are not followed"},
		{"net/ipv4/tcp_syncookies", 1, "a SYN flood does not fill the queue"},
	}
}

func sysctls() check {
	var files []string
	for _, s := range sysctlFloor() {
		files = append(files, s.path)
	}
	return check{
		Subtest: harness.Subtest{
			Name: "Sysctl", Doc: "Kernel parameters that protect every user have their values.",
			Run: judge(sysctlFaults, question{"values", "cd /proc/sys && grep -H . " + strings.Join(files, " ")}),
		},
		sabotage: []harness.Sabotage{{
			Name:    "addresses-not-random",
			Break:   `echo 0 >/proc/sys/kernel/randomize_va_space`,
			Undo:    `echo 2 >/proc/sys/kernel/randomize_va_space`,
			Message: `kernel/randomize_va_space is "0"`,
		}},
	}
}

func sysctlFaults(got answers) []string {
	values := map[string]string{}
	for line := range strings.Lines(got["values"].out) {
		path, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		values[path] = value
	}
	var faults []string
	for _, s := range sysctlFloor() {
		if n, err := strconv.Atoi(values[s.path]); err != nil || n < s.least {
			faults = append(faults, fmt.Sprintf("%s is %q, want at least %d: %s", s.path, values[s.path], s.least, s.why))
		}
	}
	return faults
}

func cgroupV2() check {
	return check{
		Subtest: harness.Subtest{
			Name: "CgroupV2", Doc: "The unified control group hierarchy is mounted, with the controllers that containers need.",
			Run: func(ctx context.Context, t *harness.T) {
				got := ask(ctx, t,
					question{"cmdline", "cat /proc/cmdline"},
					question{"type", "stat -f -c %T /sys/fs/cgroup"},
					question{"controllers", "cat /sys/fs/cgroup/cgroup.controllers"})
				if strings.Contains(got["cmdline"].out, "systemd.unified_cgroup_hierarchy=0") {
					t.Skipf("the kernel's command line asks for the legacy hierarchy")
				}
				t.Report(cgroupFaults(got))
			},
		},
		sabotage: []harness.Sabotage{{
			Name: "memory-controller-missing",
			Break: `echo cpu io pids >/run/seatrial-controllers
mount --bind /run/seatrial-controllers /sys/fs/cgroup/cgroup.controllers`,
			Undo:    `umount /sys/fs/cgroup/cgroup.controllers && rm /run/seatrial-controllers`,
			Message: `no controller memory`,
		}},
	}
}

func cgroupFaults(got answers) []string {
	if kind := got["type"]; kind.out != "cgroup2fs" {
		return []string{fmt.Sprintf("/sys/fs/cgroup is not the unified hierarchy but %s", kind)}
	}
	var faults []string
	controllers := " " + got["controllers"].out + " "
	for _, want := range []string{"cpu", "io", "memory", "pids"} {
		if !strings.Contains(controllers, " "+want+" ") {
			faults = append(faults, fmt.Sprintf("no controller %s; there are %q", want, got["controllers"].out))
		}
	}
	return faults
}
