package vnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// gateway is the machine at the segment's first address. Sockets are gVisor's; what needs no socket
// (DHCP, router advertisements, refusals) is answered frame by frame before it.
type gateway struct {
	cfg    Config
	hosts  *registry
	fabric *fabric
	port   *port
	link   *link
	stack  *stack.Stack

	mac        net.HardwareAddr
	ipv4, ipv6 netip.Addr // zero without the protocol
	linkLocal  netip.Addr

	mu     sync.RWMutex
	own    []netip.Addr // every address it answers to
	closed bool
	relays sync.WaitGroup // not added to once closed
}

// startGateway plugs the gateway into the switch and starts its services.
func (n *Network) startGateway(ctx context.Context) error {
	g := &gateway{cfg: n.cfg, fabric: n.fabric, mac: gatewayMAC(n.cfg)}
	g.linkLocal = linkLocal(g.mac)
	g.port = n.fabric.attach(GatewayPort)
	n.fabric.pin(etherAddr(g.mac), g.port)
	g.link = newLink(g.mac, func(frame []byte) { g.fabric.forward(g.port, frame) })
	var err error
	if g.stack, err = newStack(g.link); err != nil {
		return err
	}
	n.gw = g
	if err := g.configure(); err != nil {
		return err
	}
	n.hosts = newRegistry(n.cfg, slices.DeleteFunc([]netip.Addr{g.ipv4, g.ipv6}, func(a netip.Addr) bool { return !a.IsValid() }))
	g.hosts = n.hosts
	if n.cfg.Internet {
		if err := g.startRelay(ctx); err != nil {
			return err
		}
	}
	n.wg.Go(func() { g.run(ctx) })
	if err := n.startDNS(ctx); err != nil {
		return err
	}
	return n.startNTP()
}

// configure gives the stack its addresses and routes: to the segment, and nowhere else.
func (g *gateway) configure() error {
	var routes []tcpip.Route
	for _, x := range []struct {
		prefix netip.Prefix
		addr   *netip.Addr
	}{{g.cfg.IPv4, &g.ipv4}, {g.cfg.IPv6, &g.ipv6}} {
		if !x.prefix.IsValid() {
			continue
		}
		*x.addr, _ = nthAddr(x.prefix, gatewayHostNumber)
		if err := addAddress(g.stack, netip.PrefixFrom(*x.addr, x.prefix.Bits()), false); err != nil {
			return err
		}
		g.own = append(g.own, *x.addr)
		routes = append(routes, route(x.prefix, netip.Addr{}))
	}
	if g.cfg.IPv6.IsValid() {
		local := netip.PrefixFrom(g.linkLocal, slaacBits)
		if err := addAddress(g.stack, local, false); err != nil {
			return err
		}
		g.own = append(g.own, g.linkLocal)
		routes = append(routes, route(local, netip.Addr{}))
	}
	g.stack.SetRouteTable(routes)
	return nil
}

// run takes frames from the switch until ctx ends.
func (g *gateway) run(ctx context.Context) {
	var advertise <-chan time.Time
	if g.cfg.IPv6.IsValid() {
		advertise = g.advertiseRegularly(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case frame := <-g.port.out:
			g.receive(frame)
		case <-advertise:
			g.advertise()
		}
	}
}

// receive handles a frame: answers it, hands it to the stack, refuses or ignores it.
func (g *gateway) receive(frame []byte) {
	dst := etherAddr(frame[:6])
	if dst != etherAddr(g.mac) && !dst.isGroup() {
		return // flooded: for a machine that the switch does not know yet
	}
	switch header.Ethernet(frame).Type() {
	case header.IPv4ProtocolNumber:
		if h := header.IPv4(frame[header.EthernetMinimumSize:]); g.ipv4.IsValid() && h.IsValid(len(h)) {
			g.receiveIPv4(frame, h)
		}
	case header.IPv6ProtocolNumber:
		if h := header.IPv6(frame[header.EthernetMinimumSize:]); g.ipv6.IsValid() && h.IsValid(len(h)) {
			g.receiveIPv6(frame, h)
		}
	case header.ARPProtocolNumber:
		g.link.receive(frame)
	}
}

func (g *gateway) receiveIPv4(frame []byte, h header.IPv4) {
	dst := fromAddress(h.DestinationAddress())
	transport := header.UDP(h.Payload())
	switch {
	case isDHCP(h, transport):
		g.answerDHCP(frame, transport.Payload())
	case etherAddr(frame[:6]).isGroup(), g.owns(dst), g.relayed(dst, h.TransportProtocol()):
		g.link.receive(frame)
	default:
		g.refuseIPv4(frame, h)
	}
}

func (g *gateway) receiveIPv6(frame []byte, h header.IPv6) {
	dst := fromAddress(h.DestinationAddress())
	switch {
	case isRouterSolicit(h):
		g.advertise()
	case etherAddr(frame[:6]).isGroup(), g.owns(dst), g.relayed(dst, h.TransportProtocol()):
		g.link.receive(frame)
	default:
		g.refuseIPv6(frame, h)
	}
}

// owns reports whether the gateway answers to an address.
func (g *gateway) owns(a netip.Addr) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.Contains(g.own, a)
}

// adopt makes the gateway answer to one more address, in the segment or not.
func (g *gateway) adopt(a netip.Addr) error {
	if holder, taken := g.hosts.byAddr(a); taken {
		return fmt.Errorf("%s belongs to %s", a, holder)
	}
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Is4In6() || a.Zone() != "" {
		return fmt.Errorf("%s is not an address that the gateway can take: name one, such as its own", a)
	}
	if a.Is4() && !g.ipv4.IsValid() || a.Is6() && !g.ipv6.IsValid() {
		return fmt.Errorf("%s: the network does not have that protocol", a)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return net.ErrClosed
	}
	if slices.Contains(g.own, a) {
		return nil
	}
	if err := addAddress(g.stack, netip.PrefixFrom(a, a.BitLen()), true); err != nil {
		return err
	}
	g.own = append(g.own, a)
	return nil
}

// close ends every connection. The frame loop has been told to end.
func (g *gateway) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.relays.Wait()
	if g.stack != nil {
		g.stack.Destroy()
	}
	g.fabric.detach(g.port)
}
