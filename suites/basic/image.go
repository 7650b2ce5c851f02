package basic

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/kballard/go-shellquote"

	"seatrial/harness"
	"seatrial/suites/internal/mounts"
)

// imageChecks are about what the image is, and how its files were laid out.
func imageChecks() []check {
	return []check{
		resolvConf(), symlinkFlatcar(), updateEngineKeys(), readOnlyUsr(), randomUUID(), microcode(),
		machineID(), osRelease(),
	}
}

func resolvConf() check {
	return check{
		Subtest: harness.Subtest{
			Name:  "Symlink",
			Doc:   "/etc/resolv.conf is a symbolic link to a file that systemd-resolved keeps up to date.",
			Image: needs("resolved"),
			Run: func(ctx context.Context, t *harness.T) {
				got := ask(ctx, t,
					question{"kind", "stat -c %F /etc/resolv.conf"},
					question{"target", "readlink -e /etc/resolv.conf"})
				t.Report(resolvConfFaults(got, t.Has(flatcar)))
			},
		},
		sabotage: []harness.Sabotage{{
			Name:    "resolv-conf-copied",
			Break:   `mv /etc/resolv.conf /etc/resolv.conf.seatrial && cat /etc/resolv.conf.seatrial >/etc/resolv.conf`,
			Undo:    `mv /etc/resolv.conf.seatrial /etc/resolv.conf`,
			Message: `regular file`,
		}},
	}
}

// resolvConfFaults accepts the stub, which is systemd's own advice, and the
// list of real servers, which is Flatcar's choice and the only one there.
func resolvConfFaults(got answers, flatcar bool) []string {
	if kind := got["kind"]; kind.out != "symbolic link" {
		return []string{fmt.Sprintf("/etc/resolv.conf is not a symbolic link but a %s", kind)}
	}
	want := []string{"/run/systemd/resolve/resolv.conf"}
	if !flatcar {
		want = append(want, "/run/systemd/resolve/stub-resolv.conf")
	}
	if target := got["target"]; !slices.Contains(want, target.out) {
		return []string{fmt.Sprintf("/etc/resolv.conf leads to %s, want %s", target, strings.Join(want, " or "))}
	}
	return nil
}

// symlinks lists the names that Flatcar kept from CoreOS Container Linux, and
// what they lead to.
func symlinks() map[string]string {
	return map[string]string{
		"/etc/coreos":             "/etc/flatcar",
		"/usr/bin/coreos-install": "/usr/bin/flatcar-install",
		"/usr/lib/coreos":         "/usr/lib/flatcar",
		"/usr/share/coreos":       "/usr/share/flatcar",
	}
}

func symlinkFlatcar() check {
	var questions []question
	for _, old := range slices.Sorted(maps.Keys(symlinks())) {
		script := fmt.Sprintf("test -L %[1]s && readlink -e %[1]s && stat -L -c %%F %[1]s", old)
		questions = append(questions, question{old, script})
	}
	return check{Subtest: harness.Subtest{
		Name:  "SymlinkFlatcar",
		Doc:   "The paths of CoreOS Container Linux are symbolic links to Flatcar's.",
		Image: needs(flatcar),
		Run:   judge(symlinkFaults, questions...),
	}}
}

func symlinkFaults(got answers) []string {
	var faults []string
	for old, target := range symlinks() {
		link := got[old]
		path, kind, _ := strings.Cut(link.out, "\n")
		if !link.ok() || path != target || kind != "directory" && kind != "regular file" {
			faults = append(faults, fmt.Sprintf("%s is not a symbolic link to a file or directory %s: %s", old, target, link))
		}
	}
	slices.Sort(faults)
	return faults
}

func updateEngineKeys() check {
	return check{Subtest: harness.Subtest{
		Name:  "UpdateEngineKeys",
		Doc:   "The key that update payloads are verified with is a known one.",
		Image: needs(flatcar),
		Run: judge(updateKeyFaults,
			question{"key", "od -An -v -tx1 /usr/share/update_engine/update-payload-key.pub.pem | tr -d ' \\n'"}),
	}}
}

// updateKeys holds the SHA-256 sums of the public keys that official images
// were built with.
func updateKeys() []string {
	return []string{
		"d410d94dc56a1cba8df71c94ea6925811e44b09416f66958ab7a453f0731d80e", // CoreOS, first
		"a76a22e6afcdfbc55dd2953aa950c7ec93b254774fca02d13ec52c59672e5982", // CoreOS, second
		"b59a0fa528fec10d706e5d48030218199568769e385dcf473aa696763331a353", // Flatcar, first
		"b6a8227f835a4a56988241eaeeda57a19ef5ff413c8533fd791827be2c15dd6c", // Flatcar, second
	}
}

func updateKeyFaults(got answers) []string {
	key, err := hex.DecodeString(got["key"].out)
	if err != nil || len(key) == 0 {
		return []string{fmt.Sprintf("the update key cannot be read: %s", got["key"])}
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(key)); !slices.Contains(updateKeys(), sum) {
		return []string{"the update key is not a known one; its SHA-256 is " + sum}
	}
	return nil
}

func readOnlyUsr() check {
	return check{Subtest: harness.Subtest{
		Name: "ReadOnly", Doc: "/usr is mounted read-only.",
		Image: needs(flatcar),
		Run:   judge(readOnlyFaults, question{"mounts", mounts.Command}),
	}}
}

