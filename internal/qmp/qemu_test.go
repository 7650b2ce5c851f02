package qmp

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// startQEMU runs a stopped guest and returns a connected monitor.
func startQEMU(t *testing.T) (*Monitor, *exec.Cmd) {
	t.Helper()
	binary, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("qemu-system-x86_64 is not installed")
	}
	socket := filepath.Join(t.TempDir(), "qmp")
	cmd := exec.CommandContext(t.Context(), binary, "-S", "-nodefaults", "-display", "none", "-m", "64",
		"-machine", "q35,accel=tcg", "-qmp", "unix:"+socket+",server=on,wait=off")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		m := New(Unix(socket), Options{})
		err := m.ConnectContext(ctx)
		if err == nil {
			t.Cleanup(func() { _ = m.Disconnect() })
			return m, cmd
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("no monitor: %v", err)
		}
	}
}

func TestRealQEMU(t *testing.T) {
	m, cmd := startQEMU(t)
	events, err := m.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var status struct{ Status string }
	if err := m.Execute(t.Context(), "query-status", nil, &status); err != nil || status.Status != "prelaunch" {
		t.Errorf("status is %+v, %v", status, err)
	}
	var schema []struct{ Name string }
	if err := m.Execute(t.Context(), "query-qmp-schema", nil, &schema); err != nil || len(schema) < 1000 {
		t.Errorf("schema has %d entries, %v", len(schema), err)
	}
	err = m.Execute(t.Context(), "no-such-command", nil, nil)
	if refused, ok := errors.AsType[*Error](err); !ok || refused.Class != "CommandNotFound" {
		t.Errorf("unknown command gave %v", err)
	}
	for range 100 { // stop and cont cause an event each, which nobody reads yet
		if err := errors.Join(m.Execute(t.Context(), "cont", nil, nil), m.Execute(t.Context(), "stop", nil, nil)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		if a, b := <-events, <-events; a.Event != "RESUME" || b.Event != "STOP" {
			t.Fatalf("round %d: got %s, %s", i, a.Event, b.Event)
		}
	}
	if err := m.Execute(t.Context(), "quit", nil, nil); err != nil {
		t.Errorf("quit: %v", err)
	}
	var last string
	for e := range events {
		last = e.Event
	}
	if last != "SHUTDOWN" {
		t.Errorf("last event is %q", last)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("qemu: %v", err)
	}
}

func TestRealQEMUKilled(t *testing.T) {
	m, cmd := startQEMU(t)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	<-m.Done()
	if err := m.Execute(t.Context(), "query-status", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}
