package vnet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// DialContext opens a connection from the gateway to a machine. The network is tcp or udp, or one
// of them with 4 or 6; the address is host:port, where host is an IP address of the segment or the
// name of a machine, whose IPv4 address is preferred.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := n.dial(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("network %s: dial %s %s: %w", n.cfg.Name, network, address, err)
	}
	return conn, nil
}

func (n *Network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	target, err := n.resolve(network, address)
	if err != nil {
		return nil, err
	}
	if !n.cfg.IPv4.Contains(target.Addr()) && !n.cfg.IPv6.Contains(target.Addr()) {
		return nil, fmt.Errorf("%s is outside the segment", target.Addr())
	}
	if n.fabric.ctx.Err() != nil {
		return nil, net.ErrClosed
	}
	remote, proto := toFullAddress(target), protocolOf(target.Addr())
	if strings.HasPrefix(network, "udp") {
		conn, err := gonet.DialUDP(n.gw.stack, nil, &remote, proto)
		if err != nil {
			return nil, err
		}
		return conn, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(n.fabric.ctx, func() { cancel(net.ErrClosed) })()
	conn, err := gonet.DialContextTCP(ctx, n.gw.stack, remote, proto)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// resolve turns the address of a dial into an IP address and a port.
func (n *Network) resolve(network, address string) (netip.AddrPort, error) {
	var family string
	switch network {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6":
		family = network[len("tcp"):]
	default:
		return netip.AddrPort{}, net.UnknownNetworkError(network)
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port %q is not a number from 0 to 65535", service)
	}
	candidates, _ := n.hosts.lookup(host + "." + n.cfg.Domain)
	if addr, err := netip.ParseAddr(host); err == nil {
		candidates = []netip.Addr{addr.Unmap()}
	}
	for _, a := range candidates {
		if family == "" || a.Is4() == (family == "4") {
			return netip.AddrPortFrom(a, uint16(port)), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("%q is no machine of this network with an IPv%s address", host, cmp.Or(family, "4 or IPv6"))
}

// Listen accepts TCP connections that machines make to an address: one of the gateway's, or any
// other that no machine has, inside the segment or not, such as a metadata service's link-local one.
// The gateway answers to it from then on. Port 0 picks a free port.
func (n *Network) Listen(addr netip.AddrPort) (net.Listener, error) {
	l, err := n.listen(addr)
	if err != nil {
		return nil, fmt.Errorf("network %s: listen on tcp %s: %w", n.cfg.Name, addr, err)
	}
	return l, nil
}

func (n *Network) listen(addr netip.AddrPort) (net.Listener, error) {
	if err := n.gw.adopt(addr.Addr()); err != nil {
		return nil, err
	}
	inner, err := n.gw.listenTCP(addr)
	if err != nil {
		return nil, err
	}
	l := &listener{TCPListener: inner, network: n, closed: make(chan struct{})}
	if err := n.track(l); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// maxBacklog bounds the connections that wait to be accepted.
const maxBacklog = 4096

// listenTCP is [gonet.ListenTCP] with SO_REUSEADDR: an address can be listened on again at once, and
// not only when the connections that were made to it before have waited out their time.
func (g *gateway) listenTCP(addr netip.AddrPort) (*gonet.TCPListener, error) {
	var queue waiter.Queue
	endpoint, err := g.stack.NewEndpoint(tcp.ProtocolNumber, protocolOf(addr.Addr()), &queue)
	if err != nil {
		return nil, errors.New(err.String())
	}
	endpoint.SocketOptions().SetReuseAddress(true)
	if err := endpoint.Bind(toFullAddress(addr)); err != nil {
		endpoint.Close()
		return nil, errors.New(err.String())
	}
	if err := endpoint.Listen(maxBacklog); err != nil {
		endpoint.Close()
		return nil, errors.New(err.String())
	}
	return gonet.NewTCPListener(g.stack, &queue, endpoint), nil
}

// ListenPacket receives the UDP datagrams that machines send to an address; see [Network.Listen].
func (n *Network) ListenPacket(addr netip.AddrPort) (net.PacketConn, error) {
	c, err := n.listenPacket(addr)
	if err != nil {
		return nil, fmt.Errorf("network %s: listen on udp %s: %w", n.cfg.Name, addr, err)
	}
	return c, nil
}

func (n *Network) listenPacket(addr netip.AddrPort) (net.PacketConn, error) {
	if err := n.gw.adopt(addr.Addr()); err != nil {
		return nil, err
	}
	local := toFullAddress(addr)
	return gonet.DialUDP(n.gw.stack, &local, nil, protocolOf(addr.Addr()))
}

// listener is gVisor's, with the Close that [net.Listener] asks for: a blocked Accept returns.
type listener struct {
	*gonet.TCPListener
	network *Network
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.TCPListener.Accept()
	if err == nil {
		return conn, nil
	}
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
		return nil, err
	}
}

func (l *listener) Close() (err error) {
	l.once.Do(func() {
		close(l.closed)
		l.network.untrack(l)
		l.Shutdown()
		err = l.TCPListener.Close()
	})
	return err
}
