package basic

import (
	"context"
	"fmt"
	"time"

	"seatrial/harness"
	"seatrial/platforms"
)

// overlayCleanup is about Flatcar's /etc: an overlay whose lower directory
// comes with the image. What is equal in both must not stay in the upper one,
// or later versions of the image could not change it.
func overlayCleanup() harness.Test {
	return harness.Test{
		Name:    "cl.overlay.cleanup",
		Doc:     "A reboot removes copies from the overlay on /etc that equal the image's files, and keeps what was changed or deleted.",
		Timeout: 3 * time.Minute,
		Needs: harness.Needs{
			Platform: []platforms.Capability{platforms.RebootCap},
			Image:    needs(flatcar, "overlay-etc"),
			Cold:     true,
		},
		Run: func(ctx context.Context, t *harness.T) {
			changed := ask(ctx, t,
				question{"copies", upperFiles()},
				question{"change", `set -e
rm -r /etc/sssd /etc/wireguard /etc/bash
mkdir -m 700 /etc/sssd
cp -a /usr/share/flatcar/etc/bash /etc/bash
touch /etc/bash/seatrial
rm /etc/kexec.conf /etc/resolv.conf`},
				question{"copy", inUpper(`cp -a /usr/share/flatcar/etc/hosts /usr/share/flatcar/etc/shells /usr/share/flatcar/etc/os-release /etc/ && mkdir /etc/security /etc/profile.d`)})
			for _, name := range []string{"change", "copy"} {
				if a := changed[name]; !a.ok() {
					t.Fatalf("%s files of /etc: %s", name, a)
				}
			}
			t.Report(copyFaults("after the first boot", changed["copies"]))
			t.Machine(0).Reboot(ctx)
			after := ask(ctx, t,
				question{"copies", upperFiles()},
				question{"kept", "test ! -e /etc/sssd/sssd.conf -a ! -e /etc/kexec.conf -a ! -e /etc/wireguard -a -e /etc/bash/seatrial -a -e /etc/bash/bashrc"},
				question{"recreated", "test -e /etc/resolv.conf"},
				question{"not copied", inUpper("test ! -e /etc/resolv.conf")})
			t.Report(append(copyFaults("after the second boot", after["copies"]), overlayFaults(after)...))
		},
	}
}

// inUpper makes the command that runs a script where the overlay's upper
// directory is seen as /etc.
func inUpper(script string) string {
	return fmt.Sprintf("unshare -m bash -c 'umount -l /etc && %s'", script)
}

// upperFiles prints which of the files that nobody changes are in the upper
// directory.
func upperFiles() string {
	return inUpper("ls -d /etc/hosts /etc/security /etc/profile.d /etc/shells /etc/os-release 2>/dev/null; true")
}

func copyFaults(when string, copies answer) []string {
	if copies.ok() && copies.out == "" {
		return nil
	}
	return []string{fmt.Sprintf("%s the overlay on /etc has copies of the image's files: %s", when, copies)}
}

func overlayFaults(after answers) []string {
	var faults []string
	if !after["kept"].ok() {
		faults = append(faults, "a change or deletion in /etc was lost")
	}
	if !after["recreated"].ok() {
		faults = append(faults, "/etc/resolv.conf, which has a tmpfiles rule, was not made again")
	}
	if a := after["not copied"]; !a.ok() {
		faults = append(faults, fmt.Sprintf("/etc/resolv.conf came back as a copy in the overlay: %s", a))
	}
	return faults
}
