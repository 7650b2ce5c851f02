package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"seatrial/platforms"
)

const (
	sshPort = 22
	// banner is what the guest's SSH server says, and all that it can do.
	banner = "SSH-2.0-fake\r\n"
	// firstPort is the first that is given to who does not ask for one.
	firstPort = 49152
)

// dial connects to an address as seen from the machine.
func (m *Machine) dial(network, address string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, fmt.Errorf("network %s: %w", network, platforms.ErrUnsupported)
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q is not a number", service)
	}
	addr := m.addrs[0]
	if host != "" && host != "localhost" {
		if addr, err = netip.ParseAddr(host); err != nil {
			return nil, err
		}
	}
	if addr.IsLoopback() {
		addr = m.addrs[0]
	}
	return m.cluster.connect(m, netip.AddrPortFrom(addr, uint16(port)))
}

// connect connects a machine with a server of its cluster's network. What the
// impairments keep away is refused at once: nobody wants to wait for that.
func (c *Cluster) connect(from *Machine, to netip.AddrPort) (net.Conn, error) {
	source := from.addrs[0]
	for _, a := range from.addrs {
		if a.Is4() == to.Addr().Is4() {
			source = a
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.listeners[to]; l != nil {
		return l.connect(netip.AddrPortFrom(source, firstPort))
	}
	for _, m := range c.machines {
		if !slices.Contains(m.addrs, to.Addr()) {
			continue
		}
		if m != from && !reaches(c.impairment, from.ID(), m.ID()) {
			return nil, syscall.ETIMEDOUT
		}
		if m.isGone() {
			return nil, syscall.EHOSTUNREACH
		}
		if to.Port() == sshPort {
			return m.greet(netip.AddrPortFrom(source, firstPort), to), nil
		}
	}
	return nil, syscall.ECONNREFUSED
}

// reaches says whether frames get from one machine to another.
func reaches(i platforms.Impairment, from, to string) bool {
	if i.Drop >= 1 {
		return false
	}
	return len(i.Groups) == 0 || slices.ContainsFunc(i.Groups, func(g []string) bool {
		return slices.Contains(g, from) && slices.Contains(g, to)
	})
}

// Impair implements [platforms.Impairer]. A share of frames below 1 gets
// through, and nothing is slow.
func (c *Cluster) Impair(ctx context.Context, i platforms.Impairment) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.platform.caps.Has[platforms.Impair] {
		return fmt.Errorf("impair: %w", platforms.ErrUnsupported)
	}
	if i.Drop < 0 || i.Drop > 1 || i.Delay < 0 || i.Jitter < 0 {
		return errors.New("impair: a value is out of range")
	}
	for _, group := range i.Groups {
		for _, name := range group {
			if c.machines[name] == nil {
				return fmt.Errorf("impair: the cluster has no machine %q", name)
			}
		}
	}
	c.impairment = i
	return context.Cause(ctx)
}

// greet connects to the machine's SSH server.
func (m *Machine) greet(client, server netip.AddrPort) net.Conn {
	near, far := connPair(client, server)
	m.mu.Lock()
	session := m.session
	m.mu.Unlock()
	stop := context.AfterFunc(session, func() { far.Close() })
	go func() {
		defer far.Close()
		defer stop()
		if _, err := io.WriteString(far, banner); err == nil {
			_, _ = io.Copy(io.Discard, far) // until a side ends it
		}
	}()
	return near
}

// FixtureAddress implements [platforms.Listener].
func (c *Cluster) FixtureAddress() netip.Addr { return nth(c.networks[0].IPv4, 1) }

// Listen implements [platforms.Listener].
func (c *Cluster) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	l, err := c.listen(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", address, err)
	}
	return l, nil
}

func (c *Cluster) listen(ctx context.Context, network, address string) (net.Listener, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if network != "tcp" || !c.platform.caps.Has[platforms.Fixtures] {
		return nil, fmt.Errorf("network %s: %w", network, platforms.ErrUnsupported)
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q is not a number", service)
	}
	addr := c.FixtureAddress()
	if host != "" {
		if addr, err = netip.ParseAddr(host); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.destroyed {
		return nil, errors.New("the cluster is destroyed")
	}
	at := netip.AddrPortFrom(addr, uint16(port))
	for p := uint16(firstPort); port == 0; p++ {
		if at = netip.AddrPortFrom(addr, p); c.listeners[at] == nil {
			break
		}
	}
	if c.listeners[at] != nil {
		return nil, syscall.EADDRINUSE
	}
	l := &listener{c: c, at: at, waiting: make(chan net.Conn), closed: make(chan struct{})}
	c.listeners[at] = l
	return l, nil
}

// listener is a fixture's listener.
type listener struct {
	c       *Cluster
	at      netip.AddrPort
	waiting chan net.Conn
	closed  chan struct{}
	once    sync.Once
	wg      sync.WaitGroup // of connections that are not accepted yet
}

// connect hands the listener a new connection. c.mu is held.
func (l *listener) connect(client netip.AddrPort) (net.Conn, error) {
	near, far := connPair(client, l.at)
	l.wg.Go(func() {
		select {
		case l.waiting <- far:
		case <-l.closed:
			far.Close()
		}
	})
	return near, nil
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.waiting:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	err := error(net.ErrClosed)
	l.once.Do(func() {
		l.c.mu.Lock()
		delete(l.c.listeners, l.at)
		l.c.mu.Unlock()
		close(l.closed)
		l.wg.Wait()
		err = nil
	})
	return err
}

// Addr implements [net.Listener].
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

// conn is one side of a connection.
type conn struct {
	net.Conn
	local, remote net.Addr
}

func (c conn) LocalAddr() net.Addr  { return c.local }
func (c conn) RemoteAddr() net.Addr { return c.remote }

// connPair makes both sides of a connection.
func connPair(client, server netip.AddrPort) (near, far net.Conn) {
	a, b := net.Pipe()
	ca, sa := net.TCPAddrFromAddrPort(client), net.TCPAddrFromAddrPort(server)
	return conn{Conn: a, local: ca, remote: sa}, conn{Conn: b, local: sa, remote: ca}
}
