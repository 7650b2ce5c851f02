package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"seatrial/platforms"
)

// These tests run guests that have firmware and an empty disk, and so never come up.

// emptyPlatform is a platform whose image is an empty disk.
func emptyPlatform(t *testing.T, arch string) *Platform {
	t.Helper()
	image := filepath.Join(t.TempDir(), "empty.raw")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := New(t.Context(), testOptions(t, arch, image))
	if _, missing := errors.AsType[*MissingError](err); missing {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func emptyCluster(t *testing.T, p *Platform) *Cluster {
	t.Helper()
	c, err := p.NewCluster(t.Context(), platforms.ClusterSpec{Name: "empty", Dir: t.TempDir(), Capture: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c.(*Cluster)
}

// printed is a console that tells when it holds a text.
type printed struct {
	want string
	once sync.Once
	seen chan struct{}
	mu   sync.Mutex
	text bytes.Buffer
}

func newPrinted(want string) *printed { return &printed{want: want, seen: make(chan struct{})} }

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.text.Write(b)
	if strings.Contains(p.text.String(), p.want) {
		p.once.Do(func() { close(p.seen) })
	}
	return n, err
}

// Each kind of firmware starts and speaks on the console, and a disk without a system is the
// guest's fault when the time is up.
func TestNoSystem(t *testing.T) {
	for _, tt := range []struct {
		arch string
		fw   platforms.Firmware
		tpm  bool
		says string
	}{
		{"amd64", platforms.BIOS, true, "No bootable device"},
		{"amd64", platforms.UEFI, true, "BdsDxe: "},
		{"amd64", platforms.UEFISecure, false, "BdsDxe: "},
		{"arm64", platforms.UEFI, true, "UEFI firmware"},
	} {
		t.Run(fmt.Sprintf("%s-%s", tt.arch, tt.fw), func(t *testing.T) {
			p := emptyPlatform(t, tt.arch)
			spec := platforms.MachineSpec{Name: "m", Firmware: tt.fw, TPM: tt.tpm, Disks: []platforms.Disk{{SizeMiB: 1, Serial: "x"}}}
			if err := p.check(spec); err != nil {
				t.Skip(err)
			}
			c := emptyCluster(t, p)
			console := newPrinted(tt.says)
			spec.Console = console
			spec.UserData = []byte("#cloud-config\nhostname: m\n")
			ctx, cancel := context.WithCancel(t.Context())
			deadline := make(chan struct{})
			go func() { // the guest's time is up once it has said what it says
				defer close(deadline)
				select {
				case <-console.seen:
				case <-time.After(3 * time.Minute):
					t.Errorf("the console never said %q: %q", tt.says, console.text.String())
				}
				cancel()
			}()
			_, err := c.Boot(expiring{ctx}, spec)
			<-deadline
			if guest, ok := errors.AsType[*platforms.GuestError](err); !ok || guest.Op != "boot" || guest.Machine != "m" {
				t.Errorf("Boot gave %v", err)
			}
			saved, err := os.ReadFile(filepath.Join(c.spec.Dir, "m", "console.txt"))
			if err != nil || !bytes.Contains(saved, []byte(tt.says)) {
				t.Errorf("console.txt has %d bytes, %v", len(saved), err)
			}
			if _, err := os.Stat(filepath.Join(c.disks, "m")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the disks of the failed machine are left: %v", err)
			}
		})
	}
}

// expiring is a context that ends by what looks like its deadline.
type expiring struct{ context.Context }

func (e expiring) Err() error {
	if e.Context.Err() != nil {
		return context.DeadlineExceeded
	}
	return nil
}

// bootEmpty boots a machine in the background, and returns once its processes run.
func bootEmpty(t *testing.T, c *Cluster) (booted <-chan error) {
	t.Helper()
	started := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		_, err := c.Boot(t.Context(), platforms.MachineSpec{Name: "m", Progress: func(state string) {
			if state == "booting" {
				close(started)
			}
		}})
		result <- err
	}()
	select {
	case <-started:
	case err := <-result:
		t.Fatal(err)
	}
	return result
}

// children lists the processes that a process has started.
func children(t *testing.T, parent int) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && fields[1] == strconv.Itoa(parent) && fields[0] != "Z" {
			pids = append(pids, pid)
		}
	}
	return pids
}

func hostPID(t *testing.T, c *Cluster) int {
	t.Helper()
	info, err := c.client.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.PID
}

func awaitGone(t *testing.T, what string, gone func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(10 * time.Second); !gone(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s is left", what)
		}
	}
}

func processGone(pid int) func() bool {
	return func() bool {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(data), ") Z ")
	}
}

// What dies under a boot is told at once, and is not the guest's fault.
func TestKilledFromOutside(t *testing.T) {
	for _, victim := range []string{"qemu", "host"} {
		t.Run(victim, func(t *testing.T) {
			c := emptyCluster(t, emptyPlatform(t, "amd64"))
			booted := bootEmpty(t, c)
			host := hostPID(t, c)
			qemus := children(t, host)
			if len(qemus) != 1 {
				t.Fatalf("the host has processes %v", qemus)
			}
			pid, says := qemus[0], "SIGKILL"
			if victim == "host" {
				pid, says = host, "cluster host is gone"
			}
			begin := time.Now()
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			err := <-booted
			if _, guest := errors.AsType[*platforms.GuestError](err); guest || err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("Boot gave %v", err)
			}
			if d := time.Since(begin); d > 2*time.Second {
				t.Errorf("it took %v", d)
			}
			awaitGone(t, "qemu", processGone(qemus[0]))
			if err := c.Destroy(t.Context()); err != nil {
				t.Error(err)
			}
			for _, path := range []string{c.client.Dir(), c.disks} {
				if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is left: %v", path, err)
				}
			}
		})
	}
}

// runnerMode is the first argument that makes the test binary a runner to be killed: it boots a
// machine below the directory of the second argument, and says where.
const runnerMode = "runner"

// TestRunnerKilled kills a whole runner, which leaves nothing.
func TestRunnerKilled(t *testing.T) {
	emptyPlatform(t, "amd64") // or this is skipped
	dir, err := os.MkdirTemp("", "sq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, runnerMode, dir)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var host int
	if _, err := fmt.Fscan(stdout, &host); err != nil {
		t.Fatal(err)
	}
	qemus := children(t, host)
	if len(qemus) != 1 {
		t.Errorf("the host has processes %v", qemus)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for _, pid := range append(qemus, host) {
		awaitGone(t, fmt.Sprint("process ", pid), processGone(pid))
	}
	for _, pattern := range []string{"r/??????????", "state/clusters/*"} {
		left, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(left) > 0 {
			t.Errorf("%v is left, %v", left, err)
		}
	}
}
