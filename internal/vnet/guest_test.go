package vnet

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// testConfig is a network with both protocols.
func testConfig(t testing.TB) Config {
	v4, v6 := Prefixes(1, 0)
	return Config{Name: "lan", IPv4: v4, IPv6: v6, Domain: "ship.test", Seed: 1, Log: testLog(t)}
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func newNetwork(t testing.TB, cfg Config) *Network {
	t.Helper()
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close network: %v", err)
		}
	})
	return n
}

// guest is a machine in the test's process: a network stack at the far end of a port's stream.
type guest struct {
	Host
	stack *stack.Stack
	seen  chan []byte // every frame that reaches it; left out when nobody takes them
	conn  net.Conn
	mu    sync.Mutex // of writes
}

// newGuest adds a machine to the network, plugs it in and gives it its addresses.
func newGuest(t testing.TB, n *Network, name string) *guest {
	t.Helper()
	g := newBareGuest(t, n, name)
	var routes []tcpip.Route
	v4, v6 := n.Gateway()
	for _, x := range []struct {
		prefix        netip.Prefix
		addr, gateway netip.Addr
		all           netip.Prefix
	}{
		{n.cfg.IPv4, g.IPv4, v4, netip.PrefixFrom(netip.IPv4Unspecified(), 0)},
		{n.cfg.IPv6, g.IPv6, v6, netip.PrefixFrom(netip.IPv6Unspecified(), 0)},
	} {
		if x.prefix.IsValid() {
			if err := addAddress(g.stack, netip.PrefixFrom(x.addr, x.prefix.Bits()), false); err != nil {
				t.Fatal(err)
			}
			routes = append(routes, route(x.prefix, netip.Addr{}), route(x.all, x.gateway))
		}
	}
	g.stack.SetRouteTable(routes)
	return g
}

// newBareGuest is newGuest without addresses.
func newBareGuest(t testing.TB, n *Network, name string) *guest {
	t.Helper()
	host, err := n.AddHost(Host{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	g := &guest{Host: host, conn: far, seen: make(chan []byte, 4096)}
	link := newLink(host.MAC, g.send)
	if g.stack, err = newStack(link); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		// A guest may be unplugged in the middle of a frame.
		err := n.ServePort(context.WithoutCancel(t.Context()), name, near)
		if err != nil && !strings.Contains(err.Error(), "closed") && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("port of %s: %v", name, err)
		}
	})
	wg.Go(func() {
		r := bufio.NewReader(far)
		for {
			frame, err := readFrame(r)
			if err != nil {
				return
			}
			select {
			case g.seen <- frame:
			default:
			}
			link.receive(frame)
		}
	})
	t.Cleanup(func() {
		far.Close()
		wg.Wait()
		g.stack.Destroy()
	})
	await(t, func() bool { _, plugged := n.Stats()[name]; return plugged })
	return g
}

// send puts a frame on the wire; a closed wire swallows it.
func (g *guest) send(frame []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = writeFrame(g.conn, frame)
}

// dial connects from the guest.
func (g *guest) dial(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	remote := toFullAddress(to)
	if network == "udp" {
		return gonet.DialUDP(g.stack, nil, &remote, protocolOf(to.Addr()))
	}
	conn, err := gonet.DialContextTCP(ctx, g.stack, remote, protocolOf(to.Addr()))
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// listen accepts connections in the guest and answers each with what it receives.
func (g *guest) listenEcho(t testing.TB, at netip.AddrPort) {
	t.Helper()
	l, err := gonet.ListenTCP(g.stack, toFullAddress(at), protocolOf(at.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	serveEcho(t, l, func() { l.Shutdown(); l.Close() })
}

// serveEcho answers each connection with what it receives until the test ends.
func serveEcho(t testing.TB, l net.Listener, closeListener func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() {
		closeListener()
		cancel()
		wg.Wait()
	})
}

// checkEcho sends a line and expects it back.
func checkEcho(t testing.TB, conn net.Conn) {
	t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	const line = "all hands\n"
	if _, err := io.WriteString(conn, line); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(line))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatal(err)
	}
	if string(got) != line {
		t.Errorf("echo is %q, want %q", got, line)
	}
}

// soon is the deadline of what takes milliseconds when it works.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// awaitFrame returns the first frame to reach the guest that match accepts.
func (g *guest) awaitFrame(t testing.TB, match func(frame []byte) bool) []byte {
	t.Helper()
	ctx := soon(t)
	for {
		select {
		case frame := <-g.seen:
			if match(frame) {
				return frame
			}
		case <-ctx.Done():
			t.Fatalf("%s: no such frame came", g.Name)
		}
	}
}

