package vnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

func TestTCPBetweenMachines(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	a, b := newGuest(t, n, "a"), newGuest(t, n, "b")
	for _, addr := range []netip.Addr{b.IPv4, b.IPv6} {
		at := netip.AddrPortFrom(addr, 7)
		b.listenEcho(t, at)
		conn, err := a.dial(soon(t), "tcp", at)
		if err != nil {
			t.Fatalf("dial %s: %v", at, err)
		}
		checkEcho(t, conn)
	}
}

func TestDial(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	a := newGuest(t, n, "a")
	a.listenEcho(t, netip.AddrPortFrom(a.IPv4, 22))
	a.listenEcho(t, netip.AddrPortFrom(a.IPv6, 22))
	for _, x := range []struct{ network, address string }{
		{"tcp", "a:22"},
		{"tcp4", "A:22"},
		{"tcp6", "a:22"},
		{"tcp", net.JoinHostPort(a.IPv4.String(), "22")},
		{"tcp", net.JoinHostPort(a.IPv6.String(), "22")},
	} {
		conn, err := n.DialContext(soon(t), x.network, x.address)
		if err != nil {
			t.Errorf("%s %s: %v", x.network, x.address, err)
			continue
		}
		checkEcho(t, conn)
	}
	for _, x := range []struct{ network, address, want string }{
		{"tcp", "nobody:22", "no machine"},
		{"tcp", "192.0.2.1:22", "outside the segment"},
		{"tcp4", net.JoinHostPort(a.IPv6.String(), "22"), "IPv4"},
		{"tcp", "a:ssh", "not a number"},
		{"tcp", "a", "missing port"},
		{"unix", "a:22", "unknown network"},
		{"tcp", "a:23", "refused"},
	} {
		_, err := n.DialContext(soon(t), x.network, x.address)
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s %s: error %v, want one with %q", x.network, x.address, err, x.want)
		}
	}
}

