// Package selftest is the suite with which the harness is tested on real
// machines: each test ends in one way, that its Doc names as outcome/class. A
// run of it is right when every test ended so, and the next one started on a
// healthy machine.
//
// The suite says nothing about an image. Its tests are tagged "selftest" and,
// to keep them out of the default selection, "destructive".
package selftest

import (
	"context"
	"sync"
	"time"

	"seatrial/harness"
	"seatrial/platforms"
)

// Tag is carried by each test of the suite.
const Tag = "selftest"

// Suite returns the suite.
func Suite() harness.Suite {
	s := harness.Suite{
		Name:  "selftest",
		Doc:   "Every way in which a test can end, for the harness to prove that it tells them apart.",
		Tests: append(guestFaults(), testFaults()...),
	}
	for i := range s.Tests {
		s.Tests[i].Tags = append(s.Tests[i].Tags, Tag, harness.TagDestructive)
	}
	return s
}

// guestFaults are tests on which the guest fails.
func guestFaults() []harness.Test {
	return []harness.Test{
		{
			Name: "selftest.panic",
			Doc:  "fail/console: the kernel panics.",
			Run: func(ctx context.Context, t *harness.T) {
				hang(ctx, t, "echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger")
			},
		},
		{
			Name: "selftest.hang-at-boot",
			Doc:  "fail/boot: the provisioning config refers to a server that does not exist, and the first boot waits for it for ever.",
			Needs: harness.Needs{
				Image:       []platforms.Capability{"ignition"},
				BootTimeout: 15 * time.Second,
				Cold:        true,
				UserData: `variant: fcos
version: 1.0.0
ignition:
  config:
    merge:
      - source: http://192.0.2.1/config.ign
`,
			},
			Run: func(_ context.Context, t *harness.T) { t.Fatalf("the machine booted") },
		},
		{
			Name:    "selftest.kernel-hang",
			Doc:     "fail/kernel-hang: every process but init stands still, and nothing says so.",
			Timeout: 5 * time.Second,
			// Watchdogs would end the silence after some minutes.
			Run: func(ctx context.Context, t *harness.T) {
				hang(ctx, t, "systemctl service-watchdogs no; sync; echo 1 >/sys/fs/cgroup/system.slice/cgroup.freeze; echo 1 >/sys/fs/cgroup/user.slice/cgroup.freeze")
			},
		},
		{
			Name:    "selftest.sshd-dies",
			Doc:     "fail/kernel-hang: the SSH server is gone for good, and the guest takes no command any more.",
			Timeout: 10 * time.Second,
			Needs:   harness.Needs{Cold: true}, // forks are not entered over SSH
			Run: func(ctx context.Context, t *harness.T) {
				hang(ctx, t, "systemctl mask --quiet --runtime ssh.socket sshd.socket ssh.service sshd.service; "+
					"systemctl stop ssh.socket sshd.socket ssh.service sshd.service; pkill -KILL sshd")
			},
		},
		{
			Name:    "selftest.session-dies",
			Doc:     "error/lost-connection: the connection breaks, and the guest takes another one.",
			Timeout: 30 * time.Second,
			Needs:   harness.Needs{Cold: true}, // forks are not entered over SSH
			Run: func(ctx context.Context, t *harness.T) {
				hang(ctx, t, "pkill -KILL -f '^sshd(-session)?: .*@'")
			},
		},
		{
			Name: "selftest.poweroff",
			Doc:  "fail/lost-connection: the guest switches itself off.",
			Run:  func(ctx context.Context, t *harness.T) { hang(ctx, t, "systemctl poweroff --force --force") },
		},
	}
}

// hang runs a script as root that the guest will not survive, and waits for
// what the harness makes of it.
func hang(ctx context.Context, t *harness.T, script string) {
	t.Machine(0).MustRoot(ctx, script)
	<-ctx.Done()
}

// testFaults are tests that go wrong on a healthy guest, and some that do not.
func testFaults() []harness.Test {
	return []harness.Test{
		{
			Name: "selftest.pass", Doc: "pass.",
			Run: func(ctx context.Context, t *harness.T) { t.Machine(0).Must(ctx, "true") },
		},
		{
			Name: "selftest.fail", Doc: "fail/assertion: an assertion does not hold.",
			Run: func(_ context.Context, t *harness.T) { t.Errorf("one is not %d", 2) },
		},
		{
			Name: "selftest.command-fails", Doc: "fail/assertion: a command that must succeed exits with status 3.",
			Run: func(ctx context.Context, t *harness.T) { t.Machine(0).Must(ctx, "echo no luck >&2; exit 3") },
		},
		{
			Name: "selftest.skip", Doc: "skip: the test finds out that it cannot run here.",
			Run: func(_ context.Context, t *harness.T) { t.Skipf("nothing to do on %s", t.Arch()) },
		},
		{
			Name: "selftest.subtests", Doc: "fail/assertion: of three subtests one passes, one fails and one is skipped.",
			Subtests: []harness.Subtest{
				{Name: "passes", Doc: "pass.", Run: func(ctx context.Context, t *harness.T) { t.Machine(0).Must(ctx, "true") }},
				{Name: "fails", Doc: "fail/assertion.", Run: func(_ context.Context, t *harness.T) { t.Fatalf("no good") }},
				{Name: "skipped", Doc: "skip.", Run: func(_ context.Context, t *harness.T) { t.Skipf("not today") }},
			},
		},
		{
			Name: "selftest.timeout", Doc: "fail/timeout: the guest is healthy, and the test takes longer than it may.",
			Timeout: 2 * time.Second,
			Run:     func(ctx context.Context, t *harness.T) { t.Machine(0).Must(ctx, "sleep 3600") },
		},
		{
			Name: "selftest.ignores-context", Doc: "error/harness: the test goes on after its time.",
			Timeout: time.Second,
			Run:     func(context.Context, *harness.T) { <-time.After(time.Hour) },
		},
		{
			Name: "selftest.go-panic", Doc: "error/harness: the test panics.",
			Run: func(_ context.Context, t *harness.T) { t.Logf("%d", []int{}[len(t.Name())]) },
		},
		{
			Name: "selftest.slow", Doc: "pass, after 30 seconds in which a run can be disturbed.",
			Run: func(ctx context.Context, t *harness.T) { t.Machine(0).Must(ctx, "sleep 30") },
		},
		flaky(),
	}
}

// flaky fails when it is first run for an architecture, and passes from then
// on. What was run is known to the catalogue that it belongs to.
func flaky() harness.Test {
	var tried sync.Map
	return harness.Test{
		Name: "selftest.flaky", Doc: "fail/assertion at first, and pass when it is tried again.",
		Run: func(_ context.Context, t *harness.T) {
			if _, again := tried.LoadOrStore(t.Arch(), true); !again {
				t.Errorf("not at the first try")
			}
		},
	}
}
