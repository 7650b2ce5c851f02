package qemu

import (
	"errors"
	"log/slog"

	"golang.org/x/crypto/ssh"

	"seatrial/platforms"
)

// Accelerators.
const (
	AccelAuto = "auto" // KVM if it is proven, else TCG
	AccelKVM  = "kvm"
	AccelTCG  = "tcg"
)

// What a machine has that does not say otherwise.
const (
	// DefaultCPUs is two, so that what only goes wrong with several CPUs can go wrong.
	DefaultCPUs = 2
	// DefaultMemoryMiB is enough for a systemd distribution with docker, and small enough for
	// many machines on one host.
	DefaultMemoryMiB = 1024
)

// What a machine takes of this host's memory beside its own, in MiB: upper bounds after measurements
// with Linux guests after their boot.
const (
	translationCacheMiB = 256 // TCG's translated code, which grows to this bound
	emulatorMiB         = 110 // QEMU with its devices and shadow structures
	arm64FlashMiB       = 128 // two flash devices of 64 MiB
)

// Options says what a platform runs and where it keeps its files.
type Options struct {
	Arch  string // "amd64" or "arm64"
	Accel string // AccelAuto if empty
	// Image is the disk that machines boot: a file of any format that qemu-img knows.
	Image platforms.Image

	// User logs in with SSHKey; "core" if empty.
	User   string
	SSHKey ssh.Signer
	// IgnitionMax and Ignition2 are what the image's Ignition accepts; see provision.Options.
	IgnitionMax string
	Ignition2   bool

	StateDir string // for disks, which need space
	CacheDir string // for what was found out about this host
	// TemplateDir is for templates of machines, which need space; if empty, all machines start cold.
	TemplateDir string
	RuntimeDir  string // for sockets: private to the user, and short
	// HostExe is the program that is executed as cluster host.
	HostExe string

	Log *slog.Logger // diagnosis; discarded if nil
}

func (o Options) withDefaults() (Options, error) {
	if o.Accel == "" {
		o.Accel = AccelAuto
	}
	if o.User == "" {
		o.User = "core"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var errs []error
	for name, missing := range map[string]bool{
		"an image file": o.Image.Path == "", "an SSH key": o.SSHKey == nil, "a state directory": o.StateDir == "",
		"a cache directory": o.CacheDir == "", "a runtime directory": o.RuntimeDir == "", "a host program": o.HostExe == "",
	} {
		if missing {
			errs = append(errs, errors.New(name+" is needed"))
		}
	}
	return o, errors.Join(errs...)
}

// forkPagesMiB is what a fork of the default size writes of its memory in a usual test, with room to
// spare: the rest it shares with its template.
const forkPagesMiB = 256

// overheadMiB is what each machine takes of this host's memory beside its own, at most.
func (p *Platform) overheadMiB() int {
	overhead := emulatorMiB
	if p.accel == AccelTCG {
		overhead += translationCacheMiB
	}
	if p.arch.name == "arm64" {
		overhead += arm64FlashMiB
	}
	return overhead
}
