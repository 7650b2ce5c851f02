package clusterhost

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"time"
)

// Subcommand is the first argument of a program that is executed as a cluster host.
const Subcommand = "cluster-host"

// Names of the connections that every machine has; see [Process.Argv].
const (
	FDMonitor = "qmp"     // QMP, in control mode
	FDConsole = "console" // the serial console
	FDChannel = "channel" // a stream to a port in the guest; a machine need not have it
)

// Spec is what a cluster host is told at its start.
type Spec struct {
	Name     string    // of the cluster, to people
	Networks []Network // at least one
	Internet bool      // the networks relay to the outside
	Seed     uint64    // of MAC addresses and network faults
	// Keep lets the host outlive the process that started it for this long.
	Keep time.Duration
	// Owned are directories that belong to the cluster and are removed with it.
	Owned []string

	// Set by Start.
	Dir     string // of the host itself
	Created time.Time
}

// Network is a network to be made. Invalid prefixes are chosen by the host.
type Network struct {
	Name    string
	IPv4    netip.Prefix
	IPv6    netip.Prefix
	Capture string // file for a packet capture; empty for none
}

// NetworkInfo is a network that exists.
type NetworkInfo struct {
	Name        string
	IPv4, IPv6  netip.Prefix
	GatewayIPv4 netip.Addr
	GatewayIPv6 netip.Addr
}

// NIC is a network interface of a machine, as the network's DHCP server knows it.
type NIC struct {
	ID      string // "nic0", "nic1" ...: also the name of its connection in argument lists
	Network string
	MAC     string
	IPv4    netip.Addr
	IPv6    netip.Addr
}

// Addrs returns the addresses that the interface has, IPv4 first.
func (n NIC) Addrs() []netip.Addr {
	var addrs []netip.Addr
	for _, a := range []netip.Addr{n.IPv4, n.IPv6} {
		if a.IsValid() {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// Machine is a machine to be started. It was announced before, which gave it its NICs.
type Machine struct {
	Name string
	// Processes are started in this order. The last one is the machine: it speaks QMP, and when
	// it ends the others are ended.
	Processes []Process
	// Dir is an existing directory for console.txt and for what the processes print.
	Dir string
}

// Process is one process of a machine.
type Process struct {
	Name string // "qemu"; names the file of its output
	// Argv is the command line. {fd:NAME} stands for the number of an inherited descriptor, the
	// end of a stream socket pair: FDMonitor, FDConsole, FDChannel and the IDs of the machine's NICs (in
	// QEMU's stream framing) lead to the host. Any other name connects the two processes that
	// mention it.
	Argv []string
}

// Exit says how a machine ended.
type Exit struct {
	Time time.Time
	// Asked says that the host ended the machine because it was told to.
	Asked bool
	// Code is the exit status of the machine's process, and Signal what killed it, if anything.
	Code   int
	Signal string `json:",omitempty"`
	// Shutdown is the reason that QEMU gave in its last SHUTDOWN event: "guest-shutdown",
	// "host-qmp-quit" ... Empty if there was none.
	Shutdown string `json:",omitempty"`
	// NoSpace says that a disk of the machine could not grow, since this host has no space left.
	NoSpace bool `json:",omitempty"`
	// Output is the end of what the process printed.
	Output string `json:",omitempty"`
}

func (e Exit) String() string {
	s := fmt.Sprintf("exit status %d", e.Code)
	if e.Signal != "" {
		s = "killed by signal " + e.Signal
	}
	if e.Shutdown != "" {
		s += ", after " + e.Shutdown
	}
	if e.Output != "" {
		s += ": " + e.Output
	}
	return s
}

// Info describes a running host.
type Info struct {
	PID      int
	Spec     Spec
	Networks []NetworkInfo
	Machines map[string][]NIC // running machines
	// KeptUntil is when a host whose starter is gone ends; zero means: together with it.
	KeptUntil time.Time
}

var (
	// ErrNoMachine is wrapped by errors about a machine that was never started.
	ErrNoMachine = errors.New("no such machine")
	// ErrMachineEnded is wrapped by errors for requests that a machine can no longer meet.
	ErrMachineEnded = errors.New("machine has ended")
	// ErrHostGone is wrapped by errors for requests to a host that does not answer.
	ErrHostGone = errors.New("cluster host is gone")
)

func (s Spec) check() error {
	const most = 256
	if n := len(s.Networks); n == 0 || n > most {
		return fmt.Errorf("a cluster needs a network, and has at most %d; %d are asked for", most, n)
	}
	seen := make(map[string]bool)
	for _, n := range s.Networks {
		if n.Name == "" || seen[n.Name] {
			return fmt.Errorf("network name %q is empty or taken", n.Name)
		}
		seen[n.Name] = true
	}
	return nil
}

// placeholder matches {fd:NAME} in an argument.
var placeholder = regexp.MustCompile(`\{fd:([a-z0-9-]+)\}`)
