package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"seatrial/platforms"
)

// boot boots a machine in a cluster of its own, which the test's end removes.
func boot(t *testing.T, o Options) *Machine {
	t.Helper()
	p := New(o)
	c, err := p.NewCluster(t.Context(), platforms.ClusterSpec{Name: "c", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Destroy(context.WithoutCancel(t.Context())), p.Close()); err != nil {
			t.Error(err)
		}
	})
	m, err := c.Boot(t.Context(), platforms.MachineSpec{Name: "m0"})
	if err != nil {
		t.Fatal(err)
	}
	return m.(*Machine)
}

// run runs a command, whose exit status has to be 0.
func run(t *testing.T, m platforms.Machine, line string) string {
	t.Helper()
	res, err := m.Exec(t.Context(), platforms.Command{Line: line})
	if err != nil || res.ExitCode != 0 {
		t.Fatalf("%s: status %d: %s: %v", line, res.ExitCode, res.Stderr, err)
	}
	return string(res.Stdout)
}

// TestFaults: what a guest does when it goes wrong, told to by a method or by a
// command, and what is seen of it from outside.
func TestFaults(t *testing.T) {
	tests := []struct {
		name    string
		method  func(*Machine)
		command string
		running error // of the command that runs meanwhile; nil means that it blocks for ever
		next    error // of the next command; nil means that it works
		blocks  bool  // the next command blocks for ever
		console string
		wait    string // error of Wait; empty means that the machine stays
	}{
		{name: "panic", method: func(m *Machine) { m.Panic("sysrq triggered crash") }, command: "sudo sh -c 'echo c >/proc/sysrq-trigger'",
			blocks: true, console: "Kernel panic - not syncing: sysrq triggered crash"},
		{name: "hang", method: (*Machine).Hang, command: "sudo sh -c 'echo 1 >/sys/fs/cgroup/user.slice/cgroup.freeze'", blocks: true},
		{name: "halt", method: (*Machine).Halt, command: "sudo systemctl poweroff",
			running: platforms.ErrConnectionLost, next: platforms.ErrMachineGone, wait: "did not stay up: it shut itself down"},
		{name: "kill", method: (*Machine).Kill,
			running: platforms.ErrConnectionLost, next: platforms.ErrMachineGone, wait: "killed from outside"},
		{name: "disconnect", method: (*Machine).Disconnect, command: "sudo pkill -KILL -f '^sshd: .*@'", running: platforms.ErrConnectionLost},
		{name: "no SSH", method: (*Machine).StopSSH, command: "sudo systemctl stop ssh.service",
			running: platforms.ErrConnectionLost, next: platforms.ErrConnectionLost},
		{name: "restart", command: "sudo systemctl reboot", running: platforms.ErrConnectionLost},
	}
	for _, tt := range tests {
		causes := map[string]func(context.Context, *Machine){}
		if tt.method != nil {
			causes["method"] = func(_ context.Context, m *Machine) { tt.method(m) }
		}
		if tt.command != "" {
			causes["command"] = func(ctx context.Context, m *Machine) {
				_, _ = m.Exec(ctx, platforms.Command{Line: tt.command}) // its fate differs, and is tested elsewhere
			}
		}
		for how, cause := range causes {
			t.Run(tt.name+" by "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := boot(t, Options{})
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					running := make(chan error, 1)
					go func() {
						_, err := m.Exec(ctx, platforms.Command{Line: "sleep infinity"})
						running <- err
					}()
					synctest.Wait()
					go cause(ctx, m)
					synctest.Wait()
					want := tt.running
					if want == nil {
						want = context.DeadlineExceeded
					}
					wantNext := tt.next
					if tt.blocks {
						wantNext = context.DeadlineExceeded
					}
					short, stop := context.WithTimeout(ctx, time.Minute)
					defer stop()
					if _, err := m.Exec(short, platforms.Command{Line: "true"}); !errors.Is(err, wantNext) {
						t.Errorf("the next command gave %v, want %v", err, wantNext)
					}
					if err := <-running; !errors.Is(err, want) {
						t.Errorf("the running command gave %v, want %v", err, want)
					}
					checkEnd(t, m, tt.console, tt.wait)
				})
			})
		}
	}
}

