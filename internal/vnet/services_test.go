package vnet

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/miekg/dns"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// askDHCP sends a message from a guest and returns the server's answer.
func askDHCP(t *testing.T, g *guest, src, dst netip.Addr, request *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	t.Helper()
	g.send(udpFrame(g.MAC, netip.AddrPortFrom(src, 68), netip.AddrPortFrom(dst, 67), request.ToBytes()))
	var reply *dhcpv4.DHCPv4
	g.awaitFrame(t, func(frame []byte) bool {
		h := header.IPv4(frame[14:])
		if header.Ethernet(frame).Type() != header.IPv4ProtocolNumber || !h.IsValid(len(h)) || h.TransportProtocol() != header.UDPProtocolNumber {
			return false
		}
		if udp := header.UDP(h.Payload()); udp.SourcePort() != 67 || !h.IsChecksumValid() ||
			!udp.IsChecksumValid(h.SourceAddress(), h.DestinationAddress(), checksumOf(udp.Payload())) {
			return false
		}
		var err error
		reply, err = dhcpv4.FromBytes(header.UDP(h.Payload()).Payload())
		return err == nil && reply.TransactionID == request.TransactionID
	})
	return reply
}

func TestDHCP(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	g := newBareGuest(t, n, "node1")
	none, all := netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255")
	gw, _ := n.Gateway()

	discover, err := dhcpv4.NewDiscovery(g.MAC)
	if err != nil {
		t.Fatal(err)
	}
	offer := askDHCP(t, g, none, all, discover)
	request, err := dhcpv4.NewRequestFromOffer(offer)
	if err != nil {
		t.Fatal(err)
	}
	ack := askDHCP(t, g, none, all, request)
	ones, _ := ack.SubnetMask().Size()
	want := map[string]string{
		"offer": "OFFER " + g.IPv4.String(), "ack": "ACK " + g.IPv4.String(), "server": gw.String(),
		"mask": "24", "routers": gw.String(), "dns": gw.String(), "ntp": gw.String(),
		"host": "node1", "domain": "ship.test", "search": "[ship.test]", "lease": "24h0m0s",
	}
	got := map[string]string{
		"offer": fmt.Sprint(offer.MessageType(), " ", offer.YourIPAddr), "ack": fmt.Sprint(ack.MessageType(), " ", ack.YourIPAddr),
		"server": ack.ServerIdentifier().String(), "mask": fmt.Sprint(ones), "routers": joinIPs(ack.Router()),
		"dns": joinIPs(ack.DNS()), "ntp": joinIPs(ack.NTPServers()), "host": ack.HostName(), "domain": ack.DomainName(),
		"search": fmt.Sprint(ack.DomainSearch()), "lease": ack.IPAddressLeaseTime(0).String(),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	renew, err := dhcpv4.NewRenewFromAck(ack)
	if err != nil {
		t.Fatal(err)
	}
	if reply := askDHCP(t, g, g.IPv4, gw, renew); reply.MessageType() != dhcpv4.MessageTypeAck {
		t.Errorf("renewal answered by %s", reply.MessageType())
	}
	stale, err := dhcpv4.New(dhcpv4.WithHwAddr(g.MAC), dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(192, 0, 2, 5))))
	if err != nil {
		t.Fatal(err)
	}
	if reply := askDHCP(t, g, none, all, stale); reply.MessageType() != dhcpv4.MessageTypeNak {
		t.Errorf("request for a foreign address answered by %s", reply.MessageType())
	}
}

func TestDHCPIgnoresOthers(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	g := newBareGuest(t, n, "a")
	gw := n.gw
	for name, m := range map[string][]dhcpv4.Modifier{
		"unknown MAC":  {dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 9}), dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover)},
		"other server": {dhcpv4.WithHwAddr(g.MAC), dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 1)))},
		"release":      {dhcpv4.WithHwAddr(g.MAC), dhcpv4.WithMessageType(dhcpv4.MessageTypeRelease)},
	} {
		message, err := dhcpv4.New(m...)
		if err != nil {
			t.Fatal(err)
		}
		before := n.Stats()[GatewayPort].ReceivedFrames
		gw.receive(udpFrame(g.MAC, netip.AddrPortFrom(netip.IPv4Unspecified(), 68), netip.AddrPortFrom(gw.ipv4, 67), message.ToBytes()))
		if after := n.Stats()[GatewayPort].ReceivedFrames; after != before {
			t.Errorf("%s: answered", name)
		}
	}
}

func TestNoDefaultRoute(t *testing.T) {
	cfg := testConfig(t)
	cfg.NoDefaultRoute = true
	n := newNetwork(t, cfg)
	g := newBareGuest(t, n, "a")
	discover, err := dhcpv4.NewDiscovery(g.MAC)
	if err != nil {
		t.Fatal(err)
	}
	offer := askDHCP(t, g, netip.IPv4Unspecified(), n.gw.ipv4, discover)
	if len(offer.Router()) != 0 {
		t.Errorf("routers %v", offer.Router())
	}
	if got := header.NDPRouterAdvert(n.gw.routerAdvert()[4:]).RouterLifetime(); got != 0 {
		t.Errorf("router lifetime %v", got)
	}
}