// udpFrame makes a broadcast Ethernet frame with a datagram.
func udpFrame(from net.HardwareAddr, src, dst netip.AddrPort, payload []byte) []byte {
	scratch := &gateway{mac: from, ipv4: src.Addr(), fabric: newFabric(context.Background())}
	scratch.port = scratch.fabric.attach("scratch")
	sink := scratch.fabric.attach("sink")
	scratch.sendUDPv4(net.HardwareAddr(header.EthernetBroadcastAddress), dst, src.Port(), payload)
	return <-sink.out
}

// checkGoroutines fails the test if more goroutines run at its end than at its start.
func checkGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		deadline := time.Now().Add(5 * time.Second)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				buf := make([]byte, 1<<20)
				t.Errorf("%d goroutines at the start, %d at the end:\n%s",
					before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
				return
			}
			<-tick.C
		}
	})
}

// within is a deadline for what may fail by running into it.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// probe makes a frame that opens a TCP connection to an address by way of the gateway, or that sends
// it an empty datagram.
func probe(g *guest, via *gateway, network string, to netip.Addr) []byte {
	from := g.addrFor(to)
	if network == "udp" {
		packet := make([]byte, header.UDPMinimumSize)
		h := header.UDP(packet)
		h.Encode(&header.UDPFields{SrcPort: 1025, DstPort: 80, Length: uint16(len(packet))})
		h.SetChecksum(^h.CalculateChecksum(pseudo(header.UDPProtocolNumber, from, to, packet)))
		return g.packet(via, to, header.UDPProtocolNumber, packet)
	}
	packet := make([]byte, header.TCPMinimumSize)
	h := header.TCP(packet)
	h.Encode(&header.TCPFields{
		SrcPort: 1025, DstPort: 80, DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagSyn, WindowSize: 1024,
	})
	h.SetChecksum(^h.CalculateChecksum(pseudo(header.TCPProtocolNumber, from, to, packet)))
	return g.packet(via, to, header.TCPProtocolNumber, packet)
}

// ping makes a frame with an ICMP echo request to an address by way of the gateway.
func ping(g *guest, via *gateway, to netip.Addr) []byte {
	packet := make([]byte, header.ICMPv4MinimumSize)
	if to.Is4() {
		h := header.ICMPv4(packet)
		h.SetType(header.ICMPv4Echo)
		h.SetChecksum(header.ICMPv4Checksum(h, 0))
		return g.packet(via, to, header.ICMPv4ProtocolNumber, packet)
	}
	h := header.ICMPv6(packet)
	h.SetType(header.ICMPv6EchoRequest)
	h.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{
		Header: h, Src: toAddress(g.IPv6), Dst: toAddress(to),
	}))
	return g.packet(via, to, header.ICMPv6ProtocolNumber, packet)
}

// packet makes a frame from the guest to an address behind the gateway.
func (g *guest) packet(via *gateway, to netip.Addr, proto tcpip.TransportProtocolNumber, payload []byte) []byte {
	sender, from := &gateway{mac: g.MAC}, toAddress(g.addrFor(to))
	if to.Is4() {
		frame, body := sender.etherFrame(via.mac, header.IPv4ProtocolNumber, header.IPv4MinimumSize+len(payload))
		h := header.IPv4(body)
		h.Encode(&header.IPv4Fields{
			TotalLength: uint16(len(body)), TTL: defaultHops, Protocol: uint8(proto), SrcAddr: from, DstAddr: toAddress(to),
		})
		h.SetChecksum(^h.CalculateChecksum())
		copy(body[header.IPv4MinimumSize:], payload)
		return frame
	}
	frame, body := sender.etherFrame(via.mac, header.IPv6ProtocolNumber, header.IPv6MinimumSize+len(payload))
	header.IPv6(body).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(payload)), TransportProtocol: proto, HopLimit: defaultHops, SrcAddr: from, DstAddr: toAddress(to),
	})
	copy(body[header.IPv6MinimumSize:], payload)
	return frame
}

// addrFor returns the guest's address of another's protocol.
func (g *guest) addrFor(to netip.Addr) netip.Addr {
	if to.Is4() {
		return g.IPv4
	}
	return g.IPv6
}

func pseudo(proto tcpip.TransportProtocolNumber, from, to netip.Addr, packet []byte) uint16 {
	return header.PseudoHeaderChecksum(proto, toAddress(from), toAddress(to), uint16(len(packet)))
}

func checksumOf(b []byte) uint16 { return checksum.Checksum(b, 0) }
