package qemu

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// The tiny guests come to their end under emulation, so that one that does not under KVM is KVM's
// fault; and one that is not whole is noticed.
func TestProofs(t *testing.T) {
	for _, name := range []string{"amd64", "arm64"} {
		t.Run(name, func(t *testing.T) {
			a, err := archOf(name)
			if err != nil {
				t.Fatal(err)
			}
			e, err := findEmulator(t.Context(), a)
			if err != nil {
				t.Skip(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := runProof(ctx, a, e.path, AccelTCG); err != nil {
				t.Error(err)
			}
			short, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("too long"))
			defer cancel()
			if err := runProof(short, a, e.path, AccelTCG); err == nil {
				t.Error("a proof that was cut off counts")
			}
			if err := runGuest(ctx, e.path, []string{"-no-such-option"}, 0); err == nil {
				t.Error("a QEMU that does not start counts")
			}
		})
	}
}

// The boot sector is made from its source.
func TestProofIsBuilt(t *testing.T) {
	for _, name := range []string{"as", "ld"} {
		if _, err := exec.LookPath(name); err != nil || runtime.GOARCH != "amd64" {
			t.Skip("there are no binutils for amd64 to build it with")
		}
	}
	dir := t.TempDir()
	object, image := filepath.Join(dir, "o"), filepath.Join(dir, "bin")
	for _, args := range [][]string{
		{"as", "--64", "-o", object, "proof/amd64.S"}, {"ld", "-Ttext", "0x7c00", "--oformat", "binary", "-o", image, object},
	} {
		if _, err := output(t.Context(), args[0], args[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	got, err := proofs.ReadFile("proof/amd64.bin")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("proof/amd64.bin is not what proof/amd64.S says: %v", err)
	}
}

func TestProofIsRemembered(t *testing.T) {
	if _, err := os.Stat(kvmDevice); err != nil {
		t.Skip("this host has no KVM to be proven")
	}
	a, err := archOf(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	e := emulator{path: "/nonexistent", text: "QEMU 1"}
	prove := func(e emulator, again bool) string {
		t.Helper()
		p, err := proveKVM(t.Context(), a, e, dir, again)
		if err != nil {
			t.Fatal(err)
		}
		return p.Reason
	}
	if prove(e, false) == "" {
		t.Fatal("a QEMU that does not exist proved KVM")
	}
	known, ok := readProof(filepath.Join(dir, proofFile))
	if !ok {
		t.Fatal("the answer was not remembered")
	}
	known.Reason = "remembered"
	if err := writeProof(filepath.Join(dir, proofFile), known); err != nil {
		t.Fatal(err)
	}
	if got := prove(e, false); got != "remembered" {
		t.Errorf("the remembered answer was not used: %s", got)
	}
	if got := prove(e, true); got == "remembered" {
		t.Error("a failure was believed though it was to be tried again")
	}
	if got := prove(emulator{path: "/nonexistent", text: "QEMU 2"}, false); got == "remembered" {
		t.Error("the answer for another QEMU was used")
	}
}

func TestChooseAccel(t *testing.T) {
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	foreign, err := archOf(other)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		want, accel string
		ok          bool
	}{
		{AccelTCG, AccelTCG, true}, {AccelAuto, AccelTCG, true}, {AccelKVM, "", false}, {"xen", "", false},
	} {
		accel, why, err := chooseAccel(t.Context(), tt.want, foreign, emulator{}, t.TempDir())
		if accel != tt.accel || why != "" || (err == nil) != tt.ok {
			t.Errorf("%s on a foreign host: %s, %q, %v", tt.want, accel, why, err)
		}
	}
	native, err := archOf(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	accel, why, err := chooseAccel(t.Context(), AccelAuto, native, emulator{path: "/nonexistent"}, t.TempDir())
	if accel != AccelTCG || why == "" || err != nil {
		t.Errorf("without a working KVM: %s, %q, %v", accel, why, err)
	}
}

// KVM of this host, whatever it is, is judged within the time that a user is made to wait.
func TestProveKVM(t *testing.T) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("qemu-system-x86_64 is not installed")
	}
	begin := time.Now()
	p, err := ProveKVM(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("after %v: %+v", time.Since(begin).Round(time.Millisecond), p)
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
}
