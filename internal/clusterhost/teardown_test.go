package clusterhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"seatrial/platforms"
)

func TestDestroy(t *testing.T) {
	spec := testSpec(t)
	c := startHost(t, testConfig(t), spec)
	mustBootFake(t, c, "m1")
	pids := recorded(t, c)
	waited := make(chan Exit)
	go func() {
		exit, err := c.Wait(context.Background(), "m1")
		if err != nil {
			t.Error(err)
		}
		waited <- exit
	}()
	begin := time.Now()
	for range 2 {
		if err := c.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
	if exit := <-waited; !exit.Asked {
		t.Errorf("exit is %+v", exit)
	}
	for _, path := range []string{c.Dir(), spec.Owned[0]} {
		if exists(path) {
			t.Errorf("%s is left", path)
		}
	}
	for _, pid := range append(pids, c.info.PID) {
		if runs(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
	if err := c.Boot(t.Context(), Machine{Name: "m2"}); !errors.Is(err, ErrHostGone) {
		t.Errorf("boot after destroy gave %v", err)
	}
}

// A killed host leaves files, which Destroy and Sweep remove, and no process.
func TestHostKilled(t *testing.T) {
	for _, way := range []string{"destroy", "sweep"} {
		t.Run(way, func(t *testing.T) {
			cfg, spec := testConfig(t), testSpec(t)
			c := startHost(t, cfg, spec)
			mustBootFake(t, c, "m1")
			pids := recorded(t, c)
			live := startHost(t, cfg, testSpec(t)) // and this one is not to be touched
			mustBootFake(t, live, "m1")
			if err := syscall.Kill(c.info.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			for _, pid := range pids {
				eventually(t, "the machine is gone", func() bool { return !runs(pid) })
			}
			if _, err := c.Wait(t.Context(), "m1"); !errors.Is(err, ErrHostGone) {
				t.Errorf("waiting gave %v", err)
			}
			if way == "destroy" {
				if err := c.Destroy(t.Context()); err != nil {
					t.Error(err)
				}
			} else {
				sweepDead(t, cfg, c)
			}
			for _, path := range []string{c.Dir(), spec.Owned[0]} {
				if exists(path) {
					t.Errorf("%s is left", path)
				}
			}
			if err := live.QMP(t.Context(), "m1", "something", nil, nil); err != nil {
				t.Errorf("the other cluster: %v", err)
			}
		})
	}
}

func sweepDead(t *testing.T, cfg Config, c *Client) {
	t.Helper()
	eventually(t, "the kernel has released the host's lock", func() bool {
		removed, err := Sweep(cfg.Base, platforms.SweepOptions{DryRun: true})
		return err != nil || len(removed) > 0
	})
	for _, tt := range []struct {
		name string
		o    platforms.SweepOptions
		want int // resources
		left bool
	}{
		{"too young", platforms.SweepOptions{OlderThan: time.Hour}, 0, true},
		{"dry run", platforms.SweepOptions{DryRun: true}, 2, true},
		{"in earnest", platforms.SweepOptions{}, 2, false},
		{"again", platforms.SweepOptions{}, 0, false},
	} {
		removed, err := Sweep(cfg.Base, tt.o)
		if err != nil || len(removed) != tt.want || exists(c.Dir()) != tt.left {
			t.Errorf("%s: removed %+v, %v", tt.name, removed, err)
		}
	}
}

// A process that outlived its host, though it should not, is found by PID and start time; another
// one with a recorded PID is left alone.
func TestSweepProcesses(t *testing.T) {
	cfg := testConfig(t)
	dir, lock, err := makeDir(cfg.Base)
	if err != nil {
		t.Fatal(err)
	}
	var cmds []*exec.Cmd
	records := "garbage\n"
	for i := range 2 {
		cmd := exec.CommandContext(t.Context(), "sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		begin, err := startTime(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		records += fmt.Sprintln(cmd.Process.Pid, begin+uint64(i)) // the second one is another's
		cmds = append(cmds, cmd)
	}
	if err := os.WriteFile(filepath.Join(dir, processFile), []byte(records), 0o600); err != nil {
		t.Fatal(err)
	}
	if removed, err := Sweep(cfg.Base, platforms.SweepOptions{}); err != nil || len(removed) != 0 {
		t.Errorf("with its lock held, removed %+v, %v", removed, err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	removed, err := Sweep(cfg.Base, platforms.SweepOptions{})
	if err != nil || len(removed) != 2 || removed[0].Kind != "process" || removed[1].Name != dir {
		t.Errorf("removed %+v, %v", removed, err)
	}
	_ = cmds[0].Wait()
	if status, ok := cmds[0].ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != unix.SIGKILL {
		t.Errorf("the left process: %v", cmds[0].ProcessState)
	}
	if !runs(cmds[1].Process.Pid) {
		t.Error("a process that was not recorded was killed")
	}
	_ = cmds[1].Process.Kill()
	_ = cmds[1].Wait()
}

// Without its starter a host ends at once.
func TestStarterGone(t *testing.T) {
	spec := testSpec(t)
	c := startHost(t, testConfig(t), spec)
	mustBootFake(t, c, "m1")
	pids := recorded(t, c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the host is gone", func() bool { return !runs(c.info.PID) })
	for _, pid := range pids {
		if runs(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
	if exists(c.Dir()) || exists(spec.Owned[0]) {
		t.Error("files are left")
	}
}

// A kept host serves those who attach, until its time is up.
func TestKeep(t *testing.T) {
	spec := testSpec(t)
	spec.Keep = time.Hour
	c := startHost(t, testConfig(t), spec)
	mustBootFake(t, c, "m1")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	later, err := Attach(t.Context(), c.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if len(later.Networks()) != 1 {
		t.Errorf("attached to %+v", later.info)
	}
	eventually(t, "the host knows of its expiry", func() bool {
		info, err := later.Info(t.Context())
		return err == nil && time.Until(info.KeptUntil) > 59*time.Minute
	})
	if err := later.QMP(t.Context(), "m1", "something", nil, nil); err != nil {
		t.Error(err)
	}
	if err := later.Keep(t.Context(), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the host is gone", func() bool { return !runs(c.info.PID) })
	if exists(c.Dir()) || exists(spec.Owned[0]) {
		t.Error("files are left")
	}
	if _, err := Attach(t.Context(), c.Dir()); !errors.Is(err, ErrHostGone) {
		t.Errorf("attaching to nothing gave %v", err)
	}
}
