package basic

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"seatrial/harness"
)

// accessChecks are about who gets in, and what he may do there.
func accessChecks() []check {
	return []check{portSSH(), dbusPerms(), userAdd()}
}

func portSSH() check {
	return check{
		Subtest: harness.Subtest{
			Name: "PortSSH", Doc: "An SSH server answers on port 22 of the loopback interface.",
			Image: needs("bash"),
			Run:   judge(portSSHFaults, question{"banner", `timeout 10 bash -c 'exec 3<>/dev/tcp/127.0.0.1/22 && read -r line <&3 && echo "$line"'`}),
		},
		sabotage: []harness.Sabotage{{
			Name: "ssh-port-rejected",
			Break: `nft -f - <<'END'
table inet seatrial {
	chain input {
		type filter hook input priority 0;
		iif lo tcp dport 22 reject with tcp reset
	}
}
END`,
			Undo:    `nft delete table inet seatrial`,
			Message: `no SSH server on 127\.0\.0\.1:22: .*refused`,
		}},
	}
}

func portSSHFaults(got answers) []string {
	if banner := got["banner"]; !banner.ok() || !strings.HasPrefix(banner.out, "SSH-2.0-") {
		return []string{fmt.Sprintf("no SSH server on 127.0.0.1:22: want a banner that begins with SSH-2.0-, got %s", banner)}
	}
	return nil
}

// restartedUnit is the unit that DbusPerms tries to restart. Every systemd has
// it, and nobody would notice if the attempt succeeded.
const restartedUnit = "systemd-tmpfiles-clean.timer"

func dbusPerms() check {
	return check{
		Subtest: harness.Subtest{
			Name:  "DbusPerms",
			Doc:   "A user without privileges may read the properties of a unit over D-Bus, and may not restart it.",
			Image: needs("dbus"),
			Run: func(ctx context.Context, t *harness.T) {
				// Not as root: the questions are asked in the name of the login user.
				user := t.Machine(0).Must(ctx, "id -un")
				t.Report(dbusFaults(ask(ctx, t,
					question{"restart", asUser(user, busctl("call", "", "Manager", "RestartUnit", "ss", restartedUnit, "replace"))},
					question{"read", asUser(user, busctl("get-property", unitPath(restartedUnit), "Unit", "ActiveState"))},
				)))
			},
		},
		sabotage: []harness.Sabotage{{
			Name: "polkit-allows-everything",
			Break: `mkdir -p /etc/polkit-1/rules.d
echo 'polkit.addRule(function(action, subject) { return polkit.Result.YES; });' >/etc/polkit-1/rules.d/00-seatrial.rules
chmod 0644 /etc/polkit-1/rules.d/00-seatrial.rules
systemctl restart polkit`,
			Undo:    `rm /etc/polkit-1/rules.d/00-seatrial.rules && systemctl restart polkit`,
			Message: `could restart`,
		}},
	}
}

// asUser makes the command of root that runs a command line as another user.
func asUser(user, line string) string { return "sudo -n -u " + user + " " + line }

// busctl makes a call of systemd's own D-Bus API. Nobody is there to enter a
// password.
func busctl(verb, path, iface, member string, args ...string) string {
	words := []string{
		"busctl --timeout=30", verb, "org.freedesktop.systemd1", "/org/freedesktop/systemd1" + path,
		"org.freedesktop.systemd1." + iface, member,
	}
	return strings.Join(append(words, args...), " ")
}

// unitPath is the part of a unit's D-Bus object path below systemd's: bytes
// other than letters and digits are written as _ and two hex digits.
func unitPath(unit string) string {
	var b strings.Builder
	b.WriteString("/unit/")
	for _, c := range []byte(unit) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "_%02x", c)
	}
	return b.String()
}

func dbusFaults(got answers) []string {
	var faults []string
	restart := got["restart"]
	denied := slices.ContainsFunc([]string{"authentication required", "Access denied", "not authorized", "Permission denied"},
		func(reason string) bool { return strings.Contains(restart.out, reason) })
	switch {
	case restart.ok():
		faults = append(faults, "a user without privileges could restart "+restartedUnit)
	case !denied:
		faults = append(faults, fmt.Sprintf("restarting a unit failed for another reason than missing privileges: %s", restart))
	}
	if read := got["read"]; !read.ok() || !strings.HasPrefix(read.out, "s \"") {
		faults = append(faults, fmt.Sprintf("a user could not read a unit's property: %s", read))
	}
	return faults
}

func userAdd() check {
	return check{
		Subtest: harness.Subtest{
			Name:  "Useradd",
			Doc:   "A user can be added by hand, with a home directory, a group of the same name and a further group.",
			Image: needs("useradd"),
			Run: judge(userAddFaults, question{"user", `trap 'userdel -r seatrial-user >/dev/null 2>&1' EXIT
useradd -p '*' -U -m -G sudo seatrial-user || exit
id -Gn seatrial-user && stat -c '%U %G' "$(getent passwd seatrial-user | cut -d: -f6)"`}),
		},
		sabotage: []harness.Sabotage{{
			Name:    "passwd-immutable",
			Break:   `chattr +i /etc/passwd`,
			Undo:    `chattr -i /etc/passwd`,
			Message: `useradd: .*passwd`,
		}},
	}
}

func userAddFaults(got answers) []string {
	user := got["user"]
	if want := "seatrial-user sudo\nseatrial-user seatrial-user"; !user.ok() || user.out != want {
		return []string{fmt.Sprintf("add a user: want groups and owners of the home directory %q, got %s", want, user)}
	}
	return nil
}
