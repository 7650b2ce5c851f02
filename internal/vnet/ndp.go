package vnet

import (
	"context"
	"encoding/binary"
	"math"
	"net"
	"net/netip"
	"strings"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Router advertisements (RFC 4861, section 4.2) announce the prefix for stateless address
// configuration, without DHCPv6: a machine is up after one round trip, and its address follows
// from its MAC.
const (
	advertiseEvery = 5 * time.Minute
	routerLifetime = math.MaxUint16 // seconds; renewed by each advertisement
	forever        = math.MaxUint32 // seconds: infinity
	ndpHops        = 255            // proof that a message did not pass a router

	prefixOnLink     = 1 << 7
	prefixAutonomous = 1 << 6
)

// isRouterSolicit reports whether a packet asks for a router advertisement.
func isRouterSolicit(h header.IPv6) bool {
	icmp := header.ICMPv6(h.Payload())
	return h.TransportProtocol() == header.ICMPv6ProtocolNumber && h.HopLimit() == ndpHops &&
		len(icmp) >= header.ICMPv6MinimumSize && icmp.Type() == header.ICMPv6RouterSolicit
}

// advertise tells every machine about the router. Its answer to a solicitation is multicast, too:
// the one that asks may have no address yet.
func (g *gateway) advertise() {
	all := netip.IPv6LinkLocalAllNodes()
	mac := net.HardwareAddr(header.EthernetAddressFromMulticastIPv6Address(toAddress(all)))
	g.sendICMPv6(mac, g.linkLocal, all, ndpHops, g.routerAdvert())
}

// routerAdvert makes the message, without its checksum.
func (g *gateway) routerAdvert() []byte {
	prefix := []byte{slaacBits, prefixOnLink | prefixAutonomous}
	prefix = binary.BigEndian.AppendUint32(prefix, forever) // valid
	prefix = binary.BigEndian.AppendUint32(prefix, forever) // preferred
	prefix = append(prefix, 0, 0, 0, 0)
	prefix = append(prefix, g.cfg.IPv6.Addr().AsSlice()...)

	dns := []byte{0, 0}
	dns = binary.BigEndian.AppendUint32(dns, forever)
	dns = append(dns, g.ipv6.AsSlice()...)

	options := header.NDPOptionsSerializer{
		header.NDPSourceLinkLayerAddressOption(tcpip.LinkAddress(g.mac)),
		header.NDPPrefixInformation(prefix),
		header.NDPRecursiveDNSServer(dns),
		header.NDPDNSSearchList(searchList(g.cfg.Domain)),
	}
	message := make([]byte, header.ICMPv6HeaderSize+header.NDPRAMinimumSize+options.Length())
	header.ICMPv6(message).SetType(header.ICMPv6RouterAdvert)
	body := message[header.ICMPv6HeaderSize:]
	body[0] = defaultHops
	if !g.cfg.NoDefaultRoute {
		binary.BigEndian.PutUint16(body[2:], routerLifetime)
	}
	header.NDPRouterAdvert(body).Options().Serialize(options)
	return message
}

// searchList encodes the body of a DNS search list option (RFC 8106, section 5.2); the
// serializer pads it.
func searchList(domain string) []byte {
	b := []byte{0, 0}
	b = binary.BigEndian.AppendUint32(b, forever)
	for label := range strings.SplitSeq(domain, ".") {
		b = append(b, byte(len(label)))
		b = append(b, label...)
	}
	return append(b, 0)
}

// advertiseRegularly ticks until ctx ends, so that machines do not take the router for gone.
func (g *gateway) advertiseRegularly(ctx context.Context) <-chan time.Time {
	ticker := time.NewTicker(advertiseEvery)
	context.AfterFunc(ctx, ticker.Stop)
	return ticker.C
}
