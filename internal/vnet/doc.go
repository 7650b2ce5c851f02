// Package vnet is the rootless virtual network of a cluster.
//
// A [Network] is one Ethernet segment in this process: a learning switch whose ports speak QEMU's
// stream netdev framing, and a gateway built on gVisor's network stack. The gateway gives the
// machines addresses (DHCPv4 by MAC, IPv6 router advertisements), names (DNS), time (NTP) and a
// default route, and lets the runner dial into the segment and listen inside it. A cluster has as
// many networks as its machines need; nothing is routed between them.
//
// The network is closed by default: what a machine sends outside the segment is refused at once
// with an ICMP error. With [Config.Internet] TCP and UDP are relayed to the host's network, never to
// the host itself.
//
// Faults (loss, delay, partitions) are applied by the switch per pair of machines, and a packet
// capture can be started and stopped at any time.
//
// Nothing here needs privileges, a bridge, a TAP device or a helper process. The package knows
// nothing of QEMU beyond its framing, and nothing of guests.
package vnet
