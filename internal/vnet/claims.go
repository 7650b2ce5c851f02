package vnet

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// claim is the address that a frame tells others to find behind its sender: the sender's of an ARP
// packet, and of a neighbour solicitation or advertisement. It is invalid for all other frames.
func claim(frame []byte) netip.Addr {
	body := frame[header.EthernetMinimumSize:]
	switch header.Ethernet(frame).Type() {
	case header.ARPProtocolNumber:
		if arp := header.ARP(body); arp.IsValid() {
			addr, _ := netip.AddrFromSlice(arp.ProtocolAddressSender())
			return addr
		}
	case header.IPv6ProtocolNumber:
		h := header.IPv6(body)
		if len(body) < header.IPv6MinimumSize+header.ICMPv6MinimumSize || h.TransportProtocol() != header.ICMPv6ProtocolNumber {
			return netip.Addr{}
		}
		switch header.ICMPv6(body[header.IPv6MinimumSize:]).Type() {
		case header.ICMPv6NeighborSolicit, header.ICMPv6NeighborAdvert:
			return fromAddress(h.SourceAddress())
		}
	}
	return netip.Addr{}
}

// foreign reports whether a frame claims an address that the network gave to another machine. A
// restored machine does so until it has noticed that its address is a new one, and who believed it
// would talk to the wrong machine for seconds.
func (f *fabric) foreign(from *port, frame []byte) bool {
	if f.hosts == nil {
		return false
	}
	addr := claim(frame)
	if !addr.IsValid() {
		return false
	}
	name, owned := f.hosts.byAddr(addr)
	return owned && name != from.name
}
