package vnet

import (
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// leaseTime is long: an address belongs to a machine for good, and a machine restored from a
// snapshot should find its lease valid.
const leaseTime = 24 * time.Hour

// isDHCP reports whether a packet is for a DHCP server, by broadcast or to the gateway.
func isDHCP(h header.IPv4, datagram header.UDP) bool {
	return h.TransportProtocol() == header.UDPProtocolNumber && h.FragmentOffset() == 0 && !h.More() &&
		len(datagram) >= header.UDPMinimumSize && datagram.DestinationPort() == dhcpv4.ServerPort
}

// answerDHCP answers a machine that is known by its MAC; others get no answer, so that they can be
// told from machines with a broken client. The reply goes to the MAC that asked, whatever the
// broadcast flag says (RFC 2131, section 4.1, allows it): its address is not yet in use.
func (g *gateway) answerDHCP(frame, message []byte) {
	request, err := dhcpv4.FromBytes(message)
	if err != nil || request.OpCode != dhcpv4.OpcodeBootRequest {
		return
	}
	host, ok := g.hosts.byMAC(request.ClientHWAddr)
	if !ok || !host.IPv4.IsValid() {
		g.cfg.Log.Debug("no lease for DHCP client", "mac", request.ClientHWAddr)
		return
	}
	kind, ok := g.dhcpReply(request, host)
	if !ok {
		return
	}
	reply, err := dhcpv4.NewReplyFromRequest(request, g.dhcpOptions(kind, host)...)
	if err != nil {
		g.cfg.Log.Warn("DHCP reply not made", "machine", host.Name, "err", err)
		return
	}
	to := host.IPv4
	switch {
	case kind == dhcpv4.MessageTypeNak:
		to = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	case request.MessageType() == dhcpv4.MessageTypeInform:
		reply.YourIPAddr = net.IPv4zero
	default:
		reply.YourIPAddr = host.IPv4.AsSlice()
	}
	g.sendUDPv4(senderOf(frame), netip.AddrPortFrom(to, dhcpv4.ClientPort), dhcpv4.ServerPort, reply.ToBytes())
	if g.ipv6.IsValid() {
		g.advertise() // a host may put off asking for a router (RFC 4861, section 6.3.7), and networkd does
	}
}

// dhcpReply decides on the answer to a request: RFC 2131, section 4.3.
func (g *gateway) dhcpReply(request *dhcpv4.DHCPv4, host Host) (kind dhcpv4.MessageType, ok bool) {
	if id := request.ServerIdentifier(); id != nil && !id.Equal(g.ipv4.AsSlice()) {
		return 0, false // the client chose another server
	}
	switch request.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return dhcpv4.MessageTypeOffer, true
	case dhcpv4.MessageTypeInform:
		return dhcpv4.MessageTypeAck, true
	case dhcpv4.MessageTypeRequest:
		wanted := request.RequestedIPAddress()
		if wanted == nil {
			wanted = request.ClientIPAddr // a renewal
		}
		if !wanted.Equal(host.IPv4.AsSlice()) {
			return dhcpv4.MessageTypeNak, true
		}
		return dhcpv4.MessageTypeAck, true
	default:
		return 0, false
	}
}

// dhcpOptions says what a machine is told. The default route is there whether or not the network
// reaches the Internet: services of the runner may have any address, and the gateway refuses the rest.
func (g *gateway) dhcpOptions(kind dhcpv4.MessageType, host Host) []dhcpv4.Modifier {
	gw := net.IP(g.ipv4.AsSlice())
	options := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(gw)),
	}
	if kind == dhcpv4.MessageTypeNak {
		return options
	}
	options = append(options,
		dhcpv4.WithServerIP(gw),
		dhcpv4.WithLeaseTime(uint32(leaseTime/time.Second)),
		dhcpv4.WithNetmask(net.CIDRMask(g.cfg.IPv4.Bits(), 8*net.IPv4len)),
		dhcpv4.WithDNS(gw),
		dhcpv4.WithOption(dhcpv4.OptNTPServers(gw)),
		dhcpv4.WithOption(dhcpv4.OptHostName(host.Name)),
		dhcpv4.WithOption(dhcpv4.OptDomainName(g.cfg.Domain)),
		dhcpv4.WithDomainSearchList(g.cfg.Domain),
	)
	if !g.cfg.NoDefaultRoute {
		options = append(options, dhcpv4.WithRouter(gw))
	}
	return options
}
