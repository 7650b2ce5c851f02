package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	kvmDevice = "/dev/kvm"
	// proofTime is what the tiny guest gets. A working KVM needs half a second.
	proofTime = 6 * time.Second
	proofFile = "kvm-proof.json"
)

// chooseAccel settles the accelerator, with the reason if TCG stands in for KVM.
func chooseAccel(ctx context.Context, want string, a arch, e emulator, cacheDir string) (accel, why string, err error) {
	switch want {
	case AccelTCG:
		return AccelTCG, "", nil
	case AccelAuto, AccelKVM:
	default:
		return "", "", fmt.Errorf("accelerator %q is not auto, kvm or tcg", want)
	}
	reason := ""
	if a.name != runtime.GOARCH {
		if want == AccelAuto {
			return AccelTCG, "", nil // nobody expected KVM
		}
		reason = fmt.Sprintf("this host is %s", runtime.GOARCH)
	} else {
		p, err := proveKVM(ctx, a, e, cacheDir, want == AccelKVM)
		if err != nil {
			return "", "", err
		}
		reason = p.Reason
	}
	switch {
	case reason == "":
		return AccelKVM, "", nil
	case want == AccelKVM:
		return "", "", fmt.Errorf("kvm was asked for, but does not work: %s", reason)
	default:
		return AccelTCG, "KVM does not work, guests are emulated: " + reason, nil
	}
}

// Proof is what is known of KVM on this host.
type Proof struct {
	Kernel string // release of the host's kernel
	QEMU   string // version text of the binary
	Reason string // why KVM does not work; empty if it does
}

// ProveKVM finds out whether KVM runs guests of the host's architecture, by running one. The
// answer is kept in cacheDir until the kernel or QEMU changes. It takes seconds at most.
func ProveKVM(ctx context.Context, cacheDir string) (Proof, error) {
	a, err := archOf(runtime.GOARCH)
	if err != nil {
		return Proof{}, err
	}
	e, err := findEmulator(ctx, a)
	if err != nil {
		return Proof{}, err
	}
	return proveKVM(ctx, a, e, cacheDir, false)
}

// proveKVM is ProveKVM with a known emulator. A remembered failure does not count when again is
// set.
func proveKVM(ctx context.Context, a arch, e emulator, cacheDir string, again bool) (Proof, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return Proof{}, fmt.Errorf("prove kvm: %w", err)
	}
	p := Proof{Kernel: unix.ByteSliceToString(name.Release[:]), QEMU: e.text}
	// Whether the device can be opened is a matter of permissions, and not remembered.
	device, err := os.OpenFile(kvmDevice, os.O_RDWR, 0)
	if err != nil {
		p.Reason = err.Error()
		return p, nil
	}
	if err := device.Close(); err != nil {
		return Proof{}, fmt.Errorf("prove kvm: %w", err)
	}
	file := filepath.Join(cacheDir, proofFile)
	if known, ok := readProof(file); ok && known.Kernel == p.Kernel && known.QEMU == p.QEMU && !(again && known.Reason != "") {
		return known, nil
	}
	proving, cancel := context.WithTimeoutCause(ctx, proofTime, fmt.Errorf("no end after %v", proofTime))
	defer cancel()
	if err := runProof(proving, a, e.path, AccelKVM); err != nil {
		if ctx.Err() != nil {
			return Proof{}, fmt.Errorf("prove kvm: %w", context.Cause(ctx))
		}
		p.Reason = err.Error()
	}
	if err := writeProof(file, p); err != nil {
		return Proof{}, fmt.Errorf("prove kvm: remember the answer: %w", err)
	}
	return p, nil
}

// readProof reads a remembered answer. One that cannot be read is none.
func readProof(file string) (Proof, bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Proof{}, false
	}
	var p Proof
	return p, json.Unmarshal(data, &p) == nil
}

// writeProof writes the answer at once, for other processes may be reading.
func writeProof(file string, p Proof) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), proofFile)
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
