package platforms

import (
	"context"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"time"
)

// Platform makes clusters of machines of one architecture. All methods are
// safe for concurrent use.
type Platform interface {
	// Capabilities says what the platform offers; the answer never changes.
	Capabilities() Capabilities

	// NewCluster makes the networks and whatever else belongs to a cluster
	// before its first machine.
	NewCluster(ctx context.Context, spec ClusterSpec) (Cluster, error)

	// Sweep removes what earlier, dead runs left behind and says what it
	// removed (or, in a dry run, what it would remove).
	Sweep(ctx context.Context, o SweepOptions) ([]Removed, error)

	// Close releases what the platform itself holds. Clusters are destroyed
	// before it.
	Close() error
}

// Cluster is the unit of isolation and of cleanup: one per attempt of a test.
// All methods are safe for concurrent use.
//
// A cluster may also implement [Listener] and [Impairer]; the platform's
// capabilities say so.
type Cluster interface {
	// Boot starts a machine and returns once a command can be run on it.
	// A guest that does not come up is a *GuestError. When ctx is
	// cancelled, Boot returns promptly with an error that wraps
	// context.Cause(ctx), and the machine is gone.
	Boot(ctx context.Context, spec MachineSpec) (Machine, error)

	// Destroy removes the cluster with all its machines. It may be called
	// twice; the second call does nothing. What could not be removed is an
	// error.
	Destroy(ctx context.Context) error
}

// Machine is a booted guest. All methods are safe for concurrent use.
type Machine interface {
	// ID is the machine's name within its cluster, and its host name where
	// the platform can give it one.
	ID() string

	// Addresses lists the addresses at which other machines of the cluster
	// reach this one, in the order of the networks it is on, IPv4 first.
	Addresses() []netip.Addr

	// Exec runs a command. A command that ran has a nil error, whatever its
	// exit status. An error that wraps ErrConnectionLost says that nothing is
	// known of the command's fate.
	Exec(ctx context.Context, cmd Command) (Result, error)

	// Dial connects to an address as seen from the machine's network; an
	// empty or loopback host means the machine itself. Networks are those of
	// net.Dial ("tcp", "udp").
	Dial(ctx context.Context, network, address string) (net.Conn, error)

	// Upload writes r to path on the machine, as root, replacing what is
	// there; missing parent directories are made.
	Upload(ctx context.Context, path string, mode fs.FileMode, r io.Reader) error

	// Download copies the file at path on the machine, read as root, to w. A
	// file that does not exist is an error that wraps fs.ErrNotExist.
	Download(ctx context.Context, path string, w io.Writer) error

	// Reboot restarts the guest and returns once commands can be run on it
	// again; a new boot ID proves that it was restarted. A guest that does not
	// come back is a *GuestError.
	Reboot(ctx context.Context) error

	// PowerOff stops the machine and returns once it is off.
	PowerOff(ctx context.Context) error

	// Console copies what the machine has printed on its console so far to w,
	// at most MaxConsole bytes, keeping the end. It also works after Destroy.
	Console(ctx context.Context, w io.Writer) error

	// Wait blocks until the machine is gone or ctx ends. It returns nil when
	// the machine went because this program stopped it, a *GuestError when
	// the guest stopped itself, and another error when the platform failed
	// it (a QEMU that was killed, a terminated instance).
	Wait(ctx context.Context) error
}

// MaxConsole bounds what Machine.Console copies, in bytes.
const MaxConsole = 16 << 20

// Listener serves fixtures inside a cluster's network.
type Listener interface {
	// Listen accepts connections that machines of the cluster make to
	// address ("host:port"); an empty host means the address returned by
	// FixtureAddress. Only "tcp" networks are supported. The address of a
	// listener that was closed can be listened on again at once.
	Listen(ctx context.Context, network, address string) (net.Listener, error)

	// FixtureAddress is an address in the cluster's first network that
	// belongs to the harness.
	FixtureAddress() netip.Addr
}

// Impairer makes a cluster's network worse, and well again. Machines are named
// by their IDs. The last impairment replaces those before it.
type Impairer interface {
	Impair(ctx context.Context, i Impairment) error
}

// Keeper lets a cluster outlive the program that made it.
type Keeper interface {
	// Keep makes the cluster stay for d after this program ended, and returns
	// the handle by which `seatrial ssh` enters it. Destroy is not called on a
	// kept cluster.
	Keep(ctx context.Context, d time.Duration) (handle string, err error)
}

// Sheller gives a person an interactive shell in a machine.
type Sheller interface {
	// Shell runs the login shell until it ends, on a terminal of the guest when
	// term is not nil. The caller puts its own terminal into raw mode.
	Shell(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, term *Terminal) error
}

// Size is the size of a terminal in characters.
type Size struct{ Columns, Rows int }

// Terminal describes the terminal at which a person sits.
type Terminal struct {
	Name string // as in $TERM
	Size Size
	// Resized, when not nil, delivers the new size after each change.
	Resized <-chan Size
}

// Start says how a machine came to run.
type Start string

// The ways to start.
const (
	StartCold Start = "cold" // through firmware and boot
	StartFork Start = "fork" // restored from a template: a machine that was booted before
)