// readOnlyFaults judges /usr, or / where /usr is a part of it.
func readOnlyFaults(got answers) []string {
	mounted := mounts.ByPoint(got["mounts"].out)
	for _, point := range []string{"/usr", "/"} {
		if m, ok := mounted[point]; ok {
			if !m.Has("ro") {
				return []string{fmt.Sprintf("%s is not mounted read-only: %s", point, strings.Join(m.Options, ","))}
			}
			return nil
		}
	}
	return []string{"neither /usr nor / is mounted"}
}

func randomUUID() check {
	return check{Subtest: harness.Subtest{
		Name:  "RandomUUID",
		Doc:   "The first boot gave the root disk a GUID of its own.",
		Image: needs(flatcar, "gpt-root"),
		Run: judge(randomUUIDFaults,
			question{"guid", `blkid -o value -s PTUUID "/dev/$(lsblk -no PKNAME "$(findmnt -vno SOURCE /)" | head -n 1)"`}),
	}}
}

// imageGUID is the disk GUID that Flatcar's images are built with.
const imageGUID = "00000000-0000-0000-0000-000000000001"

func randomUUIDFaults(got answers) []string {
	guid := got["guid"]
	form := regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	switch {
	case !guid.ok() || !form.MatchString(guid.out):
		return []string{fmt.Sprintf("the root disk's GUID is malformed: %s", guid)}
	case guid.out == imageGUID:
		return []string{"the root disk still has the image's GUID " + imageGUID}
	}
	return nil
}

func microcode() check {
	return check{Subtest: harness.Subtest{
		Name:  "Microcode",
		Doc:   "The kernel has the microcode updates of AMD and Intel built in.",
		Image: needs(flatcar),
		Run: func(ctx context.Context, t *harness.T) {
			if t.Arch() != "amd64" {
				t.Skipf("CPUs of %s have no microcode that a kernel updates", t.Arch())
			}
			t.Report(microcodeFaults(ask(ctx, t, question{"firmware", "zcat /proc/config.gz | grep '^CONFIG_EXTRA_FIRMWARE='"})))
		},
	}}
}

func microcodeFaults(got answers) []string {
	var faults []string
	firmware := got["firmware"]
	for _, vendor := range []string{"amd-ucode", "intel-ucode"} {
		if !firmware.ok() || !strings.Contains(firmware.out, vendor) {
			faults = append(faults, fmt.Sprintf("the kernel has no %s built in: %s", vendor, firmware))
		}
	}
	return faults
}

func machineID() check {
	return check{
		Subtest: harness.Subtest{
			Name: "MachineID", Doc: "The machine has an ID of its own.",
			Run: judge(machineIDFaults, question{"id", "cat /etc/machine-id"}),
		},
		sabotage: []harness.Sabotage{{
			Name:    "machine-id-empty",
			Break:   `mount --bind /dev/null /etc/machine-id`,
			Undo:    `umount /etc/machine-id`,
			Message: `machine-id`,
		}},
	}
}

// machineIDFaults wants what machine-id(5) does: 32 hexadecimal digits in lower
// case, not all of them zero. That excludes "uninitialized" and the
// COREOS_BLANK_MACHINE_ID that images are built with.
func machineIDFaults(got answers) []string {
	id := got["id"]
	if !id.ok() || !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id.out) || strings.Trim(id.out, "0") == "" {
		return []string{fmt.Sprintf("/etc/machine-id is not an ID: %s", id)}
	}
	return nil
}

func osRelease() check {
	return check{
		Subtest: harness.Subtest{
			Name: "OSRelease", Doc: "os-release names the system and its version.",
			Run: judge(osReleaseFaults, question{"file", "cat /etc/os-release"}),
		},
		sabotage: []harness.Sabotage{{
			Name:    "os-release-empty",
			Break:   `mount --bind /dev/null /etc/os-release`,
			Undo:    `umount "$(readlink -f /etc/os-release)"`,
			Message: `os-release has no ID`,
		}},
	}
}

// osReleaseFaults holds the file against os-release(5).
func osReleaseFaults(got answers) []string {
	file := got["file"]
	if !file.ok() {
		return []string{fmt.Sprintf("os-release cannot be read: %s", file)}
	}
	var faults []string
	fields := map[string]string{}
	for line := range strings.Lines(file.out) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words, err := shellquote.Split(line)
		key, value, ok := strings.Cut(strings.Join(words, " "), "=")
		if err != nil || len(words) != 1 || !ok {
			faults = append(faults, fmt.Sprintf("os-release: %q is not an assignment", line))
			continue
		}
		fields[key] = value
	}
	for _, key := range []string{"ID", "NAME", "PRETTY_NAME"} {
		if fields[key] == "" {
			faults = append(faults, "os-release has no "+key)
		}
	}
	if id := fields["ID"]; id != "" && !regexp.MustCompile(`^[a-z0-9._-]+$`).MatchString(id) {
		faults = append(faults, fmt.Sprintf("os-release: the ID %q has illegal characters", id))
	}
	if fields["VERSION_ID"] == "" && fields["BUILD_ID"] == "" {
		faults = append(faults, "os-release has neither VERSION_ID nor BUILD_ID")
	}
	return faults
}
