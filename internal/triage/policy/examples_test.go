package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"seatrial/harness/event"
	"seatrial/internal/triage"
)

const examples = "../../../testdata/triage"

// TestChannels sees that the gate policies which are given as examples are
// without mistakes, and go from lenient to strict.
func TestChannels(t *testing.T) {
	var all []*Gate
	for _, channel := range []string{"alpha", "beta", "stable"} {
		data, err := os.ReadFile(filepath.Join(examples, channel+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		g, err := ParseGate(channel+".yaml", data)
		if err != nil {
			t.Fatal(err)
		}
		if g.Channel != channel {
			t.Errorf("%s is for %q", channel, g.Channel)
		}
		all = append(all, g)
	}
	if alpha, stable := all[0], all[2]; alpha.Effects["fail"] != GateRegression || stable.Effects["fail"] != GateBlock || alpha.Errors <= stable.Errors {
		t.Errorf("alpha %+v, stable %+v", alpha, stable)
	}
}

// TestSlideRules sees what the rules make of failures in the words of the
// kernel, of programs and of the suites. These are no recordings: each line is a
// wording that a rule has to know, or must not take for its own.
func TestSlideRules(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(examples, "slide.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := ParseRules("slide.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	const unknown = "[{ false}]"
	only := func(category string) string { return fmt.Sprint([]Heading{{category, false}}) }
	fails := func(message string) triage.Failure { return triage.Failure{Class: event.Assertion, Message: message} }
	tests := []struct {
		f    triage.Failure
		want string
	}{
		{triage.Failure{Class: event.LostConnection, Message: "m0: connection lost"}, only("Test Harness Oddities")},
		{triage.Failure{Class: event.Provision, Message: "boot m0: quota exceeded"}, only("Test Harness Oddities")},
		{fails("bash: ./kolet: cannot execute binary file: Exec format error"), only("Test Harness Oddities")},
		{fails("update_engine: Omaha request: connection refused"), only("Test Harness Oddities")},
		{fails("fetch https://fixture.test/x: x509: certificate signed by unknown authority, not by the test CA"), only("Test Harness Oddities")},
		{fails("PortSSH: no SSH server on 127.0.0.1:22: want a banner that begins with SSH-2.0-, got \"\""), only("Test Harness Oddities")},
		{fails("the fixture https://10.77.0.1:443/config does not answer m0: exit status 7: curl: (7) Failed to connect to 10.77.0.1 port 443 after 605 ms: Couldn't connect to server"), only("Test Harness Oddities")},
		{fails("docker: Error response from daemon: Get \"https://ghcr.io/v2/\": dial tcp: lookup ghcr.io on 10.77.0.1:53: server misbehaving"), only("Test Harness Oddities")},
		{fails("docker: Error response from daemon: Get \"https://ghcr.io/v2/\": dial tcp: lookup ghcr.io: no such host."), only("Test Harness Oddities")},
		{fails("pod client: dial tcp: lookup web on 10.96.0.10:53: server misbehaving"), unknown},
		{fails("the machine is Permissive after a reboot, and is configured to be enforcing"), only("SELinux")},
		{fails("runc create failed: write /proc/thread-self/attr/exec: invalid argument: unknown"), only("SELinux")},
		{fails("string SCMP_ACT_SEATRIAL is not a valid action for seccomp"), only("seccomp")},
		{fails("curl cannot fetch https://10.77.0.1:2379/: exit status 7: curl: (7) Failed to connect to 10.77.0.1 port 2379 after 57 ms: Couldn't connect to server"), only("etcd")},
		{fails("Ignition wrote \"updated\\n\" into /var/resource/original, want \"original\\n\""), unknown},
		{fails("getenforce is \"Permissive\", want \"Enforcing\""), only("SELinux")},
		{fails("the process has the label \"unlabeled_t\""), only("SELinux")},
		{fails("the process has the label \"system_u:system_r:initrc_t:s0\", want a container's type and two categories"), only("SELinux")},
		{triage.Failure{Class: event.Assertion, Message: "exec /bin/sh: permission denied", Console: "audit: avc:  denied  { execute } for pid=7 permissive=0"}, only("SELinux")},
		{triage.Failure{Class: event.Assertion, Message: "it is slow", Console: "audit: avc:  denied  { execute } for pid=7 permissive=0"}, unknown},
		{fails("seccomp profile is \"unconfined\", want \"builtin\""), only("seccomp")},
		{fails("docker info: no \"seccomp\" among the security options"), only("seccomp")},
		{fails("Seccomp is \"0\", want \"2\""), only("seccomp")},
		{triage.Failure{Class: event.Assertion, Message: "mkfs died", Console: "audit: type=1326 audit(1.2:3): sig=31 arch=c00000b7 syscall=425"}, only("seccomp")},
		{triage.Failure{Class: event.Console, Title: "Dependency failed for serial-getty@ttyS0.service", Console: "systemd 252 running in system mode (+PAM +AUDIT +SELINUX +SECCOMP)"}, unknown},
		{triage.Failure{Class: event.Assertion, Message: "sh died", Console: "audit[871]: SECCOMP auid=4294967295 uid=0 sig=31 arch=c00000b7"}, only("seccomp")},
		{fails("etcd.service has failed: read-only file system"), only("etcd")},
		{fails("Unit etcd.service is masked"), only("etcd")},
		{fails("Get http://127.0.0.1:2379/health: connection refused"), only("etcd")},
		{fails("flannel did not write /run/flannel/subnet.env: context deadline exceeded"), fmt.Sprint([]Heading{{"etcd", true}, {"", false}})},
		{fails("flannel: m0 cannot ping 10.254.8.2 over vxlan"), unknown},
		{fails("the object of version v2 has the wrong contents"), unknown},
		{fails("exec format error in the docker image"), unknown},
		{fails("units have failed: sshd.service"), unknown},
	}
	for _, tt := range tests {
		if got := fmt.Sprint(rules.Diagnose(tt.f).Headings()); got != tt.want {
			t.Errorf("%s %q %q: %s, want %s", tt.f.Class, tt.f.Message, tt.f.Console, got, tt.want)
		}
	}
}
