package vnet

import (
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// etherFrame starts a frame from the gateway with room for size bytes behind the Ethernet header.
func (g *gateway) etherFrame(to net.HardwareAddr, proto tcpip.NetworkProtocolNumber, size int) (frame, body []byte) {
	frame = make([]byte, header.EthernetMinimumSize+size)
	header.Ethernet(frame).Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(g.mac), DstAddr: tcpip.LinkAddress(to), Type: proto,
	})
	return frame, frame[header.EthernetMinimumSize:]
}

// sendIPv4 sends a packet from the gateway's address.
func (g *gateway) sendIPv4(to net.HardwareAddr, dst netip.Addr, proto tcpip.TransportProtocolNumber, payload []byte) {
	frame, body := g.etherFrame(to, header.IPv4ProtocolNumber, header.IPv4MinimumSize+len(payload))
	h := header.IPv4(body)
	h.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(body)), TTL: defaultHops, Protocol: uint8(proto),
		SrcAddr: toAddress(g.ipv4), DstAddr: toAddress(dst),
	})
	h.SetChecksum(^h.CalculateChecksum())
	copy(body[header.IPv4MinimumSize:], payload)
	g.fabric.forward(g.port, frame)
}

// sendUDPv4 sends a datagram from the gateway's address.
func (g *gateway) sendUDPv4(to net.HardwareAddr, dst netip.AddrPort, srcPort uint16, payload []byte) {
	datagram := make([]byte, header.UDPMinimumSize, header.UDPMinimumSize+len(payload))
	size := uint16(len(datagram) + len(payload))
	h := header.UDP(datagram)
	h.Encode(&header.UDPFields{SrcPort: srcPort, DstPort: dst.Port(), Length: size})
	sum := header.PseudoHeaderChecksum(header.UDPProtocolNumber, toAddress(g.ipv4), toAddress(dst.Addr()), size)
	h.SetChecksum(^h.CalculateChecksum(checksum.Checksum(payload, sum)))
	g.sendIPv4(to, dst.Addr(), header.UDPProtocolNumber, append(datagram, payload...))
}

// sendICMPv6 sends a message, whose checksum it fills in.
func (g *gateway) sendICMPv6(to net.HardwareAddr, src, dst netip.Addr, hops uint8, message []byte) {
	frame, body := g.etherFrame(to, header.IPv6ProtocolNumber, header.IPv6MinimumSize+len(message))
	header.IPv6(body).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(message)), TransportProtocol: header.ICMPv6ProtocolNumber, HopLimit: hops,
		SrcAddr: toAddress(src), DstAddr: toAddress(dst),
	})
	icmp := header.ICMPv6(body[header.IPv6MinimumSize:])
	copy(icmp, message)
	icmp.SetChecksum(0)
	icmp.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{
		Header: icmp, Src: toAddress(src), Dst: toAddress(dst),
	}))
	g.fabric.forward(g.port, frame)
}

// An ICMP error quotes the packet it is about, as much as fits: RFC 1812, section 4.3.2.3, and
// RFC 4443, section 2.4(c).
const (
	maxICMPv4Error = 576
	maxICMPv6Error = 1280
)

// refuseIPv4 tells a machine that what it sent goes nowhere. It is the message of a firewall's
// REJECT: programs see "connection refused" at once, with TCP as with UDP. Errors and all but the
// first fragment are not answered (RFC 1122, section 3.2.2).
func (g *gateway) refuseIPv4(frame []byte, h header.IPv4) {
	src := fromAddress(h.SourceAddress())
	if !g.cfg.IPv4.Contains(src) || h.FragmentOffset() != 0 {
		return
	}
	if icmp := h.Payload(); h.TransportProtocol() == header.ICMPv4ProtocolNumber &&
		(len(icmp) < header.ICMPv4MinimumSize || header.ICMPv4(icmp).Type() != header.ICMPv4Echo) {
		return
	}
	quoted := h[:min(int(h.TotalLength()), maxICMPv4Error-header.IPv4MinimumSize-header.ICMPv4MinimumSize)]
	message := append(make([]byte, header.ICMPv4MinimumSize), quoted...)
	icmp := header.ICMPv4(message)
	icmp.SetType(header.ICMPv4DstUnreachable)
	icmp.SetCode(header.ICMPv4PortUnreachable)
	icmp.SetChecksum(header.ICMPv4Checksum(icmp, 0))
	g.sendIPv4(senderOf(frame), src, header.ICMPv4ProtocolNumber, message)
}

// refuseIPv6 is refuseIPv4 for IPv6 (RFC 4443, section 2.4(e)).
func (g *gateway) refuseIPv6(frame []byte, h header.IPv6) {
	src := fromAddress(h.SourceAddress())
	if src.IsUnspecified() || src.IsMulticast() || h.TransportProtocol() == header.IPv6FragmentHeader {
		return
	}
	if icmp := h.Payload(); h.TransportProtocol() == header.ICMPv6ProtocolNumber &&
		(len(icmp) < header.ICMPv6MinimumSize || header.ICMPv6(icmp).Type() != header.ICMPv6EchoRequest) {
		return
	}
	size := header.IPv6MinimumSize + int(h.PayloadLength())
	quoted := h[:min(size, maxICMPv6Error-header.IPv6MinimumSize-header.ICMPv6DstUnreachableMinimumSize)]
	message := append(make([]byte, header.ICMPv6DstUnreachableMinimumSize), quoted...)
	icmp := header.ICMPv6(message)
	icmp.SetType(header.ICMPv6DstUnreachable)
	icmp.SetCode(header.ICMPv6PortUnreachable)
	from := g.ipv6
	if src.IsLinkLocalUnicast() {
		from = g.linkLocal
	}
	g.sendICMPv6(senderOf(frame), from, src, defaultHops, message)
}

// senderOf returns the source MAC of a frame.
func senderOf(frame []byte) net.HardwareAddr { return net.HardwareAddr(frame[6:12]) }
