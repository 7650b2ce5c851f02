// Package platformtest is the conformance suite of platforms: what [Run] accepts is a platform as
// the contracts of package platforms mean it.
//
// The suite boots real machines where the platform has real ones, as few as it can: two that stay
// and are shared by the tests, and one for each way in which a machine ends. What the platform
// does not claim to be capable of is skipped, or must be refused.
//
// Guests need a POSIX shell with the usual utilities, bash, and an SSH server on port 22.
package platformtest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"seatrial/platforms"
)

// Harness is how a platform is put to the test.
type Harness struct {
	Platform platforms.Platform
	// BootTime bounds each boot and reboot.
	BootTime time.Duration
	// CommandTime bounds each short command.
	CommandTime time.Duration
}

// Run puts the platform that open makes through the suite.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	h := open(t)
	t.Cleanup(func() {
		if err := h.Platform.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Run("Capabilities", func(t *testing.T) { testCapabilities(t, h) })
	t.Run("Cluster", func(t *testing.T) { testCluster(t, h) })
	t.Run("Ends", func(t *testing.T) { testEnds(t, h) })
	t.Run("Refusals", func(t *testing.T) { testRefusals(t, h) })
}

func testCapabilities(t *testing.T, h Harness) {
	caps := h.Platform.Capabilities()
	if caps.Platform == "" || caps.Arch == "" || caps.MemoryMiB <= 0 || caps.CPUs <= 0 {
		t.Errorf("capabilities are incomplete: %+v", caps)
	}
	if again := h.Platform.Capabilities(); len(again.Has) != len(caps.Has) || len(again.Has.Missing(caps.Has.List()...)) > 0 {
		t.Errorf("capabilities changed from %v to %v", caps.Has.List(), again.Has.List())
	}
}

// fixture is the cluster that the tests of testCluster share.
type fixture struct {
	Harness
	cluster platforms.Cluster
	a, b    platforms.Machine
	console *watchedBuffer // of a
	states  *watchedBuffer // what a's boot passed through
	spec    platforms.MachineSpec
}

// testCluster runs all that does not end its machines.
func testCluster(t *testing.T, h Harness) {
	f := &fixture{Harness: h, console: newWatchedBuffer(), states: newWatchedBuffer()}
	var networks []platforms.NetworkSpec
	if h.Platform.Capabilities().Has[platforms.ManyNetworks] {
		networks = []platforms.NetworkSpec{{Name: "front"}, {Name: "back"}}
	}
	f.cluster = h.newCluster(t, t.TempDir(), networks...)
	f.spec = h.fullSpec("a", f.console, f.states)
	for _, n := range networks {
		f.spec.Networks = append(f.spec.Networks, n.Name)
	}
	f.bootBoth(t)
	for _, test := range []struct {
		name string
		run  func(t *testing.T, f *fixture)
		need platforms.Capability
	}{
		{"Identity", testIdentity, ""},
		{"Forked", testForked, platforms.Fork},
		{"Exec", testExec, ""},
		{"ExecStreams", testExecStreams, ""},
		{"ExecCancel", testExecCancel, ""},
		{"ExecMany", testExecMany, ""},
		{"Files", testFiles, ""},
		{"Disks", testDisks, platforms.ExtraDisks},
		{"GrownDisk", testGrownDisk, platforms.GrowDisk},
		{"Dial", testDial, ""},
		{"Peers", testPeers, platforms.MultiMachine},
		{"Listener", testListener, platforms.Fixtures},
		{"Impairer", testImpairer, platforms.Impair},
		{"LiveConsole", testLiveConsole, platforms.LiveConsole},
		{"Reboot", testReboot, platforms.RebootCap},
		// A fork may be reached in another way than a machine that was booted.
		{"ExecAfterReboot", testExec, platforms.Fork},
		{"ExecStreamsAfterReboot", testExecStreams, platforms.Fork},
		{"ExecCancelAfterReboot", testExecCancel, platforms.Fork},
		{"ExecManyAfterReboot", testExecMany, platforms.Fork},
		{"FilesAfterReboot", testFiles, platforms.Fork},
		{"SavedConsole", testSavedConsole, platforms.SavedConsole},
		{"Destroy", testDestroy, ""}, // the last one: it ends the others' machines
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.need != "" {
				f.need(t, test.need)
			}
			test.run(t, f)
		})
	}
}