// isRouterAdvert reports whether a frame tells of a router.
func isRouterAdvert(frame []byte) bool {
	h := header.IPv6(frame[14:])
	return header.Ethernet(frame).Type() == header.IPv6ProtocolNumber && h.IsValid(len(h)) &&
		h.TransportProtocol() == header.ICMPv6ProtocolNumber && header.ICMPv6(h.Payload()).Type() == header.ICMPv6RouterAdvert
}

// Who gets an address by DHCP hears of the router without asking for it.
func TestRouterAdvertisementWithDHCP(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	g := newBareGuest(t, n, "a")
	discover, err := dhcpv4.NewDiscovery(g.MAC)
	if err != nil {
		t.Fatal(err)
	}
	askDHCP(t, g, netip.IPv4Unspecified(), n.gw.ipv4, discover)
	g.awaitFrame(t, isRouterAdvert)
}

func TestRouterAdvertisement(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	g := newBareGuest(t, n, "a")
	solicit := make([]byte, header.ICMPv6HeaderSize+header.NDPRSMinimumSize)
	header.ICMPv6(solicit).SetType(header.ICMPv6RouterSolicit)
	scratch := &gateway{mac: g.MAC, fabric: newFabric(t.Context())}
	scratch.port = plug(scratch.fabric, "scratch")[0]
	sink := plug(scratch.fabric, "sink")[0]
	scratch.sendICMPv6(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 2}, linkLocal(g.MAC), netip.MustParseAddr("ff02::2"), ndpHops, solicit)
	g.send(<-sink.out)

	frame := g.awaitFrame(t, isRouterAdvert)
	h := header.IPv6(frame[14:])
	if from := fromAddress(h.SourceAddress()); from != linkLocal(n.gw.mac) || h.HopLimit() != 255 {
		t.Errorf("from %s with %d hops", from, h.HopLimit())
	}
	icmp := header.ICMPv6(h.Payload())
	if sum := header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: h.SourceAddress(), Dst: h.DestinationAddress()}); sum != icmp.Checksum() {
		t.Errorf("checksum %#x, want %#x", icmp.Checksum(), sum)
	}
	advert := header.NDPRouterAdvert(icmp.MessageBody())
	if advert.ManagedAddrConfFlag() || advert.OtherConfFlag() || advert.RouterLifetime() < time.Hour {
		t.Errorf("managed %v, other %v, lifetime %v", advert.ManagedAddrConfFlag(), advert.OtherConfFlag(), advert.RouterLifetime())
	}
	it, err := advert.Options().Iter(true)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		option, done, err := it.Next()
		if err != nil {
			t.Fatal(err)
		}
		if done {
			break
		}
		switch o := option.(type) {
		case header.NDPPrefixInformation:
			got = append(got, fmt.Sprint("prefix ", o.Subnet(), o.OnLinkFlag(), o.AutonomousAddressConfigurationFlag()))
		case header.NDPRecursiveDNSServer:
			addrs, _ := o.Addresses()
			got = append(got, fmt.Sprint("dns ", addrs))
		case header.NDPDNSSearchList:
			names, _ := o.DomainNames()
			got = append(got, fmt.Sprint("search ", names))
		case header.NDPSourceLinkLayerAddressOption:
			got = append(got, fmt.Sprint("mac ", o.EthernetAddress()))
		}
	}
	want := []string{
		fmt.Sprint("mac ", n.gw.mac), fmt.Sprint("prefix ", n.cfg.IPv6, true, true),
		fmt.Sprint("dns [", n.gw.ipv6, "]"), "search [ship.test]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// askDNS sends a question from a guest.
func askDNS(t *testing.T, g *guest, network string, server netip.Addr, name string, kind uint16) *dns.Msg {
	t.Helper()
	conn, err := g.dial(soon(t), network, netip.AddrPortFrom(server, dnsPort))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	question := new(dns.Msg).SetQuestion(name, kind)
	reply, _, err := new(dns.Client).ExchangeWithConnContext(soon(t), question, &dns.Conn{Conn: conn})
	if err != nil {
		t.Fatalf("%s %s: %v", network, name, err)
	}
	return reply
}

func TestDNS(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	a := newGuest(t, n, "a")
	b, err := n.AddHost(Host{Name: "B"})
	if err != nil {
		t.Fatal(err)
	}
	v4, v6 := n.Gateway()
	n.AddRecord("Registry.example.", netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8::9"))
	ptr4, _ := dns.ReverseAddr(b.IPv4.String())
	ptr6, _ := dns.ReverseAddr(b.IPv6.String())
	tests := []struct {
		name  string
		kind  uint16
		want  string
		rcode int
	}{
		{"b.ship.test.", dns.TypeA, b.IPv4.String(), dns.RcodeSuccess},
		{"B.Ship.TEST.", dns.TypeAAAA, b.IPv6.String(), dns.RcodeSuccess},
		{"b.ship.test.", dns.TypeMX, "", dns.RcodeSuccess},
		{"gateway.ship.test.", dns.TypeA, v4.String(), dns.RcodeSuccess},
		{"registry.example.", dns.TypeA, "203.0.113.9", dns.RcodeSuccess},
		{"registry.example.", dns.TypeAAAA, "2001:db8::9", dns.RcodeSuccess},
		{ptr4, dns.TypePTR, "b.ship.test.", dns.RcodeSuccess},
		{ptr6, dns.TypePTR, "b.ship.test.", dns.RcodeSuccess},
		{"ship.test.", dns.TypeA, "", dns.RcodeSuccess},
		{"c.ship.test.", dns.TypeA, "", dns.RcodeNameError},
		{"example.com.", dns.TypeA, "", dns.RcodeNameError},
		{"9.9.9.9.in-addr.arpa.", dns.TypePTR, "", dns.RcodeNameError},
		{"x.in-addr.arpa.", dns.TypePTR, "", dns.RcodeNameError},
		{"1.ip6.arpa.", dns.TypePTR, "", dns.RcodeNameError},
	}
	for _, tt := range tests {
		for _, network := range []string{"udp", "tcp"} {
			for _, server := range []netip.Addr{v4, v6} {
				reply := askDNS(t, a, network, server, tt.name, tt.kind)
				var got string
				for _, rr := range reply.Answer {
					switch rr := rr.(type) {
					case *dns.A:
						got += rr.A.String()
					case *dns.AAAA:
						got += rr.AAAA.String()
					case *dns.PTR:
						got += rr.Ptr
					}
				}
				if got != tt.want || reply.Rcode != tt.rcode || reply.RecursionAvailable {
					t.Errorf("%s %s %s at %s: %q %s, want %q %s", network, dns.TypeToString[tt.kind], tt.name, server,
						got, dns.RcodeToString[reply.Rcode], tt.want, dns.RcodeToString[tt.rcode])
				}
			}
		}
	}
}

func TestDNSForwardsWithInternet(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	upstream := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetReply(m)
		rr, _ := dns.NewRR(m.Question[0].Name + " 60 IN A 198.51.100.4")
		reply.Answer = []dns.RR{rr}
		_ = w.WriteMsg(reply)
	})}
	go func() { _ = upstream.ActivateAndServe() }()
	defer func() { _ = upstream.ShutdownContext(context.Background()) }()

	cfg := testConfig(t)
	cfg.Internet = true
	cfg.Resolvers = []netip.AddrPort{netip.MustParseAddrPort(packets.LocalAddr().String())}
	n := newNetwork(t, cfg)
	a := newGuest(t, n, "a")
	gw, _ := n.Gateway()
	reply := askDNS(t, a, "udp", gw, "example.com.", dns.TypeA)
	if len(reply.Answer) != 1 || reply.Answer[0].(*dns.A).A.String() != "198.51.100.4" {
		t.Errorf("answer %v", reply)
	}
	if reply := askDNS(t, a, "udp", gw, "nobody.ship.test.", dns.TypeA); reply.Rcode != dns.RcodeNameError {
		t.Errorf("a name of the segment was forwarded: %v", reply)
	}
}