func TestDialHonorsContext(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	if _, err := n.AddHost(Host{Name: "off"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := n.DialContext(ctx, "tcp", "off:22"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestListen(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	a := newGuest(t, n, "a")
	v4, v6 := n.Gateway()
	for _, addr := range []netip.Addr{
		v4, v6,
		netip.MustParseAddr("169.254.169.254"),
		netip.MustParseAddr("203.0.113.9"),
		netip.MustParseAddr("fd00:ec2::254"),
	} {
		l, err := n.Listen(netip.AddrPortFrom(addr, 80))
		if err != nil {
			t.Fatal(err)
		}
		serveEcho(t, l, func() { l.Close() })
		conn, err := a.dial(soon(t), "tcp", netip.AddrPortFrom(addr, 80))
		if err != nil {
			t.Fatalf("dial %s: %v", addr, err)
		}
		checkEcho(t, conn)
	}
	for _, x := range []struct {
		addr netip.Addr
		want string
	}{
		{netip.IPv4Unspecified(), "not an address"},
		{netip.Addr{}, "not an address"},
		{netip.MustParseAddr("127.0.0.1"), "not an address"},
		{a.IPv4, "belongs to a"},
		{v4, "in use"},
	} {
		_, err := n.Listen(netip.AddrPortFrom(x.addr, 80))
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("listen on %s: error %v, want one with %q", x.addr, err, x.want)
		}
	}
}

// TestListenAgain closes a listener whose connections the gateway ended first, so
// that they wait out their time.
func TestListenAgain(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	a := newGuest(t, n, "a")
	gw, _ := n.Gateway()
	at := netip.AddrPortFrom(gw, 80)
	for range 2 {
		l, err := n.Listen(at)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := a.dial(soon(t), "tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Listen(at); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("two listeners at %s: error %v", at, err)
		}
		ours.Close()
		if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("read what the gateway closed: %v", err)
		}
		theirs.Close()
		l.Close()
	}
}

func TestListenPacket(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	a := newGuest(t, n, "a")
	at := netip.MustParseAddrPort("169.254.1.1:514")
	server, err := n.ListenPacket(at)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := a.dial(soon(t), "udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := io.WriteString(client, "ahoy"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	_ = server.SetReadDeadline(time.Now().Add(5 * time.Second))
	size, from, err := server.ReadFrom(buf)
	if err != nil || string(buf[:size]) != "ahoy" || !strings.HasPrefix(from.String(), a.IPv4.String()) {
		t.Errorf("got %q from %v, error %v", buf[:size], from, err)
	}
}

func TestOutsideIsRefusedAtOnce(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	a := newGuest(t, n, "a")
	for _, to := range []string{
		"192.0.2.1:80", "10.78.0.1:80", "169.254.169.254:80",
		"[2001:db8::1]:80", "[fd00::1]:80",
	} {
		addr := netip.MustParseAddrPort(to)
		start := time.Now()
		conn, err := a.dial(soon(t), "tcp", addr)
		if err == nil {
			conn.Close()
			t.Errorf("%s: connected", to)
		} else if took := time.Since(start); took > time.Second || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v after %v, want a refusal at once", to, err, took)
		}
		for len(a.seen) > 0 {
			<-a.seen // the refusal of the connection
		}
		// gVisor's UDP socket does not wake a blocked reader for an ICMP error: look at the wire.
		a.send(probe(a, n.gw, "udp", addr.Addr()))
		a.awaitFrame(t, func(frame []byte) bool { return icmpType(frame) == "unreachable" })
	}
}

func TestPing(t *testing.T) {
	for _, internet := range []bool{false, true} {
		cfg := testConfig(t)
		cfg.Internet, cfg.Resolvers = internet, []netip.AddrPort{}
		n := newNetwork(t, cfg)
		a := newGuest(t, n, "a")
		v4, v6 := n.Gateway()
		for to, answered := range map[netip.Addr]bool{
			v4: true, v6: true,
			netip.MustParseAddr("192.0.2.1"):   false,
			netip.MustParseAddr("2001:db8::1"): false,
		} {
			a.send(ping(a, n.gw, to))
			frame := a.awaitFrame(t, func(frame []byte) bool { return icmpType(frame) != "" })
			want := "unreachable"
			if answered {
				want = "reply"
			}
			if got := icmpType(frame); got != want {
				t.Errorf("internet %v: ping %s: %s, want %s", internet, to, got, want)
			}
		}
	}
}

// icmpType names the ICMP messages that answer a ping.
func icmpType(frame []byte) string {
	packet := frame[header.EthernetMinimumSize:]
	switch header.Ethernet(frame).Type() {
	case header.IPv4ProtocolNumber:
		if h := header.IPv4(packet); h.TransportProtocol() == header.ICMPv4ProtocolNumber {
			return map[header.ICMPv4Type]string{
				header.ICMPv4EchoReply: "reply", header.ICMPv4DstUnreachable: "unreachable",
			}[header.ICMPv4(h.Payload()).Type()]
		}
	case header.IPv6ProtocolNumber:
		if h := header.IPv6(packet); h.TransportProtocol() == header.ICMPv6ProtocolNumber {
			return map[header.ICMPv6Type]string{
				header.ICMPv6EchoReply: "reply", header.ICMPv6DstUnreachable: "unreachable",
			}[header.ICMPv6(h.Payload()).Type()]
		}
	}
	return ""
}

// TestErrorsAreNotAnswered keeps two sides from answering each other's errors for ever.
func TestErrorsAreNotAnswered(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	a := newGuest(t, n, "a")
	for _, to := range []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")} {
		proto, kind := header.ICMPv4ProtocolNumber, byte(header.ICMPv4DstUnreachable)
		if to.Is6() {
			proto, kind = header.ICMPv6ProtocolNumber, byte(header.ICMPv6DstUnreachable)
		}
		before := n.Stats()[GatewayPort].ReceivedFrames
		n.gw.receive(a.packet(n.gw, to, proto, []byte{kind, 0, 0, 0, 0, 0, 0, 0}))
		if n.Stats()[GatewayPort].ReceivedFrames != before {
			t.Errorf("an ICMP error to %s was answered", to)
		}
	}
}

func TestOneProtocolOnly(t *testing.T) {
	for _, drop := range []func(*Config){
		func(c *Config) { c.IPv4 = netip.Prefix{} },
		func(c *Config) { c.IPv6 = netip.Prefix{} },
	} {
		cfg := testConfig(t)
		drop(&cfg)
		n := newNetwork(t, cfg)
		a := newGuest(t, n, "a")
		if a.IPv4.IsValid() != cfg.IPv4.IsValid() || a.IPv6.IsValid() != cfg.IPv6.IsValid() {
			t.Errorf("host %+v in %s %s", a.Host, cfg.IPv4, cfg.IPv6)
		}
		a.listenEcho(t, netip.AddrPortFrom(a.addrs()[0], 22))
		conn, err := n.DialContext(soon(t), "tcp", "a:22")
		if err != nil {
			t.Fatal(err)
		}
		checkEcho(t, conn)
		other := netip.MustParseAddr("192.0.2.1")
		if cfg.IPv4.IsValid() {
			other = netip.MustParseAddr("2001:db8::1")
		}
		if _, err := n.Listen(netip.AddrPortFrom(other, 80)); err == nil || !strings.Contains(err.Error(), "protocol") {
			t.Errorf("listen on %s: %v", other, err)
		}
		if _, err := n.AddHost(Host{Name: "b", IPv4: netip.MustParseAddr("10.77.0.20"), IPv6: SLAAC(netip.MustParsePrefix("fd00::/64"), a.MAC)}); err == nil {
			t.Error("took a machine with an address of the other protocol")
		}
	}
}

func TestNetworksAreSeparate(t *testing.T) {
	first := newNetwork(t, testConfig(t))
	cfg := testConfig(t)
	cfg.Name = "storage"
	cfg.IPv4, cfg.IPv6 = Prefixes(1, 1)
	second := newNetwork(t, cfg)
	a, b := newGuest(t, first, "a"), newGuest(t, second, "b")
	b.listenEcho(t, netip.AddrPortFrom(b.IPv4, 7))
	if conn, err := a.dial(soon(t), "tcp", netip.AddrPortFrom(b.IPv4, 7)); err == nil {
		conn.Close()
		t.Error("a machine reached another network")
	}
	again, err := second.AddHost(Host{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if again.MAC.String() == a.MAC.String() {
		t.Error("two NICs of one machine have the same MAC")
	}
}

func TestCloseEndsEverything(t *testing.T) {
	checkGoroutines(t)
	cfg := testConfig(t)
	cfg.Internet = true
	cfg.Resolvers = []netip.AddrPort{}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a := newGuest(t, n, "a")
	a.listenEcho(t, netip.AddrPortFrom(a.IPv4, 22))
	dialed, err := n.DialContext(soon(t), "tcp", "a:22")
	if err != nil {
		t.Fatal(err)
	}
	gw, _ := n.Gateway()
	l, err := n.Listen(netip.AddrPortFrom(gw, 80))
	if err != nil {
		t.Fatal(err)
	}
	packets, err := n.ListenPacket(netip.AddrPortFrom(gw, 69))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "port")
	if _, err := n.ListenUnix(path, "a"); err != nil {
		t.Fatal(err)
	}
	plugged, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Capture(io.Discard, 0); err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 4)
	buf := func() []byte { return make([]byte, 1) }
	go func() { _, _ = dialed.Read(buf()); ended <- "dialed" }()
	go func() { _, _ = l.Accept(); ended <- "listener" }()
	go func() { _, _, _ = packets.ReadFrom(buf()); ended <- "packets" }()
	go func() { _, _ = plugged.Read(buf()); ended <- "socket" }()

	for range 2 {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range cap(ended) {
		select {
		case <-ended:
		case <-soon(t).Done():
			t.Fatal("something still waits")
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket is left behind: %v", err)
	}
	if _, err := n.DialContext(soon(t), "tcp", "a:22"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial after close: %v", err)
	}
	if _, err := n.Listen(netip.AddrPortFrom(gw, 81)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("listen after close: %v", err)
	}
	if _, err := n.Capture(io.Discard, 0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("capture after close: %v", err)
	}
	plugged.Close()
}

func TestListenUnix(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	if _, err := n.AddHost(Host{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, x := range []struct{ path, host, want string }{
		{filepath.Join(dir, strings.Repeat("x", 120)), "a", "longer than"},
		{filepath.Join(dir, "s"), "b", "add the machine"},
		{filepath.Join(dir, "missing", "s"), "a", "no such file"},
	} {
		if _, err := n.ListenUnix(x.path, x.host); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("error %v, want one with %q", err, x.want)
		}
	}
	path := filepath.Join(dir, "s")
	stop, err := n.ListenUnix(path, "a")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := writeFrame(conn, make([]byte, 60)); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return n.Stats()["a"].ReceivedFrames == 1 })
	stop()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("connection is open after stop")
	}
	if err := n.ServePort(t.Context(), "nobody", conn); err == nil || !strings.Contains(err.Error(), "add it first") {
		t.Errorf("port of an unknown machine: %v", err)
	}
}

// await polls until a condition holds.
func await(t testing.TB, ok func() bool) {
	t.Helper()
	ctx := soon(t)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("condition does not come true")
		}
	}
}