// need skips a test of what the platform does not have.
func (h Harness) need(t *testing.T, c platforms.Capability) {
	t.Helper()
	if !h.Platform.Capabilities().Has[c] {
		t.Skipf("the platform has not the capability %s", c)
	}
}

func (h Harness) newCluster(t *testing.T, dir string, networks ...platforms.NetworkSpec) platforms.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), h.BootTime)
	defer cancel()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	c, err := h.Platform.NewCluster(ctx, platforms.ClusterSpec{Name: name, Dir: dir, Networks: networks})
	if err != nil {
		t.Fatalf("new cluster: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Destroy(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("destroy: %v", err)
		}
	})
	return c
}

// fullSpec asks for all that the platform can give a machine without changing how it starts.
func (h Harness) fullSpec(name string, console, states *watchedBuffer) platforms.MachineSpec {
	has := h.Platform.Capabilities().Has
	spec := platforms.MachineSpec{Name: name, Progress: func(s string) { states.add(s + "\n") }}
	if has[platforms.LiveConsole] {
		spec.Console = console
	}
	if has[platforms.ExtraDisks] {
		spec.Disks = []platforms.Disk{{SizeMiB: 64, Serial: "first"}, {SizeMiB: 128, Serial: "second"}}
	}
	if has[platforms.GrowDisk] {
		spec.GrowDiskMiB = 512
	}
	if has[platforms.Fork] {
		spec.Prepare = "echo as root >/etc/prepared"
	}
	return spec
}

// bootBoth boots the machines that the tests share, together where the platform allows it.
func (f *fixture) bootBoth(t *testing.T) {
	t.Helper()
	boot := func(ctx context.Context, m *platforms.Machine, spec platforms.MachineSpec) error {
		ctx, cancel := context.WithTimeout(ctx, f.BootTime)
		defer cancel()
		var err error
		*m, err = f.cluster.Boot(ctx, spec)
		return err
	}
	group, ctx := errgroup.WithContext(t.Context())
	group.Go(func() error { return boot(ctx, &f.a, f.spec) })
	if f.Platform.Capabilities().Has[platforms.MultiMachine] {
		group.Go(func() error { return boot(ctx, &f.b, platforms.MachineSpec{Name: "b", Networks: f.spec.Networks}) })
	}
	if err := group.Wait(); err != nil {
		t.Fatalf("boot: %v\nconsole:\n%s", err, f.console.String())
	}
}

// run runs a command that has to succeed, and returns what it prints.
func (h Harness) run(t *testing.T, m platforms.Machine, line string) string {
	t.Helper()
	r := h.exec(t, m, platforms.Command{Line: line})
	if r.ExitCode != 0 {
		t.Fatalf("%s: exit status %d: %s", line, r.ExitCode, r.Stderr)
	}
	return strings.TrimSpace(string(r.Stdout))
}

func (h Harness) exec(t *testing.T, m platforms.Machine, cmd platforms.Command) platforms.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), h.CommandTime)
	defer cancel()
	r, err := m.Exec(ctx, cmd)
	if err != nil {
		t.Fatalf("%s: %v", cmd.Line, err)
	}
	return r
}

func bootID(t *testing.T, h Harness, m platforms.Machine) string {
	t.Helper()
	return h.run(t, m, "cat /proc/sys/kernel/random/boot_id")
}

// watchedBuffer is written by one goroutine and looked at by another.
type watchedBuffer struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	grown chan struct{} // closed and replaced at each write
}

func newWatchedBuffer() *watchedBuffer { return &watchedBuffer{grown: make(chan struct{})} }

func (b *watchedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.grown)
	b.grown = make(chan struct{})
	return b.buf.Write(p)
}

func (b *watchedBuffer) add(s string) { _, _ = b.Write([]byte(s)) } // a bytes.Buffer takes all

func (b *watchedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// await waits until the buffer holds a text.
func (b *watchedBuffer) await(ctx context.Context, text string) error {
	for {
		b.mu.Lock()
		found, grown := strings.Contains(b.buf.String(), text), b.grown
		b.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return errors.New("it never held " + text)
		}
	}
}
