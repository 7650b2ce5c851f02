package qemu

import (
	"fmt"
	"strconv"
	"strings"

	"seatrial/platforms"
)

// minQEMU is the oldest QEMU with the stream network device.
func minQEMU() version { return version{7, 2} }

// arch is what QEMU makes of an architecture. Machine types are versioned, so that a guest sees
// the same hardware under every QEMU that is new enough.
type arch struct {
	name      string // as in GOARCH
	binary    string
	pkg       string // Debian's package of the binary
	qemuName  string // in firmware descriptors
	machine   string
	tpmDevice string

	firmwarePkg string               // Debian's package of the UEFI firmware
	firmware    []platforms.Firmware // the default first
}

// archOf looks an architecture up.
func archOf(name string) (arch, error) {
	switch name {
	case "amd64":
		return arch{
			name: name, binary: "qemu-system-x86_64", pkg: "qemu-system-x86", qemuName: "x86_64",
			machine: "pc-q35-7.2", tpmDevice: "tpm-crb",
			firmwarePkg: "ovmf", firmware: []platforms.Firmware{platforms.BIOS, platforms.UEFI, platforms.UEFISecure},
		}, nil
	case "arm64":
		return arch{
			name: name, binary: "qemu-system-aarch64", pkg: "qemu-system-arm", qemuName: "aarch64",
			machine: "virt-7.2", tpmDevice: "tpm-tis-device",
			firmwarePkg: "qemu-efi-aarch64", firmware: []platforms.Firmware{platforms.UEFI, platforms.UEFISecure},
		}, nil
	default:
		return arch{}, fmt.Errorf("architecture %q is not amd64 or arm64", name)
	}
}

// defaultFirmware is what a machine has that asks for nothing: the first of the architecture's.
func (a arch) defaultFirmware() platforms.Firmware { return a.firmware[0] }

// flashInState reports whether forks do without files of 64 MiB for the flash devices of UEFI, which
// QEMU reads whole, and writes back: the state holds what is in them. A PC without them is another
// machine.
func (a arch) flashInState() bool { return a.name == "arm64" }

// cpu is the CPU model. Under TCG it is everything that QEMU can emulate, but for two things of
// arm64's: pointer authentication by the architected algorithm costs a third of the guest's speed
// (any other is as legal), and SVE, which many servers lack, a sixth of all that runs first in a fork.
func (a arch) cpu(accel string) string {
	switch {
	case accel == AccelKVM:
		return "host"
	case a.name == "arm64":
		return "max,pauth-impdef=on,sve=off"
	default:
		return "max"
	}
}

// gic is arm64's interrupt controller: version 3, which KVM may not have.
func (a arch) gic(accel string) string {
	if accel == AccelKVM {
		return "gic-version=host"
	}
	return "gic-version=3"
}

// accelOptions selects the accelerator.
func accelOptions(accel string) string {
	if accel == AccelKVM {
		return "kvm"
	}
	return "tcg,thread=multi,tb-size=" + strconv.Itoa(translationCacheMiB)
}

// losesCode reports whether emulated guests of several CPUs may hang where their kernel patches its
// code. QEMU locks a guest's code while it translates it since 8.1, see
// https://gitlab.com/qemu-project/qemu/-/commit/deba78709ae8; before, it may keep the breakpoint
// behind which Linux patches an amd64 instruction. On arm64 there is none.
func (a arch) losesCode(qemu version) bool { return a.name == "amd64" && qemu.less(version{8, 1}) }

// version is a QEMU release: major and minor.
type version [2]int

func (v version) less(w version) bool { return v[0] < w[0] || v[0] == w[0] && v[1] < w[1] }

func (v version) String() string { return fmt.Sprintf("%d.%d", v[0], v[1]) }

// parseVersion finds the release in what `qemu-system-x --version` prints.
func parseVersion(out string) (version, error) {
	const prefix = "QEMU emulator version "
	rest, ok := strings.CutPrefix(strings.TrimSpace(out), prefix)
	if !ok {
		return version{}, fmt.Errorf("%q is no version of QEMU", firstLine(out))
	}
	parts := strings.SplitN(rest, ".", 3)
	if len(parts) < 2 {
		return version{}, fmt.Errorf("%q is no version of QEMU", firstLine(out))
	}
	var v version
	for i := range v {
		digits := parts[i][:len(parts[i])-len(strings.TrimLeft(parts[i], "0123456789"))]
		n, err := strconv.Atoi(digits)
		if err != nil {
			return version{}, fmt.Errorf("%q is no version of QEMU", firstLine(out))
		}
		v[i] = n
	}
	return v, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
