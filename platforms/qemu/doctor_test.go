package qemu

import (
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"seatrial/platforms"
)

func TestDoctor(t *testing.T) {
	t.Run("this host", func(t *testing.T) {
		// The proof of KVM is another test's: here it is remembered.
		dir := t.TempDir()
		rememberProof(t, dir)
		checks, err := Doctor(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range checks {
			t.Logf("%+v", c)
			if c.Name == "" || c.Detail == "" || c.OK && c.Fix != "" {
				t.Errorf("a check is not complete: %+v", c)
			}
		}
	})
	t.Run("bare host", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		checks, err := Doctor(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"qemu-system-x86_64": "apt-get install qemu-system-x86", "qemu-system-aarch64": "apt-get install qemu-system-arm",
			"qemu-img": "apt-get install qemu-utils", "swtpm": "apt-get install swtpm", "kvm": "",
		}
		for _, c := range checks {
			fix, listed := want[c.Name]
			if !listed {
				continue
			}
			delete(want, c.Name)
			if c.OK || c.Fix != fix || c.Needed != strings.HasPrefix(c.Name, "qemu") {
				t.Errorf("got %+v", c)
			}
		}
		if len(want) > 0 {
			t.Errorf("nothing is said of %v", want)
		}
	})
}

// rememberProof leaves an answer about KVM for this host and its QEMU.
func rememberProof(t *testing.T, dir string) {
	t.Helper()
	a, err := archOf(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	e, err := findEmulator(t.Context(), a)
	if err != nil {
		return // and nothing will be proven
	}
	broken := emulator{path: "/nonexistent", text: e.text}
	if _, err := proveKVM(t.Context(), a, broken, dir, false); err != nil {
		t.Fatal(err)
	}
}

func TestNewFailures(t *testing.T) {
	good := testOptions(t, "amd64", filepath.Join(t.TempDir(), "no-such-image"))
	for name, change := range map[string]func(o *Options){
		"unknown architecture": func(o *Options) { o.Arch = "riscv64" },
		"no key":               func(o *Options) { o.SSHKey = nil },
		"no image":             func(o *Options) { o.Image = platforms.Image{} },
		"missing image":        func(*Options) {},
	} {
		o := good
		change(&o)
		if _, err := New(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	t.Setenv("PATH", t.TempDir())
	_, err := New(t.Context(), good)
	if m, ok := errors.AsType[*MissingError](err); !ok || m.What != "qemu-system-x86_64" {
		t.Errorf("without QEMU: %v", err)
	}
}
