package clusterhost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seatrial/internal/qmp"
)

// testConfig runs hosts of this test binary, in a directory with a short path.
func testConfig(t *testing.T) Config {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	base, err := os.MkdirTemp("", "sh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	return Config{Exe: exe, Base: filepath.Join(base, "b")}
}

func testSpec(t *testing.T) Spec {
	owned := filepath.Join(t.TempDir(), "owned")
	if err := os.Mkdir(owned, 0o700); err != nil {
		t.Fatal(err)
	}
	return Spec{Name: t.Name(), Networks: []Network{{Name: "net0"}}, Owned: []string{owned}}
}

func startHost(t *testing.T, cfg Config, spec Spec) *Client {
	t.Helper()
	c, err := Start(t.Context(), cfg, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// bootFake announces and boots a fake guest.
func bootFake(t *testing.T, c *Client, name string, extra ...string) (dir string, err error) {
	t.Helper()
	if _, err := c.Announce(t.Context(), name, nil, nil); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	argv := append([]string{exe, fakeGuest, "{fd:qmp}", "{fd:console}", "{fd:nic0}"}, extra...)
	return dir, c.Boot(t.Context(), Machine{Name: name, Dir: dir, Processes: []Process{{Name: "qemu", Argv: argv}}})
}

func mustBootFake(t *testing.T, c *Client, name string) (dir string) {
	t.Helper()
	dir, err := bootFake(t, c, name)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// eventually waits for a condition that other processes bring about.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("it did not come to pass that %s", what)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// recorded returns the PIDs of the processes that a host has started.
func recorded(t *testing.T, c *Client) (pids []int) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.Dir(), processFile))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var pid int
		if _, err := fmt.Sscan(line, &pid); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func runs(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(data), ") Z ")
}

func TestMachineLife(t *testing.T) {
	c := startHost(t, testConfig(t), testSpec(t))
	dir := mustBootFake(t, c, "m1")

	var out struct{ Did string }
	if err := c.QMP(t.Context(), "m1", "something", map[string]int{"n": 1}, &out); err != nil || out.Did != "something" {
		t.Errorf("qmp gave %+v, %v", out, err)
	}
	err := c.QMP(t.Context(), "m1", "refuse", nil, nil)
	if refused, ok := errors.AsType[*qmp.Error](err); !ok || refused.Class != "DeviceNotFound" {
		t.Errorf("a refused command gave %v", err)
	}

	console, err := c.Console(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	lines := bufio.NewReader(console)
	if line, err := lines.ReadString('\n'); err != nil || line != "hello from the guest\n" {
		t.Errorf("console gave %q, %v", line, err)
	}
	if _, err := io.WriteString(console, "typed\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := lines.ReadString('\n'); err != nil || line != "TYPED\n" {
		t.Errorf("console gave %q, %v", line, err)
	}
	info, err := c.Info(t.Context())
	if err != nil || len(info.Machines["m1"]) != 1 {
		t.Errorf("info is %+v, %v", info, err)
	}

	if _, err := bootFake(t, c, "m1"); err == nil {
		t.Error("a running machine was booted again")
	}
	if err := c.Kill(t.Context(), "m1"); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) != 0 {
		t.Errorf("after its end the console gave %q, %v", rest, err)
	}
	exit, err := c.Wait(t.Context(), "m1")
	if err != nil || !exit.Asked || exit.Signal != "SIGKILL" {
		t.Errorf("exit is %+v, %v", exit, err)
	}
	if err := c.QMP(t.Context(), "m1", "something", nil, nil); !errors.Is(err, ErrMachineEnded) {
		t.Errorf("qmp after the end gave %v", err)
	}
	got, err := os.ReadFile(filepath.Join(dir, consoleFile))
	if err != nil || string(got) != "hello from the guest\nTYPED\n" {
		t.Errorf("console.txt is %q, %v", got, err)
	}
	if exists(filepath.Join(dir, "qemu.log")) {
		t.Error("the empty log was left")
	}
	mustBootFake(t, c, "m1") // the name is free again
}

func TestExits(t *testing.T) {
	c := startHost(t, testConfig(t), testSpec(t))
	tests := []struct {
		command string
		want    Exit
	}{
		{"guest-powers-off", Exit{Shutdown: "guest-shutdown"}},
		{"fill-disk", Exit{Code: -1, Signal: "SIGKILL", NoSpace: true}},
		{"crash", Exit{Code: 3, Output: "qemu: internal error"}},
		{"kill-yourself", Exit{Code: -1, Signal: "SIGKILL"}},
	}
	for _, tt := range tests {
		t.Run(tt.command, func(t *testing.T) {
			mustBootFake(t, c, tt.command)
			if err := c.QMP(t.Context(), tt.command, tt.command, nil, nil); !errors.Is(err, ErrMachineEnded) {
				t.Errorf("the last command gave %v", err)
			}
			got, err := c.Wait(t.Context(), tt.command)
			if err != nil {
				t.Fatal(err)
			}
			if got.Time.IsZero() {
				t.Error("the exit has no time")
			}
			got.Time = time.Time{}
			if got != tt.want {
				t.Errorf("exit is %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestFailedStarts(t *testing.T) {
	c := startHost(t, testConfig(t), testSpec(t))
	if _, err := bootFake(t, c, "m1", "could not open disk"); err == nil ||
		!strings.Contains(err.Error(), "exit status 7") || !strings.Contains(err.Error(), "could not open disk") {
		t.Errorf("a machine that ends at once gave %v", err)
	}
	mustBootFake(t, c, "m1")

	boot := func(name string, processes ...Process) error {
		if _, err := c.Announce(t.Context(), name, nil, nil); err != nil {
			t.Fatal(err)
		}
		return c.Boot(t.Context(), Machine{Name: name, Dir: t.TempDir(), Processes: processes})
	}
	mute := []string{"sleep", "1000", "{fd:qmp}", "{fd:console}", "{fd:nic0}"}
	for name, err := range map[string]error{
		"not announced": c.Boot(t.Context(), Machine{Name: "unknown", Dir: t.TempDir(), Processes: []Process{{Argv: mute}}}),
		"no process":    boot("m2"),
		"no argv":       boot("m3", Process{Name: "qemu"}),
		"no monitor":    boot("m4", Process{Name: "qemu", Argv: []string{"true"}}),
		"odd pair":      boot("m5", Process{Name: "qemu", Argv: append(mute, "{fd:pair}")}),
		"no program":    boot("m6", Process{Name: "qemu", Argv: append([]string{"/nonexistent"}, mute...)}),
		"two NICs":      func() error { _, err := c.Announce(t.Context(), "m7", []string{"net0", "net9"}, nil); return err }(),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := c.Kill(t.Context(), "unknown"); !errors.Is(err, ErrNoMachine) {
		t.Errorf("killing an unknown machine gave %v", err)
	}
}

// A boot that is given up leaves no process.
func TestBootCancelled(t *testing.T) {
	c := startHost(t, testConfig(t), testSpec(t))
	if _, err := c.Announce(t.Context(), "mute", nil, nil); err != nil {
		t.Fatal(err)
	}
	why := errors.New("panic on the console")
	ctx, cancel := context.WithCancelCause(t.Context())
	mute := `exec sleep 1000 # {fd:qmp} {fd:console} {fd:nic0}`
	booted := make(chan error)
	go func() {
		booted <- c.Boot(ctx, Machine{Name: "mute", Dir: t.TempDir(), Processes: []Process{
			{Name: "helper", Argv: []string{"sleep", "1000"}}, {Name: "qemu", Argv: []string{"sh", "-c", mute}},
		}})
	}()
	eventually(t, "the processes run", func() bool { return len(recorded(t, c)) == 2 })
	cancel(why)
	if err := <-booted; !errors.Is(err, why) {
		t.Errorf("boot gave %v", err)
	}
	for _, pid := range recorded(t, c) {
		eventually(t, "the process is gone", func() bool { return !runs(pid) })
	}
}

// A helper is connected to its machine, and ends with it.
func TestHelper(t *testing.T) {
	c := startHost(t, testConfig(t), testSpec(t))
	if _, err := c.Announce(t.Context(), "m1", nil, nil); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := `tpm={fd:tpm}; echo $0 ping >&$tpm; read answer <&$tpm; echo "$answer"; exec "$@"`
	err = c.Boot(t.Context(), Machine{Name: "m1", Dir: dir, Processes: []Process{
		{Name: "swtpm", Argv: []string{"sh", "-c", `tpm={fd:tpm}; read question <&$tpm; echo "answer to $question" >&$tpm; exec sleep 1000`}},
		{Name: "qemu", Argv: []string{"sh", "-c", script, "m1", exe, fakeGuest, "{fd:qmp}", "{fd:console}", "{fd:nic0}"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "qemu.log")); err != nil || string(got) != "answer to m1 ping\n" {
		t.Errorf("the machine printed %q, %v", got, err)
	}
	if err := c.QMP(t.Context(), "m1", "guest-powers-off", nil, nil); !errors.Is(err, ErrMachineEnded) {
		t.Fatal(err)
	}
	if _, err := c.Wait(t.Context(), "m1"); err != nil {
		t.Fatal(err)
	}
	for _, pid := range recorded(t, c) {
		if runs(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
}

func TestStartFailures(t *testing.T) {
	cfg := testConfig(t)
	spec := testSpec(t)
	open := filepath.Join(t.TempDir(), "open")
	if err := os.MkdirAll(open, 0o755); err != nil {
		t.Fatal(err)
	}
	bad := spec
	bad.Networks = []Network{{Name: "net0", Capture: "/nonexistent/dir/file"}}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		cfg  Config
		spec Spec
		want string
	}{
		{"no network", t.Context(), cfg, Spec{}, "needs a network"},
		{"open base", t.Context(), Config{Exe: cfg.Exe, Base: open}, spec, "open to other users"},
		{"long base", t.Context(), Config{Exe: cfg.Exe, Base: filepath.Join(cfg.Base, strings.Repeat("x", 90))}, spec, "too long"},
		{"no program", t.Context(), Config{Exe: "/nonexistent", Base: cfg.Base}, spec, "no such file"},
		{"another program", t.Context(), Config{Exe: "/bin/echo", Base: cfg.Base}, spec, "await answer"},
		{"bad network", t.Context(), cfg, bad, "no such file"},
		{"cancelled", cancelled, cfg, spec, "context canceled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Start(tt.ctx, tt.cfg, tt.spec)
			if err == nil {
				t.Error(c.Destroy(t.Context()))
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	entries, err := os.ReadDir(cfg.Base)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && len(e.Name()) == idLength {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
