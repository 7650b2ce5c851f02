package vnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Network is one Ethernet segment with its gateway. Its methods are safe for concurrent use.
type Network struct {
	cfg    Config
	hosts  *registry
	fabric *fabric
	gw     *gateway

	clockOffset atomic.Int64 // of the NTP server, a time.Duration

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	captures  map[*capture]struct{}
	listeners map[io.Closer]struct{} // end with the network
}

// New makes a network and starts its gateway. The caller closes it.
func New(cfg Config) (*Network, error) {
	full, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", cfg.Name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := &Network{
		cfg:       full,
		fabric:    newFabric(ctx),
		cancel:    cancel,
		captures:  make(map[*capture]struct{}),
		listeners: make(map[io.Closer]struct{}),
	}
	n.wg.Go(func() { n.fabric.delay.run(ctx) })
	if err := n.startGateway(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("network %s: start gateway: %w", cfg.Name, err), n.Close())
	}
	n.fabric.hosts = n.hosts
	return n, nil
}

// AddHost announces a machine: the gateway then gives it its addresses and name, and its port can
// be served. What h leaves out is planned: the MAC from the seed, the next free IPv4 address, the
// IPv6 address that follows from the MAC. The complete host is returned.
func (n *Network) AddHost(h Host) (Host, error) {
	full, err := n.hosts.add(h)
	if err != nil {
		return Host{}, fmt.Errorf("network %s: add host %q: %w", n.cfg.Name, h.Name, err)
	}
	return full, nil
}

// AddRecord makes the DNS server answer a fully qualified name, within or outside of the segment's
// domain, with these addresses.
func (n *Network) AddRecord(name string, addrs ...netip.Addr) { n.hosts.addRecord(name, addrs) }

// Gateway returns the gateway's addresses; the one of a protocol that is not configured is zero.
func (n *Network) Gateway() (v4, v6 netip.Addr) { return n.gw.ipv4, n.gw.ipv6 }

// SetClockOffset shifts what the NTP server tells the machines from now on.
func (n *Network) SetClockOffset(d time.Duration) { n.clockOffset.Store(int64(d)) }

// ServePort connects a stream in QEMU's framing to the switch as a port of the named machine. It
// blocks until the stream ends, closes it, and says why it ended: nil when the peer closed it
// between two frames, the context's cause, or the framing or I/O error.
func (n *Network) ServePort(ctx context.Context, host string, conn net.Conn) error {
	if !n.hosts.known(host) {
		conn.Close()
		return fmt.Errorf("network %s: serve port: no machine is called %q: add it first", n.cfg.Name, host)
	}
	if err := n.fabric.serve(ctx, host, conn); err != nil {
		return fmt.Errorf("network %s: %w", n.cfg.Name, err)
	}
	return nil
}

// ListenUnix listens on a new unix socket and serves each connection to it as a port of the named
// machine, until the network closes or stop is called. Stop waits for the connections to end.
func (n *Network) ListenUnix(path, host string) (stop func(), err error) {
	const maxSocketPath = 107 // sun_path in unix(7), less its terminator
	fail := func(err error) (func(), error) {
		return nil, fmt.Errorf("network %s: listen for machine %q: %w", n.cfg.Name, host, err)
	}
	if len(path) > maxSocketPath {
		return fail(fmt.Errorf("socket path %s is longer than %d bytes", path, maxSocketPath))
	}
	if !n.hosts.known(host) {
		return fail(errors.New("add the machine first"))
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fail(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return fail(errors.Join(err, l.Close()))
	}
	if err := n.track(l); err != nil {
		return fail(errors.Join(err, l.Close()))
	}
	ctx, cancel := context.WithCancel(n.fabric.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.acceptPorts(ctx, l, host)
	}()
	return func() {
		n.untrack(l)
		l.Close()
		cancel()
		<-done
	}, nil
}

// acceptPorts serves the connections to a listener until it is closed, and waits for them.
func (n *Network) acceptPorts(ctx context.Context, l net.Listener, host string) {
	var ports sync.WaitGroup
	defer ports.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		ports.Go(func() {
			if err := n.ServePort(ctx, host, conn); err != nil && ctx.Err() == nil {
				n.cfg.Log.Warn("machine disconnected from network", "machine", host, "err", err)
			}
		})
	}
}

// Impair puts an impairment in force at once, in place of the one before. Random decisions start
// anew, so the same impairment on the same seed has the same effect on the same frames. Frames that
// are already held back still arrive.
func (n *Network) Impair(im Impairment) error {
	f, err := im.compile(n.cfg.Seed, n.hosts.known)
	if err != nil {
		return fmt.Errorf("network %s: impair: %w", n.cfg.Name, err)
	}
	n.fabric.faults.Store(f)
	return nil
}

// Heal ends the impairment.
func (n *Network) Heal() { n.fabric.faults.Store(nil) }

// Stats returns the counters of each machine that ever had a port, and of [GatewayPort].
func (n *Network) Stats() map[string]PortStats {
	n.fabric.mu.RLock()
	defer n.fabric.mu.RUnlock()
	all := make(map[string]PortStats, len(n.fabric.stats))
	for name, s := range n.fabric.stats {
		all[name] = s.snapshot()
	}
	return all
}

// Capture writes every frame that a machine or the gateway sends to w as a pcap file, until stop is
// called or the network closes. Frames are seen as they enter the switch, before impairments. With
// a limit above 0 the file grows no larger than that many bytes and then stays as it is. Stop waits
// until all is written and reports whether the capture is whole; w is not closed.
func (n *Network) Capture(w io.Writer, limit int64) (stop func() error, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, fmt.Errorf("network %s: capture: %w", n.cfg.Name, net.ErrClosed)
	}
	c, err := newCapture(w, limit, n.cfg.Now)
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", n.cfg.Name, err)
	}
	n.fabric.startCapture(c)
	n.captures[c] = struct{}{}
	return func() error { return n.endCapture(c) }, nil
}

func (n *Network) endCapture(c *capture) error {
	n.fabric.stopCapture(c)
	n.mu.Lock()
	delete(n.captures, c)
	n.mu.Unlock()
	if err := c.close(); err != nil {
		return fmt.Errorf("network %s: %w", n.cfg.Name, err)
	}
	return nil
}

// track has a listener closed with the network, unless it is untracked before.
func (n *Network) track(c io.Closer) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return net.ErrClosed
	}
	n.listeners[c] = struct{}{}
	return nil
}

func (n *Network) untrack(c io.Closer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.listeners, c)
}

// Close disconnects the machines, closes what was opened by Listen and Dial, ends the captures and
// waits for all of it. It may be called twice.
func (n *Network) Close() error {
	n.mu.Lock()
	closed := n.closed
	n.closed = true
	listeners, captures := n.listeners, n.captures
	n.listeners, n.captures = nil, nil
	n.mu.Unlock()
	if closed {
		return nil
	}
	n.cancel()
	for c := range listeners {
		c.Close()
	}
	if n.gw != nil {
		n.gw.close()
	}
	n.wg.Wait()
	var errs []error
	for c := range captures {
		n.fabric.stopCapture(c)
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}