// checkEnd looks at a machine's console, and at whether and how it ended.
func checkEnd(t *testing.T, m *Machine, console, wait string) {
	t.Helper()
	var text strings.Builder
	if err := m.Console(t.Context(), &text); err != nil || !strings.Contains(text.String(), console) {
		t.Errorf("the console is %q, %v", text.String(), err)
	}
	if wait == "" {
		wait = context.DeadlineExceeded.Error()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := m.Wait(ctx); err == nil || !strings.Contains(err.Error(), wait) {
		t.Errorf("Wait gave %v, want %q", err, wait)
	}
}

// TestBootFaults: the ways in which a boot fails.
func TestBootFaults(t *testing.T) {
	noSpace := errors.New("no space left")
	tests := []struct {
		name  string
		hook  func(context.Context, *Machine) error
		want  error
		guest bool
	}{
		{"fine", func(context.Context, *Machine) error { return nil }, nil, false},
		{"error", func(context.Context, *Machine) error { return noSpace }, noSpace, false},
		{"hang", func(_ context.Context, m *Machine) error { m.Hang(); return nil }, context.DeadlineExceeded, true},
		{"panic", func(_ context.Context, m *Machine) error { m.Panic("no init found"); return nil }, context.DeadlineExceeded, true},
		{"halt", func(_ context.Context, m *Machine) error { m.Halt(); return nil }, nil, true},
		{"kill", func(_ context.Context, m *Machine) error { m.Kill(); return nil }, platforms.ErrMachineGone, false},
		{"no SSH", func(_ context.Context, m *Machine) error { m.StopSSH(); return nil }, platforms.ErrConnectionLost, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := New(Options{Boot: func(ctx context.Context, m *Machine, _ platforms.MachineSpec) error { return tt.hook(ctx, m) }})
				c, err := p.NewCluster(t.Context(), platforms.ClusterSpec{Name: "c", Dir: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err = c.Boot(ctx, platforms.MachineSpec{Name: "m0"})
				guest, isGuest := errors.AsType[*platforms.GuestError](err)
				if isGuest != tt.guest || tt.want != nil && !errors.Is(err, tt.want) || tt.name == "fine" && err != nil {
					t.Errorf("Boot gave %v", err)
				}
				if isGuest && guest.Op != "boot" {
					t.Errorf("it did not %q", guest.Op)
				}
				if err := errors.Join(c.Destroy(t.Context()), p.Close()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestStrict: what no platform accepts is not accepted here.
func TestStrict(t *testing.T) {
	p := New(Options{})
	spec := platforms.ClusterSpec{Name: "c", Dir: t.TempDir(), Networks: []platforms.NetworkSpec{{Name: "lan"}, {Name: "wan"}}}
	c, err := p.NewCluster(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Boot(t.Context(), platforms.MachineSpec{Name: "m0", Networks: []string{"wan", "lan"}}); err != nil {
		t.Fatal(err)
	}
	clusters := map[string]platforms.ClusterSpec{
		"name in use":  spec,
		"no name":      {Dir: spec.Dir},
		"no directory": {Name: "d", Dir: spec.Dir + "/none"},
		"internet":     {Name: "d", Dir: spec.Dir, Internet: true},
	}
	for name, spec := range clusters {
		if _, err := p.NewCluster(t.Context(), spec); err == nil {
			t.Errorf("%s: a cluster was made", name)
		}
	}
	machines := map[string]platforms.MachineSpec{
		"name in use":     {Name: "m0"},
		"no host name":    {Name: "Not_A_Host"},
		"unknown network": {Name: "m1", Networks: []string{"dmz"}},
		"secure boot":     {Name: "m1", Firmware: platforms.UEFISecure},
	}
	for name, spec := range machines {
		if _, err := c.Boot(t.Context(), spec); err == nil {
			t.Errorf("%s: a machine was booted", name)
		}
	}
	if err := p.Close(); err == nil || !strings.Contains(err.Error(), "cluster c was not destroyed") {
		t.Errorf("Close gave %v", err)
	}
	if _, err := p.NewCluster(t.Context(), platforms.ClusterSpec{Name: "d", Dir: spec.Dir}); err == nil {
		t.Error("a closed platform made a cluster")
	}
}

// TestUsers: the login user may not do what root may.
func TestUsers(t *testing.T) {
	m := boot(t, Options{})
	if err := m.Upload(t.Context(), "/etc/secret", 0o600, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"cat /etc/secret", "cat /root/.profile", "echo x >/etc/motd", "systemctl poweroff", "echo c >/proc/sysrq-trigger",
	} {
		res, err := m.Exec(t.Context(), platforms.Command{Line: line})
		if err != nil || res.ExitCode == 0 {
			t.Errorf("%s: status %d, %v", line, res.ExitCode, err)
		}
	}
	if got := run(t, m, "sudo cat /etc/secret"); got != "x" {
		t.Errorf("root read %q", got)
	}
	if got := run(t, m, "echo mine >/tmp/mine; echo more >>/tmp/mine; cat /tmp/mine; ls=/tmp/*; echo $ls"); got != "mine\nmore\n/tmp/mine\n" {
		t.Errorf("the user's own file: %q", got)
	}
}

// TestJournal: the follower prints what was logged and what is, and ends with
// its context or the machine.
func TestJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := boot(t, Options{})
		m.Log("sshd", "before")
		for _, end := range []func(cancel func()){func(cancel func()) { cancel() }, func(func()) { m.Halt() }} {
			ctx, cancel := context.WithCancel(t.Context())
			r, w := io.Pipe()
			done := make(chan error, 1)
			go func() {
				_, err := m.Exec(ctx, platforms.Command{Line: "exec sudo -n journalctl -b --no-tail -f", Stdout: w})
				w.Close()
				done <- err
			}()
			go func() {
				synctest.Wait()
				m.Log("sshd", "after")
			}()
			buf := make([]byte, 200)
			for _, want := range []string{"m0 sshd[1]: before\n", "m0 sshd[1]: after\n"} {
				n, err := r.Read(buf)
				if err != nil || !strings.HasSuffix(string(buf[:n]), want) {
					t.Fatalf("read %q, %v", buf[:n], err)
				}
			}
			go io.Copy(io.Discard, r) //nolint:errcheck // until the follower closes it
			end(cancel)
			if err := <-done; err == nil {
				t.Error("the follower ended by itself")
			}
			cancel()
		}
	})
}

// TestExecHook: a test scripts some commands, and leaves the others to the
// guest's shell.
func TestExecHook(t *testing.T) {
	m := boot(t, Options{Exec: func(ctx context.Context, m *Machine, cmd platforms.Command) (platforms.Result, error) {
		if cmd.Line == "docker info" {
			return platforms.Result{Stdout: []byte("fine\n")}, nil
		}
		return m.Run(ctx, cmd)
	}})
	if got := run(t, m, "docker info"); got != "fine\n" {
		t.Errorf("the scripted command printed %q", got)
	}
	if got := run(t, m, "hostname"); got != "m0\n" {
		t.Errorf("the other one printed %q", got)
	}
}

// TestFiles: a machine's console and user data are kept where the cluster's
// files are.
func TestFiles(t *testing.T) {
	p, dir := New(Options{}), t.TempDir()
	c, err := p.NewCluster(t.Context(), platforms.ClusterSpec{Name: "c", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Boot(t.Context(), platforms.MachineSpec{Name: "m0", UserData: []byte("#!/bin/sh\n")})
	if err != nil {
		t.Fatal(err)
	}
	m.(*Machine).Print("the end\n")
	if err := c.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"console.txt": "the end\n", "user-data": "#!/bin/sh\n"} {
		got, err := os.ReadFile(filepath.Join(dir, "m0", name))
		if err != nil || !strings.HasSuffix(string(got), want) {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}

// TestMany: machines cost next to nothing. What counts is CPU time, which does
// not depend on what else the host does.
func TestMany(t *testing.T) {
	const n, limit = 10_000, 5 * time.Second
	p, dir, began := New(Options{NoFiles: true}), t.TempDir(), cpuTime(t)
	for i := range n {
		c, err := p.NewCluster(t.Context(), platforms.ClusterSpec{Name: fmt.Sprint(i), Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.Boot(t.Context(), platforms.MachineSpec{Name: "m0"})
		if err != nil {
			t.Fatal(err)
		}
		run(t, m, "true")
		if err := c.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if d := cpuTime(t) - began; d > limit {
		t.Errorf("%d machines took %v of CPU time, more than %v", n, d, limit)
	} else {
		t.Logf("%d machines took %v of CPU time", n, d)
	}
}

// cpuTime is what this process has used so far.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