func TestNTP(t *testing.T) {
	cfg := testConfig(t)
	now := time.Date(2026, 11, 22, 12, 0, 0, 250_000_000, time.UTC)
	cfg.Now = func() time.Time { return now }
	n := newNetwork(t, cfg)
	a := newGuest(t, n, "a")
	gw, _ := n.Gateway()
	ask := func() (time.Time, []byte) {
		t.Helper()
		conn, err := a.dial(soon(t), "udp", netip.AddrPortFrom(gw, ntpPort))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		request := make([]byte, ntpSize)
		request[0] = 4<<3 | ntpClient
		copy(request[40:], "transmit")
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		reply := make([]byte, 100)
		size, err := conn.Read(reply)
		if err != nil {
			t.Fatal(err)
		}
		stamp := binary.BigEndian.Uint64(reply[40:])
		seconds := int64(stamp>>32) - ntpEraSeconds
		return time.Unix(seconds, int64((stamp&0xffffffff)*1e9>>32)).UTC(), reply[:size]
	}
	got, reply := ask()
	if d := got.Sub(now).Abs(); d > time.Microsecond {
		t.Errorf("time is %v, want %v", got, now)
	}
	if len(reply) != ntpSize || reply[0] != 4<<3|ntpServer || reply[1] != ntpStratum || !bytes.Equal(reply[24:32], []byte("transmit")) {
		t.Errorf("reply % x", reply)
	}
	n.SetClockOffset(-time.Hour)
	if got, _ := ask(); got.Sub(now).Round(time.Second) != -time.Hour {
		t.Errorf("time is %v, want an hour before %v", got, now)
	}
	for _, bad := range [][]byte{nil, make([]byte, 47), bytes.Repeat([]byte{4<<3 | ntpServer}, ntpSize)} {
		if _, ok := ntpReply(bad, now); ok {
			t.Errorf("answered % x", bad)
		}
	}
}

func joinIPs(ips []net.IP) string {
	var list []string
	for _, ip := range ips {
		list = append(list, ip.String())
	}
	return strings.Join(list, " ")
}
