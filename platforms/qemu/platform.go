package qemu

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"

	"seatrial/internal/clusterhost"
	"seatrial/platforms"
)

// Platform makes clusters under QEMU on this host.
type Platform struct {
	options   Options
	arch      arch
	emulator  emulator
	images    images
	image     diskInfo
	accel     string
	accelWhy  string
	firmware  map[platforms.Firmware]uefiFirmware
	lacking   map[platforms.Firmware]error
	swtpm     string // path; empty if missing
	processes clusterhost.Config
	caps      platforms.Capabilities

	// For tests: forks have random numbers in common; what is done to a template before a fork.
	noReseed bool
	sabotage func(dir string) error

	mu     sync.Mutex
	failed map[string]error // templates that could not be made or used, by key
	faults map[string]int   // restores that failed in a row, by key
}

var (
	_ platforms.Platform = (*Platform)(nil)
	_ platforms.Forker   = (*Platform)(nil)
)

// New makes a platform, after it has found out what this host can do. What the host lacks is a
// [*MissingError]; what it lacks for some machines only is missing from the capabilities.
func New(ctx context.Context, o Options) (*Platform, error) {
	p, err := newPlatform(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("qemu platform for %s: %w", o.Arch, err)
	}
	return p, nil
}

func newPlatform(ctx context.Context, o Options) (*Platform, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Platform{options: o, processes: clusterhost.Config{Exe: o.HostExe, Base: o.RuntimeDir}, failed: make(map[string]error), faults: make(map[string]int)}
	if p.arch, err = archOf(o.Arch); err != nil {
		return nil, err
	}
	if p.emulator, err = findEmulator(ctx, p.arch); err != nil {
		return nil, err
	}
	if p.images, err = findImages(); err != nil {
		return nil, err
	}
	// An overlay names its image by the whole path.
	if p.options.Image.Path, err = filepath.Abs(o.Image.Path); err != nil {
		return nil, err
	}
	if p.image, err = p.images.inspect(ctx, p.options.Image.Path); err != nil {
		return nil, err
	}
	p.firmware, p.lacking = firmwares(firmwareDirs(), p.arch)
	if err := p.lacking[p.arch.defaultFirmware()]; err != nil {
		return nil, err
	}
	if err := checkSpace(o.StateDir, minFreeMiB); err != nil {
		return nil, err
	}
	p.swtpm, _ = exec.LookPath("swtpm") // without it, there are no TPMs
	if p.accel, p.accelWhy, err = chooseAccel(ctx, o.Accel, p.arch, p.emulator, o.CacheDir); err != nil {
		return nil, err
	}
	p.caps = p.capabilities()
	return p, nil
}

func (p *Platform) capabilities() platforms.Capabilities {
	has := platforms.NewSet(
		platforms.MultiMachine, platforms.ManyNetworks, platforms.UserDataCap, platforms.FirstBoot, platforms.ExtraDisks,
		platforms.GrowDisk, platforms.LiveConsole, platforms.SavedConsole, platforms.RebootCap, platforms.Fixtures,
		platforms.Impair, platforms.InternetAccess, platforms.PacketCapture,
	)
	for fw, c := range map[platforms.Firmware]platforms.Capability{
		platforms.BIOS: platforms.FirmwareBIOS, platforms.UEFI: platforms.FirmwareUEFI, platforms.UEFISecure: platforms.FirmwareSecure,
	} {
		if _, ok := p.firmware[fw]; ok {
			has[c] = true
		}
	}
	if p.swtpm != "" {
		has[platforms.TPM2] = true
	}
	if p.options.TemplateDir != "" {
		has[platforms.Fork] = true
	}
	return platforms.Capabilities{
		Platform: "qemu", Arch: p.arch.name, Accel: p.accel, Image: p.options.Image, Has: has,
		MemoryMiB: DefaultMemoryMiB, CPUs: DefaultCPUs, OverheadMiB: p.overheadMiB(), Local: true,
		ForkMiB: p.overheadMiB() + forkPagesMiB, StaleCode: p.accel == AccelTCG && p.arch.losesCode(p.emulator.version),
	}
}

// Capabilities implements [platforms.Platform].
func (p *Platform) Capabilities() platforms.Capabilities { return p.caps }

// AccelReason says in a sentence why TCG was chosen where KVM was wanted; empty if there is
// nothing to explain.
func (p *Platform) AccelReason() string { return p.accelWhy }

// Sweep implements [platforms.Platform]: it removes what cluster hosts have left that died without
// tearing down, and templates that nobody will use.
func (p *Platform) Sweep(_ context.Context, o platforms.SweepOptions) ([]platforms.Removed, error) {
	removed, err := clusterhost.Sweep(p.options.RuntimeDir, o)
	if err != nil || p.options.TemplateDir == "" {
		return removed, err
	}
	templates, err := p.templates().Sweep(o.DryRun)
	return append(removed, templates...), err
}

// Close implements [platforms.Platform]. The platform itself holds nothing.
func (p *Platform) Close() error { return nil }
