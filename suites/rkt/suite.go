// Package rkt is the suite of the container runtime rkt, which ended in 2019:
// for images that still have it.
package rkt

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/internal/fixtures/probe"
	"seatrial/platforms"
)

// Suite returns the suite.
func Suite() harness.Suite {
	return harness.Suite{Name: "rkt", Doc: "rkt runs an image that is made on the spot.", Tests: []harness.Test{{
		Name:    "rkt.base",
		Doc:     "rkt runs the entrypoint of an App Container image, from the command line and as a systemd unit.",
		Timeout: 2 * time.Minute,
		Needs:   harness.Needs{Image: []platforms.Capability{"rkt"}},
		Subtests: []harness.Subtest{
			{Name: "cli", Doc: "rkt run prints what the program prints.", Run: runCLI},
			{Name: "unit", Doc: "So does a transient systemd unit.", Run: runUnit},
		},
	}}}
}

const imagePath = "/var/tmp/seatrial.aci"

// upload puts the probe's image onto the machine, and returns rkt's command line
// that runs it.
func upload(ctx context.Context, t *harness.T) string {
	aci, err := image(t.Arch())
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Machine(0).Upload(ctx, imagePath, 0o644, aci)
	return "rkt --insecure-options=image run --net=none " + imagePath
}

const said = "hello from rkt"

func runCLI(ctx context.Context, t *harness.T) {
	out := t.Machine(0).MustRoot(ctx, upload(ctx, t))
	if !strings.Contains(out, said) {
		t.Errorf("rkt run printed %q, want %q", out, said)
	}
}

func runUnit(ctx context.Context, t *harness.T) {
	m := t.Machine(0)
	m.MustRoot(ctx, "systemd-run --quiet --wait --unit=seatrial-rkt "+upload(ctx, t))
	if out := m.MustRoot(ctx, "journalctl -u seatrial-rkt -o cat --no-pager"); !strings.Contains(out, said) {
		t.Errorf("the unit logged %q, want %q", out, said)
	}
}

// image makes an App Container image of the probe, by version 0.8.11 of the
// specification: a manifest, and a root file system.
func image(arch string) ([]byte, error) {
	program, err := probe.Binary(arch)
	if err != nil {
		return nil, err
	}
	label := map[string]string{"amd64": "amd64", "arm64": "aarch64"}[arch]
	manifest, err := json.Marshal(map[string]any{
		"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "seatrial/probe",
		"labels": []any{
			map[string]string{"name": "os", "value": "linux"},
			map[string]string{"name": "arch", "value": label},
		},
		"app": map[string]any{"exec": []string{"/bin/probe", "echo", said}, "user": "0", "group": "0"},
	})
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range []struct {
		name    string
		mode    int64
		content []byte
	}{{"manifest", 0o644, manifest}, {"rootfs/bin/probe", 0o755, program}} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content))}); err != nil {
			return nil, fmt.Errorf("write %s: %w", f.name, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	return buf.Bytes(), w.Close()
}
