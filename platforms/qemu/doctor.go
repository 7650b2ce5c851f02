package qemu

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"seatrial/platforms"
)

// Check is one finding about this host.
type Check struct {
	Name   string // "qemu-system-x86_64"
	OK     bool
	Needed bool   // without it, machines of some architecture cannot run at all
	Detail string // what was found, or what is missing and for what
	Fix    string // the command that installs what is missing; empty if there is none
}

// Doctor looks at all that the platform uses of this host, for both architectures. KVM is proven
// if that was not done before; the answer is remembered in cacheDir.
func Doctor(ctx context.Context, cacheDir string) ([]Check, error) {
	var checks []Check
	for _, name := range []string{"amd64", "arm64"} {
		a, err := archOf(name)
		if err != nil {
			return nil, err
		}
		checks = append(checks, checkEmulator(ctx, a))
		checks = append(checks, checkFirmware(a)...)
	}
	for _, t := range []struct {
		name, pkg, use string
		needed         bool
	}{
		{"qemu-img", "qemu-utils", "makes the disks of machines", true},
		{"swtpm", "swtpm", "emulates the TPM of machines that ask for one", false},
	} {
		c := Check{Name: t.name, OK: true, Needed: t.needed, Detail: t.use}
		path, err := tool(t.name, t.pkg)
		checks = append(checks, c.with(path, err))
	}
	kvm, err := checkKVM(ctx, cacheDir)
	if err != nil {
		return nil, err
	}
	return append(checks, kvm), nil
}

// with completes a check by what was found, or the error.
func (c Check) with(found string, err error) Check {
	if err == nil {
		c.Detail = strings.TrimPrefix(c.Detail+": "+found, ": ")
		return c
	}
	c.OK = false
	c.Detail = strings.TrimPrefix(c.Detail+": "+err.Error(), ": ")
	if m, ok := errors.AsType[*MissingError](err); ok {
		c.Fix = m.Install
	}
	return c
}

func checkEmulator(ctx context.Context, a arch) Check {
	c := Check{Name: a.binary, OK: true, Needed: true, Detail: "runs " + a.name}
	e, err := findEmulator(ctx, a)
	if err == nil && a.losesCode(e.version) {
		e.text += "; before 8.1, an emulated guest of several CPUs may hang"
	}
	return c.with(e.text, err)
}

func checkFirmware(a arch) []Check {
	found, lacking := firmwares(firmwareDirs(), a)
	var checks []Check
	for _, fw := range a.firmware {
		if fw == platforms.BIOS {
			continue // comes with QEMU
		}
		c := Check{Name: fmt.Sprintf("firmware %s %s", a.name, fw), OK: true, Needed: fw == a.defaultFirmware()}
		checks = append(checks, c.with(found[fw].Code.Filename, lacking[fw]))
	}
	return checks
}

// checkKVM is about speed only: without KVM, machines are emulated.
func checkKVM(ctx context.Context, cacheDir string) (Check, error) {
	c := Check{Name: "kvm", OK: true, Detail: "carries " + runtime.GOARCH + " guests to 64-bit mode"}
	p, err := ProveKVM(ctx, cacheDir)
	if _, missing := errors.AsType[*MissingError](err); missing {
		c.OK, c.Detail = false, "not tried without QEMU"
		return c, nil
	}
	if err != nil {
		return Check{}, err
	}
	if p.Reason != "" {
		c.OK, c.Detail = false, "does not work, machines are emulated: "+p.Reason
	}
	return c, nil
}
