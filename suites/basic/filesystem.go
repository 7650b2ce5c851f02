package basic

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kballard/go-shellquote"

	"seatrial/harness"
)

func filesystem() harness.Test {
	return group(harness.Test{
		Name:         "cl.filesystem",
		NonExclusive: true,
		Doc:          "The image has no files that should not be there: dead links, unknown privileged programs, what everybody can write.",
		Timeout:      3 * time.Minute,
	}, filesystemChecks()...)
}

// fileRule is a search of the whole file system that must find nothing but
// what is known.
type fileRule struct {
	name, doc string
	fault     string   // what an unexpected find is called
	expr      string   // of find(1)
	prune     []string // paths that are not searched, beside the usual ones
	known     []string // finds that are no fault
	sabotage  harness.Sabotage
}

// search makes the find command of a rule. The kernel's file systems, and those
// of containers, are not the image's.
func (r fileRule) search() string {
	prune := append([]string{"/proc", "/sys", "/var/lib/docker", "/var/lib/containerd", "/run/docker", "/run/containerd"}, r.prune...)
	words := make([]string, len(prune))
	for i, path := range prune {
		words[i] = "-path " + shellquote.Join(path)
	}
	return fmt.Sprintf(`find / -ignore_readdir_race \( %s \) -prune -o %s -print`, strings.Join(words, " -o "), r.expr)
}

// faults lists what was found and is not known.
func (r fileRule) faults(found answer) []string {
	if !found.ok() {
		return []string{fmt.Sprintf("the search failed: %s", found)}
	}
	var faults []string
	for path := range strings.Lines(found.out) {
		path = strings.TrimSuffix(path, "\n")
		if path != "" && !slices.Contains(r.known, path) {
			faults = append(faults, fmt.Sprintf("%s: %q", r.fault, path))
		}
	}
	return faults
}

// check makes the subtest.
func (r fileRule) check() check {
	return check{
		Subtest: harness.Subtest{Name: r.name, Doc: r.doc, Run: func(ctx context.Context, t *harness.T) {
			t.Report(r.faults(ask(ctx, t, question{r.name, r.search()})[r.name]))
		}},
		sabotage: []harness.Sabotage{r.sabotage},
	}
}

func filesystemChecks() []check {
	rules := []fileRule{
		deadLinkRule(), suidRule(), sgidRule(), writableFileRule(), writableDirRule(), stickyDirRule(),
	}
	checks := make([]check, 0, len(rules)+1)
	for _, r := range rules {
		checks = append(checks, r.check())
	}
	return append(checks, blacklist())
}

func deadLinkRule() fileRule {
	return fileRule{
		name: "deadlinks", doc: "Every symbolic link leads somewhere.", fault: "dead symbolic link",
		expr: "-xtype l",
		// Links of running programs lead nowhere by design: locks, units, IDs.
		prune: []string{"/dev", "/run", "/tmp", "/usr/share/flatcar/etc", "/var/lib/flatcar-oem-gce"},
		// systemd makes it on every boot, and images leave out documentation.
		known: []string{"/var/log/README"},
		sabotage: harness.Sabotage{
			Name: "dead-link", Break: `ln -s nowhere /etc/seatrial-link`, Undo: `rm /etc/seatrial-link`,
			Message: `dead symbolic link: "/etc/seatrial-link"`,
		},
	}
}

func suidRule() fileRule {
	return fileRule{
		name: "suid", doc: "Programs that run with their owner's rights are known ones.", fault: "unknown setuid program",
		expr: "-type f -perm -4000",
		known: []string{
			"/usr/bin/chage", "/usr/bin/chfn", "/usr/bin/chsh", "/usr/bin/expiry", "/usr/bin/fusermount3", "/usr/bin/gpasswd",
			"/usr/bin/ksu", "/usr/bin/man", "/usr/bin/mandb", "/usr/bin/mount", "/usr/bin/mount.nfs", "/usr/bin/newgidmap",
			"/usr/bin/newgrp", "/usr/bin/newuidmap", "/usr/bin/passwd", "/usr/bin/pkexec", "/usr/bin/su", "/usr/bin/sudo",
			"/usr/bin/umount", "/usr/bin/unix_chkpwd", "/usr/lib/dbus-1.0/dbus-daemon-launch-helper",
			"/usr/lib/openssh/ssh-keysign", "/usr/lib/polkit-1/polkit-agent-helper-1", "/usr/lib64/polkit-1/polkit-agent-helper-1",
			"/usr/libexec/dbus-daemon-launch-helper", "/usr/libexec/polkit-agent-helper-1", "/usr/sbin/mount.nfs", "/usr/sbin/unix_chkpwd",
		},
		sabotage: harness.Sabotage{
			Name: "unknown-suid", Break: `install -m 4755 /dev/null /etc/seatrial-suid`, Undo: `rm /etc/seatrial-suid`,
			Message: `unknown setuid program: "/etc/seatrial-suid"`,
		},
	}
}

