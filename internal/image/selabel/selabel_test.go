package selabel

import (
	"io"
	"io/fs"
	"strings"
	"testing"
)

const contexts = `
# a comment
/.*			system_u:object_r:default_t:s0
/			-d	system_u:object_r:root_t:s0
/usr/.*			system_u:object_r:usr_t:s0
/usr/bin(/.*)?		system_u:object_r:bin_t:s0
/usr/lib/systemd/system(/.*)?	system_u:object_r:systemd_unit_t:s0
/usr/bin/sudo	--	system_u:object_r:sudo_exec_t:s0
/usr/(.*/)?lost	-d	<<none>>
/etc/a\.conf	--	system_u:object_r:a_conf_t:s0
/etc/.*\.conf	--	system_u:object_r:conf_t:s0
/dev/ttyS[0-9]	-c	system_u:object_r:tty_t:s0
/run/lock	-l	system_u:object_r:lock_link_t:s0
`

const homedirs = `
/home/[^/]+/.+	unconfined_u:object_r:user_home_t:s0
/root/\.ssh(/.*)?	unconfined_u:object_r:ssh_home_t:s0
`

const subs = `
# aliases
/etc/systemd/system /usr/lib/systemd/system
/bin /usr/bin
`

func TestContext(t *testing.T) {
	l, err := Parse([]io.Reader{strings.NewReader(contexts), strings.NewReader(homedirs)}, strings.NewReader(subs))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		mode fs.FileMode
		want string // the type
	}{
		{"/", fs.ModeDir, "root_t"},
		{"/unknown", 0, "default_t"},
		{"/usr/share/x", 0, "usr_t"},
		{"/usr/bin", fs.ModeDir, "bin_t"},
		{"/usr/bin/ls", 0, "bin_t"},
		{"/usr/bin/sudo", 0, "sudo_exec_t"},
		{"/usr/bin/sudo", fs.ModeSymlink, "bin_t"}, // the kind does not fit
		{"/bin/sudo", 0, "sudo_exec_t"},            // by alias
		{"/binary", 0, "default_t"},                // no alias: another name
		{"/usr/a/lost", fs.ModeDir, None},
		{"/etc/a.conf", 0, "a_conf_t"}, // the literal wins over the later pattern
		{"/etc/b.conf", 0, "conf_t"},
		{"/etc/bxconf", 0, "default_t"},
		{"/etc/systemd/system/x.service", 0, "systemd_unit_t"},
		{"/dev/ttyS0", fs.ModeDevice | fs.ModeCharDevice, "tty_t"},
		{"/dev/ttyS0", fs.ModeDevice, "default_t"},
		{"/run/lock", fs.ModeSymlink, "lock_link_t"},
		{"/home/core/.bashrc", 0, "user_home_t"},
		{"/root/.ssh", fs.ModeDir, "ssh_home_t"},
	} {
		got := l.Context(c.name, c.mode)
		if parts := strings.Split(got, ":"); len(parts) == 4 {
			got = parts[2]
		}
		if got != c.want {
			t.Errorf("Context(%q, %v) = %q, want %q", c.name, c.mode, got, c.want)
		}
	}
}

func TestNoContext(t *testing.T) {
	l, err := Parse([]io.Reader{strings.NewReader("/a/b system_u:object_r:b_t:s0\n")}, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Context("/a/c", 0); got != "" {
		t.Errorf("Context = %q, want none", got)
	}
}

func TestParseBad(t *testing.T) {
	for _, in := range []string{"/a", "/a -- b c", "/a ? b", "/a( system_u:object_r:b_t:s0"} {
		if _, err := Parse([]io.Reader{strings.NewReader(in)}, strings.NewReader("")); err == nil {
			t.Errorf("Parse(%q) succeeded", in)
		}
	}
	if _, err := Parse(nil, strings.NewReader("/a /b /c")); err == nil {
		t.Error("Parse of bad substitutions succeeded")
	}
}
