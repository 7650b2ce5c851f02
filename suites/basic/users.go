package basic

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"seatrial/harness"
)

func userShells() harness.Test {
	return harness.Test{
		Name:         "cl.users.shells",
		NonExclusive: true,
		Doc:          "Nobody but root and the login user has a shell, nobody but root has its rights, and no account has an empty password.",
		Run: func(ctx context.Context, t *harness.T) {
			login := t.Machine(0).Must(ctx, "id -un")
			t.Report(userFaults(login, ask(ctx, t,
				question{"passwd", "getent passwd"},
				question{"shadow", `awk -F: '$2 == "" { print $1 }' /etc/shadow`})))
		},
		Sabotage: []harness.Sabotage{{
			Name:    "service-with-shell",
			Break:   addLine("/etc/passwd", "seatrial:x:7777:7777::/:/bin/sh"),
			Undo:    restoreFile("/etc/passwd"),
			Message: `seatrial has the shell /bin/sh`,
		}, {
			Name:    "second-root",
			Break:   addLine("/etc/passwd", "seatrial:x:0:0::/:/usr/sbin/nologin"),
			Undo:    restoreFile("/etc/passwd"),
			Message: `seatrial has the user ID of root`,
		}, {
			Name:    "empty-password",
			Break:   addLine("/etc/shadow", "seatrial::19000:0:99999:7:::"),
			Undo:    restoreFile("/etc/shadow"),
			Message: `seatrial has an empty password`,
		}},
	}
}

// addLine makes the script that appends a line to a file and keeps what it was
// in restoreFile's place.
func addLine(path, line string) string {
	return fmt.Sprintf("cat %s >%s && echo '%s' >>%s", path, savedFile(path), line, path)
}

// restoreFile makes the script that undoes addLine, in the same inode.
func restoreFile(path string) string {
	return fmt.Sprintf("cat %s >%s && rm %s", savedFile(path), path, savedFile(path))
}

func savedFile(path string) string { return "/run/seatrial" + strings.ReplaceAll(path, "/", "-") }

// userFaults judges the lines of passwd(5), and the names of those who have no
// password.
func userFaults(login string, got answers) []string {
	var faults []string
	for line := range strings.Lines(got["passwd"].out) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 7 {
			faults = append(faults, fmt.Sprintf("passwd has a malformed line %q", line))
			continue
		}
		name, id, shell := f[0], f[2], f[6]
		if !mayHaveShell(name, login, shell) {
			faults = append(faults, fmt.Sprintf("%s has the shell %s", name, shell))
		}
		if id == "0" && name != "root" {
			faults = append(faults, fmt.Sprintf("%s has the user ID of root", name))
		}
	}
	if len(got["passwd"].out) == 0 {
		faults = append(faults, fmt.Sprintf("there are no users: %s", got["passwd"]))
	}
	for name := range strings.Lines(got["shadow"].out) {
		faults = append(faults, strings.TrimSpace(name)+" has an empty password")
	}
	return faults
}

// mayHaveShell reports whether a user may have the given shell: real ones are
// for root and the login user; three old accounts run a command instead.
func mayHaveShell(name, login, shell string) bool {
	switch name {
	case "root", login:
		return slices.Contains([]string{"/bin/bash", "/usr/bin/bash", "/bin/sh"}, shell) || isNoShell(shell)
	case "sync":
		return shell == "/bin/sync" || shell == "/usr/bin/sync" || isNoShell(shell)
	case "shutdown":
		return shell == "/sbin/shutdown" || shell == "/usr/sbin/shutdown" || isNoShell(shell)
	case "halt":
		return shell == "/sbin/halt" || shell == "/usr/sbin/halt" || isNoShell(shell)
	}
	return isNoShell(shell)
}

func isNoShell(shell string) bool {
	return slices.Contains([]string{"/sbin/nologin", "/usr/sbin/nologin", "/bin/false", "/usr/bin/false"}, shell)
}