func sgidRule() fileRule {
	return fileRule{
		name: "sgid", doc: "Programs that run with their group's rights are known ones.", fault: "unknown setgid program",
		expr: "-type f -perm -2000",
		known: []string{
			"/usr/bin/chage", "/usr/bin/expiry", "/usr/bin/ssh-agent", "/usr/bin/unix_chkpwd", "/usr/bin/write", "/usr/sbin/unix_chkpwd",
		},
		sabotage: harness.Sabotage{
			Name: "unknown-sgid", Break: `install -m 2755 /dev/null /etc/seatrial-sgid`, Undo: `rm /etc/seatrial-sgid`,
			Message: `unknown setgid program: "/etc/seatrial-sgid"`,
		},
	}
}

func writableFileRule() fileRule {
	return fileRule{
		name: "writablefiles", doc: "No file can be written by everybody.", fault: "file that everybody can write",
		expr: "-type f -perm -0002",
		sabotage: harness.Sabotage{
			Name: "writable-file", Break: `install -m 0666 /dev/null /etc/seatrial-file`, Undo: `rm /etc/seatrial-file`,
			Message: `everybody can write: "/etc/seatrial-file"`,
		},
	}
}

func writableDirRule() fileRule {
	return fileRule{
		name: "writabledirs", doc: "A directory that everybody can write is sticky.", fault: "directory that everybody can write",
		expr: `-type d -perm -0002 ! -perm -1000`,
		sabotage: harness.Sabotage{
			Name: "writable-directory", Break: `install -d -m 0777 /etc/seatrial-dir`, Undo: `rmdir /etc/seatrial-dir`,
			Message: `everybody can write: "/etc/seatrial-dir"`,
		},
	}
}

func stickyDirRule() fileRule {
	return fileRule{
		name: "stickydirs", doc: "Only shared directories are sticky; a tmpfs is, unless its mount says otherwise.", fault: "unknown sticky directory",
		expr: "-type d -perm -1000",
		// These are shared, and what is made in them may be, too.
		prune: []string{"/dev/mqueue", "/dev/shm", "/media", "/run/lock", "/tmp", "/var/tmp"},
		known: []string{"/var/spool/cron/crontabs"},
		sabotage: harness.Sabotage{
			Name: "sticky-directory", Break: `install -d -m 1755 /etc/seatrial-sticky`, Undo: `rmdir /etc/seatrial-sticky`,
			Message: `unknown sticky directory: "/etc/seatrial-sticky"`,
		},
	}
}

func blacklistRule() fileRule {
	return fileRule{
		name: "blacklist", doc: "No file has a name or place that tells of a broken build.", fault: "blacklisted file",
		expr:  anyOf(controlNames()),
		prune: []string{"/run"},
		sabotage: harness.Sabotage{
			Name:    "control-byte-in-name",
			Break:   `: >"/etc/seatrial$(printf '\001')name"`,
			Undo:    `rm "/etc/seatrial$(printf '\001')name"`,
			Message: `blacklisted file: "/etc/seatrial`,
		},
	}
}

// blacklist is stricter with Flatcar, whose images leave out languages and
// documentation, and whose tools do not expect spaces in names.
func blacklist() check {
	c := blacklistRule().check()
	c.Run = func(ctx context.Context, t *harness.T) {
		r := blacklistRule()
		if t.Has(flatcar) {
			r.expr = anyOf(append(controlNames(), "-name '* *'", "-path /usr/bin/perl", "-path /usr/bin/python",
				"-path /usr/share/man", "-path '/usr/bin/*.old'"))
		}
		t.Report(r.faults(ask(ctx, t, question{r.name, r.search()})[r.name]))
	}
	return c
}

// controlNames are expressions for names with bytes that no name should have;
// find compares bytes in the C locale.
func controlNames() []string {
	return []string{"-name " + shellquote.Join("*[\x01-\x1f]*"), "-name " + shellquote.Join("*\x7f*")}
}

func anyOf(exprs []string) string { return `\( ` + strings.Join(exprs, " -o ") + ` \)` }
