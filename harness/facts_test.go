package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatrial/platforms"
	"seatrial/platforms/fake"
)

// booted is a machine outside of any attempt.
func booted(t *testing.T, o fake.Options) platforms.Machine {
	t.Helper()
	c, err := fake.New(o).NewCluster(t.Context(), platforms.ClusterSpec{Name: "c", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Boot(t.Context(), platforms.MachineSpec{Name: "m0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Destroy(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return m
}

// prints makes every command print a text.
func prints(stdout string) fake.Options {
	return fake.Options{Exec: func(context.Context, *fake.Machine, platforms.Command) (platforms.Result, error) {
		return platforms.Result{Stdout: []byte(stdout), ExitCode: 1, Stderr: []byte("sudo: a password is required")}, nil
	}}
}

func TestProbe(t *testing.T) {
	tests := []struct {
		name string
		fake fake.Options
		want Facts
		err  string
	}{
		{"nothing", fake.Options{}, Facts{Has: platforms.Set{}, OSRelease: map[string]string{}}, ""},
		{
			"all kinds of os-release",
			prints("has docker\nos ID=flatcar\nos NAME=\"Flatcar \\\"Container\\\" Linux\"\nos BUG='x y'\nos # comment\nos\nos EMPTY=\nend\n"),
			Facts{
				Has:       platforms.NewSet("docker"),
				OSRelease: map[string]string{"ID": "flatcar", "NAME": `Flatcar "Container" Linux`, "BUG": "x y", "EMPTY": ""},
			}, "",
		},
		{"cut off", prints("has docker\n"), Facts{}, "status 1: sudo: a password is required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := probe(t.Context(), booted(t, tt.fake))
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("the error is %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

// TestProbeAsksForAll: a guest that has everything says so, which shows that
// the script's tests and the parser agree on every name.
func TestProbeAsksForAll(t *testing.T) {
	all := platforms.Set{}
	for c := range imageCapabilities() {
		all[c] = true
	}
	got, err := probe(t.Context(), booted(t, fake.Options{Image: all}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, got.Has); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
}

func TestFactsCache(t *testing.T) {
	c := FactsCache{Dir: filepath.Join(t.TempDir(), "not", "there", "yet")}
	if _, ok := c.Load("sha256:a"); ok {
		t.Error("facts were loaded before they were saved")
	}
	want := Facts{OSRelease: map[string]string{"ID": "x"}, Has: platforms.NewSet("docker")}
	if err := c.Save("sha256:a", want); err != nil {
		t.Fatal(err)
	}
	got, ok := c.Load("sha256:a")
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if _, ok := c.Load("sha256:b"); ok {
		t.Error("another image has the same facts")
	}
	if err := os.WriteFile(c.path("sha256:a"), []byte(`{"has":`), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Load("sha256:a"); ok {
		t.Error("a torn file was loaded")
	}
	left, err := os.ReadDir(c.Dir)
	if err != nil || len(left) != 1 {
		t.Errorf("the directory has %v, %v", left, err)
	}
	// A file where the directory shall be.
	blocked := FactsCache{Dir: c.path("sha256:a")}
	if err := blocked.Save("sha256:a", want); err == nil {
		t.Error("facts were saved below a file")
	}
}

// TestFactsNotKept: a cache that cannot be written judges no test.
func TestFactsNotKept(t *testing.T) {
	e := newEngine(t, fake.Options{})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	e.Facts = FactsCache{Dir: file}
	e.run(t.Context(), t, named("a", passes))
	if f := e.finished("a"); f.Outcome != "pass" {
		t.Errorf("it ended as %s: %s", f.Outcome, f.Message)
	}
}

func TestMeasureSlowness(t *testing.T) {
	tests := []struct {
		times string
		want  float64
		err   string
	}{
		{"0m0.000s 0m0.000s\n0m0.000s 0m0.000s\n", 1, ""},
		{"0m0.100s 0m0.000s\n0m0.150s 0m0.000s\n", 0.25 / slownessReference, ""},
		{"0m0,100s 0m0,000s\n0m0.150s 0m0.000s\n", 0.25 / slownessReference, ""}, // in a German guest
		{"0m0.1s 0m0.1s\n0m0.2s 0m0.1s\n", 0.5 / slownessReference, ""},
		{"2m3.5s 0m0.000s\n0m0.000s 0m0.000s\n", maxSlowness, ""},
		{"", 0, `times printed ""`},
		{"0m0.1s 0m0.1s 0m0.2s\n", 0, "times printed"},
		{"0m0.1s 0m0.1s 0m0.2s soon\n", 0, `times printed "soon"`},
	}
	for _, tt := range tests {
		got, err := measureSlowness(t.Context(), booted(t, prints(tt.times)))
		if got-tt.want > 1e-9 || tt.want-got > 1e-9 || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: got %v, %v; want %v, %q", tt.times, got, err, tt.want, tt.err)
		}
	}
	lost := fake.Options{Exec: func(context.Context, *fake.Machine, platforms.Command) (platforms.Result, error) {
		return platforms.Result{}, platforms.ErrConnectionLost
	}}
	if _, err := measureSlowness(t.Context(), booted(t, lost)); !errors.Is(err, platforms.ErrConnectionLost) {
		t.Errorf("a lost connection gave %v", err)
	}
}

// TestSpeed: the speed of guests is kept for the same image on the same host,
// and for some days.
func TestSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := FactsCache{Dir: t.TempDir(), Host: "bench"}
		caps := platforms.Capabilities{Arch: "arm64", Accel: "tcg", Image: platforms.Image{Digest: "sha256:1"}}
		if err := cache.SaveSpeed(caps, 12.5); err != nil {
			t.Fatal(err)
		}
		want := func(what string, c FactsCache, caps platforms.Capabilities, want bool) {
			t.Helper()
			if got, ok := c.LoadSpeed(caps); ok != want || ok && got != 12.5 {
				t.Errorf("%s: %v, %v", what, got, ok)
			}
		}
		want("the same", cache, caps, true)
		other := caps
		other.Accel = "kvm"
		want("another accelerator", cache, other, false)
		want("another host", FactsCache{Dir: cache.Dir, Host: "other"}, caps, false)
		nameless := FactsCache{Dir: cache.Dir}
		if err := nameless.SaveSpeed(caps, 12.5); err != nil {
			t.Fatal(err)
		}
		want("no host", nameless, caps, false)
		time.Sleep(speedAge)
		want("later", cache, caps, false)
	})
}

// TestSpeedIsMeasuredOnce: the second run does not measure.
func TestSpeedIsMeasuredOnce(t *testing.T) {
	dir, measured := t.TempDir(), 0
	for range 2 {
		e := newEngine(t, fake.Options{Exec: func(ctx context.Context, m *fake.Machine, cmd platforms.Command) (platforms.Result, error) {
			if strings.Contains(cmd.Line, "gzip") {
				measured++
			}
			return m.Run(ctx, cmd)
		}})
		e.Facts = FactsCache{Dir: dir, Host: "bench"}
		e.run(t.Context(), t, named("a", passes))
	}
	if measured != 1 {
		t.Errorf("measured %d times", measured)
	}
}
