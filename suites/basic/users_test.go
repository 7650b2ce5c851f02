package basic

import (
	"os/exec"
	"strings"
	"testing"
)

func TestUserFaults(t *testing.T) {
	const good = `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
sync:x:4:65534:sync:/bin:/bin/sync
core:x:500:500::/home/core:/bin/bash
sshd:x:105:65534::/run/sshd:/usr/sbin/nologin
etcd:x:106:113::/var/lib/etcd/:/bin/false`
	faults := func(got answers) []string { return userFaults("core", got) }
	users := func(more string) answers { return answers{"passwd": said(good + more), "shadow": said("")} }
	checkFaults(t, faults, []faultCase{
		{"good", users(""), nil},
		{"service with a shell", users("\nwww:x:33:33::/var/www:/bin/sh"), []string{"www has the shell /bin/sh"}},
		{"sync with a shell", users("\nsync:x:4:65534:sync:/bin:/bin/bash"), []string{"sync has the shell"}},
		{"second root", users("\ntoor:x:0:0::/root:/usr/sbin/nologin"), []string{"toor has the user ID of root"}},
		{"malformed", users("\nbroken:x"), []string{"malformed"}},
		{"no shell field", users("\nopen:x:7:7::/:"), []string{"open has the shell"}},
		{"nobody", answers{"passwd": failed(127, ""), "shadow": said("")}, []string{"no users"}},
		{"empty password", users("").with("shadow", said("core\nroot")), []string{"core has an empty password", "root has"}},
	})
}

func TestAddLineIsUndone(t *testing.T) {
	dir := t.TempDir()
	run := func(script string) string {
		t.Helper()
		script = strings.NewReplacer("/run/seatrial-etc-passwd", dir+"/saved", "/etc/passwd", dir+"/passwd").Replace(script)
		out, err := exec.Command("sh", "-ec", script+"\nls -i "+dir+"; cat "+dir+"/passwd").CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
		return string(out)
	}
	before := run("echo a >" + dir + "/passwd")
	broken := run(addLine("/etc/passwd", "seatrial:x"))
	if !strings.HasSuffix(broken, "a\nseatrial:x\n") {
		t.Errorf("the line was not added: %s", broken)
	}
	if after := run(restoreFile("/etc/passwd")); after != before {
		t.Errorf("not restored: before %q, after %q", before, after)
	}
}
