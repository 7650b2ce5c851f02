package vnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	relayDialTimeout = 15 * time.Second
	relayHandshakes  = 512             // TCP connections being opened at once
	datagramIdle     = 2 * time.Minute // a UDP flow ends after this time without traffic (RFC 4787, REQ-5)
)

// startRelay makes the stack take connections to any address and relay them to the host's network.
func (g *gateway) startRelay(ctx context.Context) error {
	// The stack must accept packets to, and send from, addresses that are not its own.
	if err := g.stack.SetPromiscuousMode(nicID, true); err != nil {
		return fmt.Errorf("accept foreign addresses: %s", err)
	}
	if err := g.stack.SetSpoofing(nicID, true); err != nil {
		return fmt.Errorf("answer for foreign addresses: %s", err)
	}
	// What these handlers do not take the stack refuses: with a reset or an ICMP error.
	streams := tcp.NewForwarder(g.stack, 0, relayHandshakes, func(r *tcp.ForwarderRequest) { g.relayStream(ctx, r) })
	g.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		return g.mayRelay(id) && streams.HandlePacket(id, pkt)
	})
	datagrams := udp.NewForwarder(g.stack, func(r *udp.ForwarderRequest) { g.relayDatagrams(ctx, r) })
	g.stack.SetTransportProtocolHandler(udp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		return g.mayRelay(id) && datagrams.HandlePacket(id, pkt)
	})
	return nil
}

// relayed reports whether packets to an address may be relayed at all; mayRelay has the last word.
func (g *gateway) relayed(dst netip.Addr, proto tcpip.TransportProtocolNumber) bool {
	return g.cfg.Internet && (proto == header.TCPProtocolNumber || proto == header.UDPProtocolNumber) && g.isOutside(dst)
}

// mayRelay reports whether a new flow of a machine may leave the segment: never to the host itself,
// whose addresses may change at any time.
func (g *gateway) mayRelay(id stack.TransportEndpointID) bool {
	dst := fromAddress(id.LocalAddress)
	return !g.owns(dst) && g.isOutside(dst) && !isHostAddr(dst)
}

// isOutside reports whether an address can be that of a machine elsewhere. Link-local ones, and so
// the metadata service of the cloud that the host may run in, are not.
func (g *gateway) isOutside(a netip.Addr) bool {
	a = a.Unmap()
	reserved := netip.PrefixFrom(netip.AddrFrom4([4]byte{240, 0, 0, 0}), 4)
	thisNetwork := netip.PrefixFrom(netip.IPv4Unspecified(), 8)
	return a.IsGlobalUnicast() && !reserved.Contains(a) && !thisNetwork.Contains(a) &&
		!g.cfg.IPv4.Contains(a) && !g.cfg.IPv6.Contains(a)
}

// isHostAddr reports whether the host has an address. When in doubt it has.
func isHostAddr(a netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, x := range addrs {
		p, err := netip.ParsePrefix(x.String())
		if err != nil || p.Addr().Unmap().WithZone("") == a.Unmap() {
			return true
		}
	}
	return false
}

// relayStream connects to where a machine wants to go and only then accepts its connection, so that
// a refusal out there is a refusal for the machine.
func (g *gateway) relayStream(ctx context.Context, r *tcp.ForwarderRequest) {
	target := net.JoinHostPort(fromAddress(r.ID().LocalAddress).String(), fmt.Sprint(r.ID().LocalPort))
	accepted := g.track(func() {
		outside, err := g.dialOutside(ctx, "tcp", target)
		if err != nil {
			r.Complete(true) // with a reset
			return
		}
		var queue waiter.Queue
		endpoint, terr := r.CreateEndpoint(&queue)
		r.Complete(terr != nil)
		if terr != nil {
			outside.Close()
			return
		}
		relay(ctx, gonet.NewTCPConn(&queue, endpoint), outside, 0)
	})
	if !accepted {
		r.Complete(true)
	}
}

// relayDatagrams relays a UDP flow until it is idle. It returns at once: the stack waits for it.
func (g *gateway) relayDatagrams(ctx context.Context, r *udp.ForwarderRequest) {
	target := net.JoinHostPort(fromAddress(r.ID().LocalAddress).String(), fmt.Sprint(r.ID().LocalPort))
	var queue waiter.Queue
	endpoint, err := r.CreateEndpoint(&queue)
	if err != nil {
		g.cfg.Log.Debug("datagram not relayed", "to", target, "err", err)
		return
	}
	inside := gonet.NewUDPConn(&queue, endpoint)
	go func() {
		if !g.track(func() {
			outside, err := g.dialOutside(ctx, "udp", target)
			if err != nil {
				inside.Close()
				return
			}
			relay(ctx, inside, outside, datagramIdle)
		}) {
			inside.Close()
		}
	}()
}

func (g *gateway) dialOutside(ctx context.Context, network, target string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, relayDialTimeout)
	defer cancel()
	conn, err := g.cfg.DialOutside(ctx, network, target)
	if err != nil {
		g.cfg.Log.Debug("connection not relayed", "network", network, "to", target, "err", err)
	}
	return conn, err
}

// track runs f so that close waits for it; false if the gateway is closed already.
func (g *gateway) track(f func()) bool {
	g.mu.RLock()
	closed := g.closed
	if !closed {
		g.relays.Add(1)
	}
	g.mu.RUnlock()
	if closed {
		return false
	}
	defer g.relays.Done()
	f()
	return true
}

// relay copies between two connections until both directions have ended, one has failed, ctx ends
// or, with an idle time above 0, nothing came from either side for that long. It closes both.
func relay(ctx context.Context, a, b net.Conn, idle time.Duration) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		for _, c := range []net.Conn{a, b} {
			c.SetDeadline(time.Unix(1, 0)) // wakes readers and writers
			c.Close()
		}
	})
	defer func() {
		if stop() {
			a.Close()
			b.Close()
		}
	}()
	other := make(chan struct{})
	go func() {
		defer close(other)
		copyHalf(cancel, a, b, idle)
	}()
	copyHalf(cancel, b, a, idle)
	<-other
}

// copyHalf copies one direction and passes its end on; after a failure it gives up both.
func copyHalf(giveUp func(), dst, src net.Conn, idle time.Duration) {
	var reader io.Reader = src
	if idle > 0 {
		reader = idleReader{src, dst, idle}
	}
	_, err := io.Copy(dst, reader)
	half, ok := dst.(interface{ CloseWrite() error })
	if err != nil || !ok {
		giveUp()
		return
	}
	if err := half.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) {
		giveUp()
	}
}

// idleReader reads with a deadline that traffic in either direction pushes back.
type idleReader struct {
	net.Conn
	other net.Conn
	idle  time.Duration
}

func (r idleReader) Read(b []byte) (int, error) {
	if err := r.SetReadDeadline(time.Now().Add(r.idle)); err != nil {
		return 0, err
	}
	n, err := r.Conn.Read(b)
	if err == nil {
		err = r.other.SetReadDeadline(time.Now().Add(r.idle))
	}
	return n, err
}
