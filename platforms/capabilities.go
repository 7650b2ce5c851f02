package platforms

import (
	"maps"
	"slices"
)

// Capability is something that a platform or an image has and a test may
// need. Names are lower case words joined by dashes.
type Capability string

// What a platform may have.
const (
	MultiMachine   Capability = "multi-machine"   // several machines that reach each other
	ManyNetworks   Capability = "many-networks"   // several networks in a cluster
	UserDataCap    Capability = "user-data"       // hands user data to the guest
	FirstBoot      Capability = "first-boot"      // machines start from the pristine image
	ExtraDisks     Capability = "extra-disks"     // Disks of a MachineSpec
	GrowDisk       Capability = "grow-disk"       // GrowDiskMiB of a MachineSpec
	TPM2           Capability = "tpm2"            // TPM of a MachineSpec
	FirmwareBIOS   Capability = "firmware-bios"   // Firmware BIOS
	FirmwareUEFI   Capability = "firmware-uefi"   // Firmware UEFI
	FirmwareSecure Capability = "firmware-secure" // Firmware UEFISecure
	LiveConsole    Capability = "live-console"    // Console of a MachineSpec
	SavedConsole   Capability = "saved-console"   // Machine.Console
	RebootCap      Capability = "reboot"          // Machine.Reboot
	Fixtures       Capability = "fixtures"        // clusters implement Listener
	Impair         Capability = "impair"          // clusters implement Impairer
	InternetAccess Capability = "internet"        // ClusterSpec.Internet
	PacketCapture  Capability = "packet-capture"  // ClusterSpec.Capture
	Fork           Capability = "fork"            // machines forked from a booted template
)

// Set is a set of capabilities.
type Set map[Capability]bool

// NewSet makes a set of the given capabilities.
func NewSet(cs ...Capability) Set {
	s := make(Set, len(cs))
	for _, c := range cs {
		s[c] = true
	}
	return s
}

// Missing returns those of need that the set lacks, in the order of need.
func (s Set) Missing(need ...Capability) []Capability {
	var missing []Capability
	for _, c := range need {
		if !s[c] {
			missing = append(missing, c)
		}
	}
	return missing
}

// List returns the members in alphabetical order.
func (s Set) List() []Capability { return slices.Sorted(maps.Keys(s)) }

// Capabilities describes a platform.
type Capabilities struct {
	Platform string // "qemu", "aws" ...
	Arch     string // "amd64" or "arm64", as in GOARCH
	Accel    string // "kvm" or "tcg"; empty where the question makes no sense
	Image    Image  // what its machines boot
	Has      Set

	// StaleCode machines may hang where their kernel patches its code, by a fault
	// of their emulator.
	StaleCode bool

	// Local machines use this host's memory and CPUs, and are admitted by
	// them.
	Local bool
	// MemoryMiB and CPUs are what a machine has whose MachineSpec does not
	// say.
	MemoryMiB, CPUs int
	// OverheadMiB is what a local machine takes of this host beside its own
	// memory, at most.
	OverheadMiB int
	// ForkMiB is what a fork with MemoryMiB of memory takes of this host, on a
	// usual test: its overhead and the pages that it does not share with its
	// template. Those that are shared are counted once for all forks, as
	// MemoryMiB. 0 means that forks take as much as other machines.
	ForkMiB int
}

// Image identifies what machines boot.
type Image struct {
	// Name tells images apart to people: a file name, an AMI's ID.
	Name string
	// Path is the local file, if there is one.
	Path string
	// Digest is "sha256:<hex>" of the image, or another stable ID where there
	// is no file.
	Digest string
}
