package vnet

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestPrefixes(t *testing.T) {
	v4, v6 := Prefixes(1, 7)
	if v4 != netip.MustParsePrefix("10.77.7.0/24") {
		t.Errorf("IPv4 prefix %s", v4)
	}
	if !v6.Addr().IsPrivate() || v6.Bits() != 64 || v6 != v6.Masked() {
		t.Errorf("IPv6 prefix %s is not a unique local /64", v6)
	}
	if _, again := Prefixes(1, 7); again != v6 {
		t.Errorf("same seed, other prefix: %s and %s", v6, again)
	}
	_, next := Prefixes(1, 8)
	if next == v6 || next.Addr().As16()[6] != 0 || [6]byte(next.Addr().AsSlice()[:6]) != [6]byte(v6.Addr().AsSlice()[:6]) {
		t.Errorf("networks of one cluster: %s and %s, want them in one /48", v6, next)
	}
}

func TestMAC(t *testing.T) {
	seen := make(map[string]string)
	for _, machine := range []string{"a", "b", "c", "node1", "node2"} {
		for _, nic := range []string{"lan", "storage", "0", "1"} {
			mac := MAC(1, machine, nic)
			if mac[0]&3 != 2 {
				t.Errorf("%s is not locally administered unicast", mac)
			}
			if other, taken := seen[mac.String()]; taken {
				t.Errorf("%s of %s/%s is also that of %s", mac, machine, nic, other)
			}
			seen[mac.String()] = machine + "/" + nic
		}
	}
	first, again, other := MAC(1, "a", "lan"), MAC(1, "a", "lan"), MAC(2, "a", "lan")
	if first.String() != again.String() || first.String() == other.String() {
		t.Error("the MAC must follow from the seed")
	}
}

func TestSLAAC(t *testing.T) {
	// The example of RFC 4291, appendix A, with the universal bit inverted.
	got := SLAAC(netip.MustParsePrefix("2001:db8::/64"), net.HardwareAddr{0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde})
	if want := netip.MustParseAddr("2001:db8::3656:78ff:fe9a:bcde"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestBadConfig(t *testing.T) {
	v4, v6 := Prefixes(1, 0)
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "neither"},
		{Config{IPv4: v6}, "not an IPv4 prefix"},
		{Config{IPv6: v4}, "not an IPv6 prefix"},
		{Config{IPv4: netip.MustParsePrefix("10.0.0.0/30")}, "/8 to /28"},
		{Config{IPv6: netip.MustParsePrefix("fd00::/48")}, "/64"},
		{Config{IPv4: v4, Domain: "a..b"}, "label"},
		{Config{IPv4: v4, Domain: "-a.test"}, "label"},
	} {
		if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want one with %q", tt.cfg, err, tt.want)
		}
	}
}

func TestAddHost(t *testing.T) {
	cfg := testConfig(t)
	cfg.IPv4 = netip.MustParsePrefix("10.0.0.0/28")
	n := newNetwork(t, cfg)
	add := func(h Host) Host {
		t.Helper()
		got, err := n.AddHost(h)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	fixed := add(Host{Name: "fixed", IPv4: netip.MustParseAddr("10.0.0.12")})
	var got []string
	for _, name := range []string{"a", "b", "c"} {
		h := add(Host{Name: name})
		got = append(got, h.IPv4.String())
		if h.IPv6 != SLAAC(cfg.IPv6, h.MAC) {
			t.Errorf("%s has %s, which does not follow from %s", name, h.IPv6, h.MAC)
		}
	}
	if s := strings.Join(got, " "); s != "10.0.0.11 10.0.0.13 10.0.0.14" {
		t.Errorf("addresses %s", s)
	}
	for _, tt := range []struct {
		host Host
		want string
	}{
		{Host{Name: "d"}, "no address left"},
		{Host{Name: "A", IPv4: netip.MustParseAddr("10.0.0.5")}, "taken"},
		{Host{Name: GatewayPort}, "gateway's"},
		{Host{Name: "a.b"}, "label"},
		{Host{Name: ""}, "label"},
		{Host{Name: "e", IPv4: netip.MustParseAddr("10.0.0.1")}, "not an address for a machine"},
		{Host{Name: "e", IPv4: netip.MustParseAddr("10.0.0.15")}, "not an address for a machine"},
		{Host{Name: "e", IPv4: netip.MustParseAddr("10.1.0.5")}, "not an address for a machine"},
		{Host{Name: "e", IPv4: fixed.IPv4}, "belongs to fixed"},
		{Host{Name: "e", IPv4: netip.MustParseAddr("10.0.0.5"), MAC: fixed.MAC}, "belongs to fixed"},
		{Host{Name: "e", MAC: net.HardwareAddr{1, 2, 3, 4, 5, 6}}, "unicast"},
		{Host{Name: "e", MAC: net.HardwareAddr{2, 2}}, "unicast"},
	} {
		if _, err := n.AddHost(tt.host); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want one with %q", tt.host, err, tt.want)
		}
	}
}
