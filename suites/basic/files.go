package basic

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"seatrial/harness"
	"seatrial/suites/internal/mounts"
)

// fileChecks are about file systems and the files that guard the system.
func fileChecks() []check {
	return []check{writableState(), runtimeMounts(), filePermissions()}
}

func writableState() check {
	var questions []question
	for _, dir := range stateDirs() {
		script := fmt.Sprintf(`f=$(mktemp %s/.seatrial.XXXXXX) && echo x >"$f" && test -s "$f" && rm "$f"`, dir)
		questions = append(questions, question{dir, script})
	}
	return check{
		Subtest: harness.Subtest{
			Name: "WritableState", Doc: "The directories that hold state can be written, and have space left.",
			Run: judge(stateFaults, append(questions, question{"space", "df -P " + strings.Join(stateDirs(), " ")})...),
		},
		sabotage: []harness.Sabotage{{
			Name:    "var-tmp-read-only",
			Break:   `mount -t tmpfs -o ro none /var/tmp`,
			Undo:    `umount /var/tmp`,
			Message: `/var/tmp cannot be written: .*Read-only`,
		}, {
			Name:    "var-tmp-full",
			Break:   `mount -t tmpfs -o size=1m,mode=1777 none /var/tmp && head -c 1040000 /dev/zero >/var/tmp/filler`,
			Undo:    `umount /var/tmp`,
			Message: `/var/tmp is (9[5-9]|100) % full`,
		}},
	}
}

// stateDirs lists the directories that services and users write to.
func stateDirs() []string { return []string{"/etc", "/root", "/tmp", "/var", "/var/tmp"} }

// fullPercent is the use of a file system from which on it counts as full: the
// ext4 default keeps the last 5 % for root.
const fullPercent = 95

func stateFaults(got answers) []string {
	var faults []string
	for _, dir := range stateDirs() {
		if a := got[dir]; !a.ok() {
			faults = append(faults, fmt.Sprintf("%s cannot be written: %s", dir, a))
		}
	}
	for point, percent := range parseUse(got["space"].out) {
		if percent >= fullPercent {
			faults = append(faults, fmt.Sprintf("%s is %d %% full", point, percent))
		}
	}
	slices.Sort(faults)
	return faults
}

// parseUse reads the output of POSIX df: the used share in percent, by mount
// point.
func parseUse(out string) map[string]int {
	use := map[string]int{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		if percent, err := strconv.Atoi(strings.TrimSuffix(f[4], "%")); err == nil {
			use[strings.Join(f[5:], " ")] = percent
		}
	}
	return use
}

// runtimeMount is a file system that systemd mounts at boot.
type runtimeMount struct {
	fstype  string
	options []string // that it must have
}

// runtimeMountTable is what systemd mounts, after its src/shared/mount-setup.c.
func runtimeMountTable() map[string]runtimeMount {
	return map[string]runtimeMount{
		"/proc":    {"proc", []string{"rw", "nosuid", "nodev", "noexec"}},
		"/sys":     {"sysfs", []string{"rw", "nosuid", "nodev", "noexec"}},
		"/dev":     {"devtmpfs", []string{"rw", "nosuid"}},
		"/dev/pts": {"devpts", []string{"rw", "nosuid", "noexec"}},
		"/dev/shm": {"tmpfs", []string{"rw", "nosuid", "nodev"}},
		"/run":     {"tmpfs", []string{"rw", "nosuid", "nodev"}},
	}
}

func runtimeMounts() check {
	return check{
		Subtest: harness.Subtest{
			Name: "RuntimeMounts", Doc: "The kernel's file systems and /run are mounted as systemd does it; shared directories are sticky.",
			Run: judge(runtimeMountFaults,
				question{"mounts", mounts.Command},
				question{"modes", "stat -c '%a %n' /dev/shm /tmp /var/tmp"}),
		},
		sabotage: []harness.Sabotage{{
			Name:    "run-with-suid",
			Break:   `mount -o remount,suid /run`,
			Undo:    `mount -o remount,nosuid /run`,
			Message: `/run is mounted without nosuid`,
		}, {
			Name:    "tmp-not-sticky",
			Break:   `chmod 0777 /tmp`,
			Undo:    `chmod 1777 /tmp`,
			Message: `/tmp has mode 777`,
		}},
	}
}

func runtimeMountFaults(got answers) []string {
	var faults []string
	mounted, table := mounts.ByPoint(got["mounts"].out), runtimeMountTable()
	for _, point := range slices.Sorted(maps.Keys(table)) {
		want, have := table[point], mounted[point]
		if have.FSType != want.fstype {
			faults = append(faults, fmt.Sprintf("%s is of type %q, want %q", point, have.FSType, want.fstype))
			continue
		}
		for _, option := range want.options {
			if !have.Has(option) {
				faults = append(faults, fmt.Sprintf("%s is mounted without %s: %s", point, option, strings.Join(have.Options, ",")))
			}
		}
	}
	for line := range strings.Lines(got["modes"].out) {
		if mode, path, _ := strings.Cut(strings.TrimSpace(line), " "); mode != "1777" {
			faults = append(faults, fmt.Sprintf("%s has mode %s, want 1777", path, mode))
		}
	}
	return faults
}

func filePermissions() check {
	return check{
		Subtest: harness.Subtest{
			Name: "FilePermissions", Doc: "Password hashes and host keys are hidden from users, and accounts are root's to change.",
			Run: judge(permissionFaults, question{"files", "stat -L -c '%a %U %n' /etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/sudoers /root /etc/ssh/ssh_host_*_key 2>/dev/null"}),
		},
		sabotage: []harness.Sabotage{{
			Name:    "shadow-readable",
			Break:   `chmod o+r /etc/shadow`,
			Undo:    `chmod o-r /etc/shadow`,
			Message: `/etc/shadow has mode`,
		}},
	}
}

// permissionFaults judges lines of mode, owner and path. Files that an image
// does not have are no fault, but for the accounts.
func permissionFaults(got answers) []string {
	var faults []string
	seen := map[string]bool{}
	for line := range strings.Lines(got["files"].out) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if len(f) < 3 {
			continue
		}
		path := f[2]
		seen[path] = true
		mode, err := strconv.ParseUint(f[0], 8, 16)
		if forbidden := forbiddenBits(path); err != nil || mode&forbidden != 0 {
			faults = append(faults, fmt.Sprintf("%s has mode %s, which must not have the bits %03o", path, f[0], forbidden))
		}
		if f[1] != "root" {
			faults = append(faults, fmt.Sprintf("%s belongs to %s, not to root", path, f[1]))
		}
	}
	for _, path := range []string{"/etc/passwd", "/etc/group", "/etc/shadow"} {
		if !seen[path] {
			faults = append(faults, path+" does not exist")
		}
	}
	return faults
}

// forbiddenBits are those that a file's mode must not have.
func forbiddenBits(path string) uint64 {
	switch path {
	case "/etc/passwd", "/etc/group", "/root":
		return 0o022
	}
	return 0o037 // secrets: a group of their own may read them
}
