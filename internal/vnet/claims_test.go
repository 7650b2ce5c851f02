package vnet

import (
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// arpFrame is a broadcast in which machine src says that it has an address.
func arpFrame(src byte, addr netip.Addr) []byte {
	frame := ether(0xff, src, 0)
	frame[12], frame[13] = 0x08, 0x06
	arp := header.ARP(frame[14:])
	arp.SetIPv4OverEthernet()
	arp.SetOp(header.ARPRequest)
	copy(arp.ProtocolAddressSender(), addr.AsSlice())
	return frame
}

// solicitFrame is a neighbour solicitation from an address.
func solicitFrame(src byte, addr netip.Addr) []byte {
	frame := append(ether(0x33, src, 0)[:14], make([]byte, header.IPv6MinimumSize+header.ICMPv6MinimumSize)...)
	frame[12], frame[13] = 0x86, 0xdd
	header.IPv6(frame[14:]).Encode(&header.IPv6Fields{
		PayloadLength: header.ICMPv6MinimumSize, TransportProtocol: header.ICMPv6ProtocolNumber, HopLimit: 255, SrcAddr: toAddress(addr),
	})
	header.ICMPv6(frame[14+header.IPv6MinimumSize:]).SetType(header.ICMPv6NeighborSolicit)
	return frame
}

// TestForeignClaims: who tells others that it has another machine's address is not heard.
func TestForeignClaims(t *testing.T) {
	one, two, free := netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("fd00::12"), netip.MustParseAddr("10.0.0.99")
	f := newFabric(t.Context())
	f.hosts = newRegistry(Config{}, nil)
	f.hosts.hosts["a"] = Host{Name: "a", IPv4: one, MAC: []byte{2, 0, 0, 0, 0, 0x0a}}
	f.hosts.hosts["b"] = Host{Name: "b", IPv6: two, MAC: []byte{2, 2, 2, 2, 2, 2}}
	p := plug(f, "a", "b", "c")
	for _, tt := range []struct {
		name  string
		from  int
		frame []byte
		heard bool
	}{
		{"own address", 0, arpFrame(1, one), true},
		{"another's address", 1, arpFrame(2, one), false},
		{"nobody's address", 1, arpFrame(2, free), true},
		{"own IPv6 address", 1, solicitFrame(2, two), true},
		{"another's IPv6 address", 0, solicitFrame(1, two), false},
		{"no address yet", 0, solicitFrame(1, netip.IPv6Unspecified()), true},
		{"no claim", 1, ether(0xff, 2, 'x'), true},
	} {
		f.forward(p[tt.from], tt.frame)
		if got := len(marks(p[2])) > 0; got != tt.heard {
			t.Errorf("%s: heard is %v, want %v", tt.name, got, tt.heard)
		}
	}
	if got := f.stats["b"].snapshot().Foreign; got != 1 {
		t.Errorf("b has claimed another's address %d times, want 1", got)
	}
	f.forward(p[2], ether(0xff, 2, 'x'))
	if got := f.learned[etherAddr{2, 2, 2, 2, 2, 2}]; got != p[1] {
		t.Errorf("b's address is thought to be behind port %v", got)
	}
}
