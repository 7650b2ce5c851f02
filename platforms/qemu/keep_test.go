package qemu

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seatrial/platforms"
)

// A kept cluster outlives its maker, is entered with a key of its own, and ends when told to.
func TestKeepAndAttach(t *testing.T) {
	for arch, image := range guestImages(t) {
		t.Run(arch, func(t *testing.T) {
			o := testOptions(t, arch, image)
			p, err := New(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			made, err := p.NewCluster(ctx, platforms.ClusterSpec{Name: "kept", Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			maker := made.(*Cluster)
			t.Cleanup(func() {
				if err := maker.Destroy(context.Background()); err != nil {
					t.Error(err)
				}
			})
			if _, err := maker.Boot(ctx, platforms.MachineSpec{Name: "m"}); err != nil {
				t.Fatal(err)
			}
			handle, err := maker.Keep(ctx, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if err := maker.client.Close(); err != nil { // what the end of the program does
				t.Fatal(err)
			}
			enter(ctx, t, o.RuntimeDir, handle)
			if _, err := Attach(ctx, o.RuntimeDir, handle, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrNotKept) {
				t.Errorf("after its end, attaching gave %v", err)
			}
		})
	}
}

// enter uses a kept cluster in all ways, and ends it.
func enter(ctx context.Context, t *testing.T, runtimeDir, handle string) {
	t.Helper()
	c, err := Attach(ctx, runtimeDir, handle, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if names := c.Machines(); len(names) != 1 || names[0] != "m" || c.Machine("other") != nil {
		t.Errorf("it has the machines %v", names)
	}
	m := c.Machine("m")
	if r, err := m.Exec(ctx, platforms.Command{Line: "hostname"}); err != nil || strings.TrimSpace(string(r.Stdout)) != "m" {
		t.Errorf("a command gave %q, %v", r.Stdout, err)
	}
	var out bytes.Buffer
	if err := m.Shell(ctx, strings.NewReader("echo shell$((40+2)); exit\n"), &out, io.Discard, nil); err != nil || !strings.Contains(out.String(), "shell42") {
		t.Errorf("the shell gave %q, %v", out.String(), err)
	}
	console, err := m.AttachConsole(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(console, make([]byte, 1000)); err != nil {
		t.Errorf("the console gave %v", err)
	}
	console.Close()
	if _, err := c.Boot(ctx, platforms.MachineSpec{Name: "n"}); !errors.Is(err, platforms.ErrUnsupported) {
		t.Errorf("booting another machine gave %v", err)
	}
	if err := c.Destroy(ctx); err != nil {
		t.Error(err)
	}
}

func TestAttachToNothing(t *testing.T) {
	for _, handle := range []string{"", "..", "nothing", "a/b"} {
		if _, err := Attach(t.Context(), filepath.Join(t.TempDir(), "none"), handle, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrNotKept) {
			t.Errorf("handle %q gave %v", handle, err)
		}
	}
}
