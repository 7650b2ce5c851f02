package qemu

import (
	"context"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// proofs holds the boot sector for amd64, made from the source beside it. It is never changed.
//
//go:embed proof/amd64.bin
var proofs embed.FS

// amd64Proven is QEMU's exit status when the boot sector has come to its end.
const amd64Proven = 0x31<<1 | 1

// amd64Proof is a disk with the boot sector.
func amd64Proof() ([]byte, error) {
	const size = 1 << 20 // SeaBIOS does not read disks of less than a cylinder
	sector, err := proofs.ReadFile("proof/amd64.bin")
	if err != nil {
		return nil, err
	}
	return append(sector, make([]byte, size-len(sector))...), nil
}

// arm64Proof is a kernel for arm64's virt machine: it counts and switches the machine off.
func arm64Proof() []byte {
	var code []byte
	for _, word := range []uint32{
		0xd2a08000, //    movz x0, #0x400, lsl #16   2^26 rounds
		0xf1000400, // 1: subs x0, x0, #1
		0x54ffffe1, //    b.ne 1b
		0x52800100, //    movz w0, #0x0008
		0x72b08000, //    movk w0, #0x8400, lsl #16  PSCI's SYSTEM_OFF
		0xd4000002, //    hvc  #0
		0x14000000, //    b    .
	} {
		code = binary.LittleEndian.AppendUint32(code, word)
	}
	return code
}

// runProof runs the tiny guest of an architecture. A nil error means that it came to its end.
func runProof(ctx context.Context, a arch, emulator, accel string) error {
	dir, err := os.MkdirTemp("", "seatrial-proof")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	guest := filepath.Join(dir, "guest")
	args := []string{
		"-no-user-config", "-nodefaults", "-display", "none", "-no-reboot", "-m", "64",
		"-accel", accelOptions(accel), "-cpu", a.cpu(accel),
	}
	content, want := arm64Proof(), 0
	if a.name == "amd64" {
		if content, err = amd64Proof(); err != nil {
			return err
		}
		want = amd64Proven
		args = append(args, "-machine", a.machine,
			"-blockdev", blockdev("guest", "raw", guest, "read-only=on"), "-device", "virtio-blk-pci,drive=guest,bootindex=0",
			"-device", "isa-debug-exit,iobase=0xf4,iosize=1")
	} else {
		args = append(args, "-machine", a.machine+","+a.gic(accel), "-kernel", guest)
	}
	if err := os.WriteFile(guest, content, 0o600); err != nil {
		return err
	}
	return runGuest(ctx, emulator, args, want)
}

// runGuest runs QEMU until it ends with a status.
func runGuest(ctx context.Context, emulator string, args []string, want int) error {
	// The emulator dies with the thread that starts it, so that one has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, emulator, args...)
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("a tiny guest hung: %w", context.Cause(ctx))
	}
	_, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err != nil && !exited:
		return err
	case cmd.ProcessState.ExitCode() != want:
		return fmt.Errorf("a tiny guest failed: %s: %s", cmd.ProcessState, firstLine(stderr.String()))
	default:
		return nil
	}
}
