package platformtest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"seatrial/platforms"
)

// testLiveConsole: what is printed now is seen now.
func testLiveConsole(t *testing.T, f *fixture) {
	if f.console.String() == "" {
		t.Error("the boot printed nothing")
	}
	const mark = "<6>seatrial live console mark"
	f.run(t, f.a, "echo '"+mark+"' | sudo tee /dev/kmsg")
	ctx, cancel := context.WithTimeout(t.Context(), f.CommandTime)
	defer cancel()
	if err := f.console.await(ctx, strings.TrimPrefix(mark, "<6>")); err != nil {
		t.Error(err)
	}
}

func testReboot(t *testing.T, f *fixture) {
	before := bootID(t, f.Harness, f.a)
	f.run(t, f.a, "echo kept | sudo tee /var/tmp/seatrial-kept")
	ctx, cancel := context.WithTimeout(t.Context(), f.BootTime)
	defer cancel()
	if err := f.a.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	if after := bootID(t, f.Harness, f.a); after == before {
		t.Error("the boot ID is the same")
	}
	if got := f.run(t, f.a, "cat /var/tmp/seatrial-kept"); got != "kept" {
		t.Errorf("the disk was not kept: read %q", got)
	}

	// A guest that restarts behind the platform's back is reached again, in time.
	before = bootID(t, f.Harness, f.a)
	_, err := f.a.Exec(ctx, platforms.Command{Line: "sudo systemctl reboot"})
	if err != nil && !errors.Is(err, platforms.ErrConnectionLost) {
		t.Errorf("a restart by a command gave %v", err)
	}
	for tick := time.NewTicker(200 * time.Millisecond); ; {
		r, err := f.a.Exec(ctx, platforms.Command{Line: "cat /proc/sys/kernel/random/boot_id"})
		if after := strings.TrimSpace(string(r.Stdout)); err == nil && r.ExitCode == 0 && after != before {
			tick.Stop()
			return
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, platforms.ErrConnectionLost) {
			t.Errorf("while it restarted, a command gave %v", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it is not reached again: %v", err)
		}
	}
}

func testSavedConsole(t *testing.T, f *fixture) {
	var saved bytes.Buffer
	if err := f.a.Console(t.Context(), &saved); err != nil {
		t.Fatal(err)
	}
	if saved.Len() == 0 || saved.Len() > platforms.MaxConsole {
		t.Errorf("it has %d bytes", saved.Len())
	}
}

func testDestroy(t *testing.T, f *fixture) {
	ended := make(chan error, 1)
	go func() { ended <- f.a.Wait(t.Context()) }()
	for range 2 {
		if err := f.cluster.Destroy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("Wait gave %v", err)
	}
	if _, err := f.a.Exec(t.Context(), platforms.Command{Line: "true"}); !errors.Is(err, platforms.ErrMachineGone) {
		t.Errorf("a command gave %v", err)
	}
	if err := f.a.Reboot(t.Context()); !errors.Is(err, platforms.ErrMachineGone) {
		t.Errorf("Reboot gave %v", err)
	}
	if err := f.a.PowerOff(t.Context()); err != nil {
		t.Errorf("PowerOff gave %v", err)
	}
	if f.Platform.Capabilities().Has[platforms.SavedConsole] {
		var saved bytes.Buffer
		if err := f.a.Console(t.Context(), &saved); err != nil || saved.Len() == 0 {
			t.Errorf("the console has %d bytes, %v", saved.Len(), err)
		}
	}
	if _, err := f.cluster.Boot(t.Context(), platforms.MachineSpec{Name: "late"}); err == nil {
		t.Error("a machine was booted")
	}
}

// testForked: machines are forks of templates unless they ask not to be, and are prepared then.
func testForked(t *testing.T, f *fixture) {
	forker, ok := f.Platform.(platforms.Forker)
	if !ok {
		t.Fatal("the platform does not implement platforms.Forker")
	}
	started(t, f.a, platforms.StartFork)
	if !forker.HasTemplate(f.spec) {
		t.Error("the template of a fork is not there")
	}
	if r := f.exec(t, f.a, platforms.Command{Line: "cat /etc/prepared"}); string(r.Stdout) != "as root\n" {
		t.Errorf("it is not prepared: %+v", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), f.CommandTime)
	defer cancel()
	if err := forker.Template(ctx, f.spec); err != nil {
		t.Errorf("a template that is there gave %v", err)
	}
	cold := platforms.MachineSpec{Cold: true}
	if err := forker.Template(ctx, cold); !errors.Is(err, platforms.ErrUnsupported) || forker.HasTemplate(cold) {
		t.Errorf("a template for cold machines gave %v", err)
	}
}

// started checks how a machine came to run, without a fallback.
func started(t *testing.T, m platforms.Machine, want platforms.Start) {
	t.Helper()
	s, ok := m.(platforms.Starter)
	if !ok {
		t.Fatal("the machine does not implement platforms.Starter")
	}
	if how, fallback := s.Started(); how != want || fallback != nil {
		t.Errorf("it started %s, %v; want %s", how, fallback, want)
	}
}

// testEnds: the ways in which a machine ends.
func testEnds(t *testing.T, h Harness) {
	t.Run("PowerOff", func(t *testing.T) {
		m := h.bootOne(t, platforms.MachineSpec{Name: "m", Cold: true})
		if h.Platform.Capabilities().Has[platforms.Fork] {
			started(t, m, platforms.StartCold)
		}
		ctx, cancel := context.WithTimeout(t.Context(), h.BootTime)
		defer cancel()
		for range 2 {
			if err := m.PowerOff(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Wait(ctx); err != nil {
			t.Errorf("Wait gave %v", err)
		}
		if _, err := m.Exec(ctx, platforms.Command{Line: "true"}); !errors.Is(err, platforms.ErrMachineGone) {
			t.Errorf("a command gave %v", err)
		}
	})
	t.Run("Itself", func(t *testing.T) {
		m := h.bootOne(t, platforms.MachineSpec{Name: "m"})
		ctx, cancel := context.WithTimeout(t.Context(), h.BootTime)
		defer cancel()
		short, stop := context.WithTimeout(ctx, 100*time.Millisecond)
		defer stop()
		if err := m.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before its end, Wait gave %v", err)
		}
		if _, err := m.Exec(ctx, platforms.Command{Line: "sudo systemctl poweroff"}); err != nil && !errors.Is(err, platforms.ErrConnectionLost) {
			t.Errorf("the command gave %v", err)
		}
		err := m.Wait(ctx)
		if guest, ok := errors.AsType[*platforms.GuestError](err); !ok || guest.Op != "stay up" {
			t.Errorf("Wait gave %v", err)
		}
	})
	t.Run("BootCancelled", func(t *testing.T) {
		c := h.newCluster(t, t.TempDir())
		why := errors.New("panic on the console")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		begin := time.Now()
		_, err := c.Boot(ctx, platforms.MachineSpec{Name: "m", Progress: func(string) { cancel(why) }})
		if _, guest := errors.AsType[*platforms.GuestError](err); guest || !errors.Is(err, why) {
			t.Errorf("Boot gave %v", err)
		}
		if d := time.Since(begin); d > h.CommandTime {
			t.Errorf("it took %v", d)
		}
	})
	t.Run("BootTooLong", func(t *testing.T) {
		c := h.newCluster(t, t.TempDir())
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := c.Boot(ctx, platforms.MachineSpec{Name: "m"})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Boot gave %v", err)
		}
	})
}

// bootOne boots a machine in a cluster of its own.
func (h Harness) bootOne(t *testing.T, spec platforms.MachineSpec) platforms.Machine {
	t.Helper()
	c := h.newCluster(t, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), h.BootTime)
	defer cancel()
	m, err := c.Boot(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// testRefusals: what the platform cannot do, it says.
func testRefusals(t *testing.T, h Harness) {
	has := h.Platform.Capabilities().Has
	c := h.newCluster(t, t.TempDir())
	for _, tt := range []struct {
		need platforms.Capability
		spec platforms.MachineSpec
	}{
		{platforms.FirmwareBIOS, platforms.MachineSpec{Firmware: platforms.BIOS}},
		{platforms.FirmwareUEFI, platforms.MachineSpec{Firmware: platforms.UEFI}},
		{platforms.FirmwareSecure, platforms.MachineSpec{Firmware: platforms.UEFISecure}},
		{platforms.TPM2, platforms.MachineSpec{TPM: true}},
		{platforms.ExtraDisks, platforms.MachineSpec{Disks: []platforms.Disk{{SizeMiB: 1, Serial: "x"}}}},
		{platforms.GrowDisk, platforms.MachineSpec{GrowDiskMiB: 1}},
	} {
		if has[tt.need] {
			continue
		}
		tt.spec.Name = "m"
		if _, err := c.Boot(t.Context(), tt.spec); !errors.Is(err, platforms.ErrUnsupported) {
			t.Errorf("without %s, Boot gave %v", tt.need, err)
		}
	}
	if l, ok := c.(platforms.Listener); ok {
		if _, err := l.Listen(t.Context(), "udp", ":0"); !errors.Is(err, platforms.ErrUnsupported) {
			t.Errorf("listening on udp gave %v", err)
		}
	}
}
