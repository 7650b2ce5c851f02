package selinux

import (
	"strings"
	"testing"
)

func TestDenialFaults(t *testing.T) {
	const line = `AVC avc:  denied  { read } for  pid=1 comm="x" scontext=a:b:c:s0 tcontext=d:e:f:s0 tclass=file permissive=0`
	if got := denialFaults("-- No entries --\n"); got != nil {
		t.Errorf("%q", got)
	}
	if got := denialFaults(line + "\nother\n" + line + "\n"); len(got) != 2 || !strings.Contains(got[0], "{ read }") {
		t.Errorf("%q", got)
	}
}

func TestLabelFaults(t *testing.T) {
	good := `      1 system_u:system_r:init_t:s0 systemd
      1 system_u:system_r:sshd_t:s0-s0:c0.c1023 sshd
     70 system_u:system_r:kernel_t:s0 kworker/0:0
      1 system_u:system_r:syslogd_t:s0 systemd-journal
      1 system_u:system_r:udev_t:s0 systemd-udevd
`
	for _, c := range []struct{ name, out, want string }{
		{"own domains", good, ""},
		{"no policy", strings.NewReplacer("init_t", "kernel_t", "sshd_t", "kernel_t", "udev_t", "kernel_t").Replace(good), "in 2 domains only"},
		{"no labels", "      1 - systemd\n", "no label"},
		{"nothing", "", "in 0 domains"},
	} {
		if got := strings.Join(labelFaults(c.out), "\n"); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
