package vnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// outside is the world that a relaying network dials: an echo, or a refusal.
type outside struct {
	mu    sync.Mutex
	asked []string
	fail  error
	wg    sync.WaitGroup
}

func (o *outside) dial(_ context.Context, network, address string) (net.Conn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, network+" "+address)
	if o.fail != nil {
		return nil, o.fail
	}
	near, far := net.Pipe()
	o.wg.Go(func() {
		defer far.Close()
		buf := make([]byte, 1500)
		for {
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			if _, err := far.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	return near, nil
}

func TestRelay(t *testing.T) {
	checkGoroutines(t)
	var world outside
	defer world.wg.Wait()
	cfg := testConfig(t)
	cfg.Internet, cfg.DialOutside, cfg.Resolvers = true, world.dial, []netip.AddrPort{}
	n := newNetwork(t, cfg)
	a := newGuest(t, n, "a")
	a.listenEcho(t, netip.AddrPortFrom(a.IPv4, 22))
	for _, to := range []string{"192.0.2.7:443", "[2001:db8::7]:443"} {
		for _, network := range []string{"tcp", "udp"} {
			conn, err := a.dial(soon(t), network, netip.MustParseAddrPort(to))
			if err != nil {
				t.Fatalf("%s %s: %v", network, to, err)
			}
			checkEcho(t, conn)
			if got, want := world.asked[len(world.asked)-1], network+" "+to; got != want {
				t.Errorf("dialed %q, want %q", got, want)
			}
		}
	}
	world.fail = errors.New("no such place")
	if conn, err := a.dial(soon(t), "tcp", netip.MustParseAddrPort("192.0.2.8:1")); err == nil {
		conn.Close()
		t.Error("connected to a place that refuses")
	}
	gw, _ := n.Gateway()
	if conn, err := a.dial(soon(t), "tcp", netip.AddrPortFrom(gw, 9)); err == nil {
		conn.Close()
		t.Error("connected to a closed port of the gateway")
	}
	conn, err := n.DialContext(soon(t), "tcp", "a:22")
	if err != nil {
		t.Fatal(err)
	}
	checkEcho(t, conn)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRelayNeverReachesTheHost sends to every kind of address that could mean the host: none may be
// dialed.
func TestRelayNeverReachesTheHost(t *testing.T) {
	world := outside{}
	cfg := testConfig(t)
	cfg.Internet, cfg.DialOutside, cfg.Resolvers = true, world.dial, []netip.AddrPort{}
	n := newNetwork(t, cfg)
	a := newGuest(t, n, "a")
	targets := []string{
		"127.0.0.1", "127.8.9.1", "0.0.0.0", "0.1.2.3", "169.254.169.254", "255.255.255.255", "240.0.0.1", "224.0.0.1",
		"::1", "::", "::ffff:127.0.0.1", "fe80::1", "ff02::1", "10.77.0.99",
	}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, x := range addrs {
			targets = append(targets, netip.MustParsePrefix(x.String()).Addr().String())
		}
	}
	for _, target := range targets {
		addr := netip.MustParseAddr(target)
		if n.gw.isOutside(addr) && !isHostAddr(addr) {
			t.Errorf("%s counts as outside", target)
		}
		// Sent as a raw frame, since a guest's own stack would keep some of these to itself.
		for _, network := range []string{"tcp", "udp"} {
			n.gw.receive(probe(a, n.gw, network, addr))
		}
	}
	// A flow that may leave comes after all of them: when it has arrived, they have been judged.
	conn, err := a.dial(soon(t), "udp", netip.MustParseAddrPort("192.0.2.7:7"))
	if err != nil {
		t.Fatal(err)
	}
	checkEcho(t, conn)
	world.mu.Lock()
	defer world.mu.Unlock()
	if got := strings.Join(world.asked, ", "); got != "udp 192.0.2.7:7" {
		t.Errorf("dialed %s", got)
	}
}

func TestRelayPassesHalfCloseAndEnds(t *testing.T) {
	checkGoroutines(t)
	a, b := tcpPair(t)
	c, d := tcpPair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		relay(context.Background(), b, c, 0)
	}()
	if _, err := io.WriteString(a, "question"); err != nil {
		t.Fatal(err)
	}
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(d); err != nil || string(got) != "question" {
		t.Fatalf("got %q, error %v", got, err)
	}
	if _, err := io.WriteString(d, "answer"); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if got, err := io.ReadAll(a); err != nil || string(got) != "answer" {
		t.Fatalf("got %q, error %v", got, err)
	}
	a.Close()
	select {
	case <-done:
	case <-soon(t).Done():
		t.Fatal("relay does not end")
	}
}

func TestRelayEndsWhenIdle(t *testing.T) {
	a, far := net.Pipe()
	defer far.Close()
	b, world := net.Pipe()
	defer world.Close()
	done := make(chan struct{})
	start := time.Now()
	go func() {
		defer close(done)
		relay(context.Background(), a, b, 50*time.Millisecond)
	}()
	select {
	case <-done:
		if took := time.Since(start); took < 50*time.Millisecond {
			t.Errorf("ended after %v", took)
		}
	case <-soon(t).Done():
		t.Fatal("relay does not end")
	}
}

// tcpPair returns the two ends of a connection.
func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}
