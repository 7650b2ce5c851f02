package vnet

import (
	"fmt"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const (
	nicID       = tcpip.NICID(1)
	mtu         = 1500 // of the segment, in bytes of IP packet
	defaultHops = 64
)

// link is the Ethernet card of a network stack. What the stack sends goes to transmit as whole
// frames, without a queue between.
type link struct {
	*ethernet.Endpoint
	transmit func(frame []byte)
}

// newLink makes a card. The channel endpoint is there for its bookkeeping only: its queue is unused.
func newLink(mac net.HardwareAddr, transmit func(frame []byte)) *link {
	inner := channel.New(1, mtu+header.EthernetMinimumSize, tcpip.LinkAddress(mac))
	return &link{Endpoint: ethernet.New(inner), transmit: transmit}
}

// WritePackets implements [stack.LinkWriter].
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range pkts.AsSlice() {
		l.transmit(pkt.ToView().AsSlice())
	}
	return pkts.Len(), nil
}

// receive hands a frame to the stack, which copies it.
func (l *link) receive(frame []byte) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	defer pkt.DecRef()
	l.DeliverNetworkPacket(0, pkt) // the card finds the protocol in the Ethernet header
}

// newStack makes a network stack with one card.
func newStack(l *link) (*stack.Stack, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{arp.NewProtocol, ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	sack := tcpip.TCPSACKEnabled(true)
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack); err != nil {
		return nil, fmt.Errorf("enable selective acknowledgement: %s", err)
	}
	if err := s.CreateNIC(nicID, l); err != nil {
		return nil, fmt.Errorf("create interface: %s", err)
	}
	return s, nil
}

// addAddress gives the stack's card an address. The stack never picks a secondary one as the source
// of its own connections.
func addAddress(s *stack.Stack, p netip.Prefix, secondary bool) error {
	properties := stack.AddressProperties{PEB: stack.CanBePrimaryEndpoint}
	if secondary {
		properties.PEB = stack.NeverPrimaryEndpoint
	}
	err := s.AddProtocolAddress(nicID, tcpip.ProtocolAddress{
		Protocol:          protocolOf(p.Addr()),
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: toAddress(p.Addr()), PrefixLen: p.Bits()},
	}, properties)
	if err != nil {
		return fmt.Errorf("add address %s: %s", p, err)
	}
	return nil
}

// route says where the stack finds a prefix: on the segment, or behind a gateway on it.
func route(p netip.Prefix, gateway netip.Addr) tcpip.Route {
	p = p.Masked()
	r := tcpip.Route{
		Destination: tcpip.AddressWithPrefix{Address: toAddress(p.Addr()), PrefixLen: p.Bits()}.Subnet(),
		NIC:         nicID,
	}
	if gateway.IsValid() {
		r.Gateway = toAddress(gateway)
	}
	return r
}

// protocolOf returns the network protocol of an address.
func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// toAddress and fromAddress convert between the address types of gVisor and the standard library.
func toAddress(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func fromAddress(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return addr
}

// toFullAddress converts an address with its port; the zero Addr stands for any.
func toFullAddress(a netip.AddrPort) tcpip.FullAddress {
	full := tcpip.FullAddress{NIC: nicID, Port: a.Port()}
	if a.Addr().IsValid() {
		full.Addr = toAddress(a.Addr())
	}
	return full
}