// Forker is implemented by platforms with the capability Fork: their machines
// start as forks of a template unless their MachineSpec asks for a cold one.
// Cluster.Boot makes a template that is missing, and boots cold whatever cannot
// be forked.
type Forker interface {
	// HasTemplate reports whether a machine of the spec can be forked at once.
	HasTemplate(spec MachineSpec) bool
	// Template makes the template for machines of the spec if it is missing;
	// calls for the same template share the work. The error wraps
	// ErrUnsupported when such machines always start cold, and says why.
	Template(ctx context.Context, spec MachineSpec) error
}

// Starter is implemented by machines of platforms with the capability Fork.
type Starter interface {
	// Started says how the machine came to run. The error is not nil when it
	// should have been forked, was booted cold instead, and why.
	Started() (how Start, fallback error)
}

// Impairment is the state of a cluster's network. The zero value is a network
// without faults.
type Impairment struct {
	Drop   float64       `json:"drop,omitzero"`   // share of frames lost, 0 to 1
	Delay  time.Duration `json:"delay,omitzero"`  // added to each frame, one way
	Jitter time.Duration `json:"jitter,omitzero"` // at most this much more, uniformly
	// Groups partitions the network: machines of different groups cannot
	// reach each other. A machine in no group reaches nobody. Empty means no
	// partition. The harness's own connection is not affected.
	Groups [][]string `json:"groups,omitempty"`
}

// ClusterSpec says what a cluster shall be.
type ClusterSpec struct {
	// Name is unique among the live clusters of a run, and fit for a file
	// name: it names the cluster to people.
	Name string
	// Dir is an existing directory. The platform writes each machine's files
	// (console.txt, user-data) below Dir/<machine>.
	Dir string
	// Networks the cluster has; none means one network with the platform's
	// own choice of prefixes.
	Networks []NetworkSpec
	// Internet lets machines reach addresses outside the cluster.
	Internet bool
	// Capture writes a packet capture of each network to Dir, where the
	// platform is capable of it.
	Capture bool
	// Keep lets the machines outlive this program for the given time;
	// 0 means that they end with it.
	Keep time.Duration
}

// NetworkSpec is one network of a cluster. Invalid prefixes mean that the
// platform chooses.
type NetworkSpec struct {
	Name string
	IPv4 netip.Prefix
	IPv6 netip.Prefix
}

// MachineSpec says what a machine shall be. The zero value of each field is
// the platform's default.
type MachineSpec struct {
	// Name becomes the machine's ID; it is unique in the cluster and a legal
	// host name.
	Name string
	// UserData is the provisioning config as its author wrote it: Ignition,
	// Butane, cloud-config or a script, told apart by content. The platform
	// substitutes addresses and adds the run's SSH key before the machine
	// sees it.
	UserData []byte
	// NoSSHKey leaves the user data without the run's key: for tests that
	// bring their own.
	NoSSHKey bool
	// Cold asks for a machine that goes through firmware and first boot, and
	// is no fork of a template.
	Cold bool
	// Prepare is a script for sh that root has to have run when the machine is
	// handed to a test. A Forker runs it once, in the machine that becomes the
	// template; in machines that are no forks the harness does.
	Prepare string

	CPUs      int
	MemoryMiB int
	Firmware  Firmware
	TPM       bool
	Disks     []Disk
	// GrowDiskMiB makes the boot disk larger than the image.
	GrowDiskMiB int
	// Networks names the cluster's networks that the machine is on, in the
	// order of its interfaces; none means the first.
	Networks []string

	// Console, when not nil, receives the console's bytes as they are
	// printed, from the first on, on platforms with the capability
	// LiveConsole. Writes come from one goroutine and must not block for long.
	Console io.Writer
	// Progress, when not nil, is told each state that a boot passes through,
	// in a few words fit for a person ("waiting for ssh").
	Progress func(state string)
}

// Disk is an empty disk beside the boot disk.
type Disk struct {
	SizeMiB int
	// Serial names the disk to the guest: /dev/disk/by-id/virtio-<serial>.
	Serial string
}

// Firmware is how a machine starts.
type Firmware string

// The kinds of firmware. The zero value is the platform's default for the
// architecture.
const (
	BIOS       Firmware = "bios"
	UEFI       Firmware = "uefi"
	UEFISecure Firmware = "uefi-secure"
)

// Command is a command line for the guest's shell.
type Command struct {
	// Line is run by the login user's shell.
	Line string
	// Stdin, when not nil, is the command's input.
	Stdin io.Reader
	// Stdout and Stderr, when not nil, receive the output as it comes; when
	// nil, the output is kept in the Result, at most MaxOutput bytes of each.
	Stdout, Stderr io.Writer
}

// MaxOutput bounds the output that a Result keeps, in bytes of each stream.
const MaxOutput = 4 << 20

// Result is what a command that ran to its end left behind.
type Result struct {
	// ExitCode is the exit status; 128+n when signal n ended the command.
	ExitCode int
	// Signal is the name of the signal that ended the command ("KILL"), or
	// empty.
	Signal string
	// Stdout and Stderr hold the output that no writer of the Command took.
	Stdout, Stderr []byte
	// Truncated says that some output was too long to keep.
	Truncated bool
}

// SweepOptions says what Sweep may remove.
type SweepOptions struct {
	DryRun    bool
	OlderThan time.Duration // since the resource was made; 0 means any age
}

// Removed is a resource that Sweep removed, or would remove.
type Removed struct {
	Kind string // "process", "directory", "instance" ...
	Name string
	Why  string
}
