package clusterhost

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Listen accepts TCP connections that machines make to address, "host:port". An empty host is the
// gateway of the first network; port 0 is any free port, which the listener's Addr tells.
func (c *Client) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	target, err := parseListen(network, address)
	if err != nil {
		return nil, fmt.Errorf("listen in cluster: %w", err)
	}
	c.mu.Lock()
	c.listeners++
	socket := filepath.Join(c.info.Spec.Dir, fmt.Sprintf(listenerFmt, c.listeners))
	c.mu.Unlock()
	local, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listen in cluster: %w", err)
	}
	var made listenReply
	if err := c.call(ctx, http.MethodPost, "/listeners", listenRequest{Address: target, Socket: socket}, &made); err != nil {
		return nil, errors.Join(err, local.Close())
	}
	return &listener{Listener: local, client: c, id: made.ID, address: net.TCPAddrFromAddrPort(made.Address)}, nil
}

// parseListen parses the address of a listener; the address part of the result may be missing.
func parseListen(network, address string) (netip.AddrPort, error) {
	if network != "tcp" {
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
	var addr netip.Addr
	if host != "" {
		if addr, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, err
		}
	}
	return netip.AddrPortFrom(addr, uint16(port)), nil
}

// listener takes the connections that the host brings to a socket.
type listener struct {
	net.Listener
	client  *Client
	id      string
	address net.Addr
	once    sync.Once
	err     error
}

func (l *listener) Addr() net.Addr { return l.address }

// headerTime bounds the wait for the line that the host writes as soon as it has connected.
const headerTime = 10 * time.Second

func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		guest, err := readHeader(conn)
		if err == nil {
			return guest, nil
		}
		conn.Close() // the guest left before it was served
	}
}

func readHeader(conn net.Conn) (net.Conn, error) {
	if err := conn.SetDeadline(time.Now().Add(headerTime)); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	var h connHeader
	if err := json.Unmarshal(line, &h); err != nil {
		return nil, err
	}
	remote, err := netip.ParseAddrPort(h.Remote)
	if err != nil {
		return nil, err
	}
	local, err := netip.ParseAddrPort(h.Local)
	if err != nil {
		return nil, err
	}
	return &guestConn{
		bufferedConn: bufferedConn{Conn: conn, r: r},
		remote:       net.TCPAddrFromAddrPort(remote),
		local:        net.TCPAddrFromAddrPort(local),
	}, conn.SetDeadline(time.Time{})
}

// Close stops to listen, within the cluster, too.
func (l *listener) Close() error {
	l.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), teardownTime)
		defer cancel()
		l.err = l.Listener.Close()
		err := l.client.call(ctx, http.MethodDelete, "/listeners/"+l.id, nil, nil)
		if !errors.Is(err, ErrHostGone) { // a host that is gone listens no more
			l.err = errors.Join(l.err, err)
		}
	})
	return l.err
}

// guestConn is a connection from a guest, with the addresses that it has in the cluster.
type guestConn struct {
	bufferedConn
	remote, local net.Addr
}

func (c *guestConn) RemoteAddr() net.Addr { return c.remote }
func (c *guestConn) LocalAddr() net.Addr  { return c.local }
