package sshx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"seatrial/platforms"
)

// Client is a connection to a guest. All methods are safe for concurrent use.
type Client struct {
	cfg     Config // with defaults
	conn    *ssh.Client
	hostKey ssh.PublicKey
	slots   chan struct{} // one element per open session

	failOnce sync.Once
	cause    error // why the connection ended; set before done is closed
	done     chan struct{}
	tasks    sync.WaitGroup
}

// maxSessions is how many sessions may be open at once: OpenSSH refuses more
// than 10 on a connection (MaxSessions in sshd_config(5)).
const maxSessions = 10

// Dial connects and logs in, once. Failures are of type *DialError, and wrap
// ErrDenied or a *HostKeyError where they apply.
func Dial(ctx context.Context, dial DialFunc, cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	nc, err := dialTransport(ctx, dial, cfg.DialTimeout)
	if err != nil {
		return nil, &DialError{Step: StepDial, Err: err}
	}
	conn, hostKey, err := handshake(ctx, nc, cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg:     cfg,
		conn:    conn,
		hostKey: hostKey,
		slots:   make(chan struct{}, maxSessions),
		done:    make(chan struct{}),
	}
	c.tasks.Go(func() {
		err := conn.Wait()
		c.fail(err)
		close(c.done)
	})
	if cfg.KeepaliveInterval > 0 {
		c.tasks.Go(c.keepalive)
	}
	return c, nil
}

func dialTransport(ctx context.Context, dial DialFunc, timeout time.Duration) (net.Conn, error) {
	tctx, cancel := context.WithTimeoutCause(ctx, timeout,
		timeoutError{fmt.Sprintf("no answer within %v", timeout)})
	defer cancel()
	nc, err := dial(tctx)
	if err != nil && tctx.Err() != nil {
		return nil, context.Cause(tctx)
	}
	return nc, err
}

// handshake logs in over nc. It closes nc when it fails.
func handshake(ctx context.Context, nc net.Conn, cfg Config) (*ssh.Client, ssh.PublicKey, error) {
	tctx, cancel := context.WithTimeoutCause(ctx, cfg.HandshakeTimeout,
		timeoutError{fmt.Sprintf("not done within %v", cfg.HandshakeTimeout)})
	defer cancel()
	stop := context.AfterFunc(tctx, func() { nc.Close() })

	// The callback runs on a goroutine of the library, which may outlive a
	// handshake that is cut off.
	var hostKey atomic.Pointer[ssh.PublicKey]
	conn, chans, reqs, err := ssh.NewClientConn(nc, "guest:22", &ssh.ClientConfig{
		Config:            ssh.Config{KeyExchanges: keyExchanges(), Ciphers: ciphers(), MACs: macs()},
		User:              cfg.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(cfg.Signers...)},
		HostKeyAlgorithms: hostKeyAlgorithms(cfg.HostKey),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if cfg.HostKey != nil && !bytes.Equal(cfg.HostKey.Marshal(), key.Marshal()) {
				return &HostKeyError{Want: cfg.HostKey, Got: key}
			}
			hostKey.Store(&key)
			return nil
		},
	})
	inTime := stop()
	if err == nil && inTime {
		return ssh.NewClient(conn, chans, reqs), *hostKey.Load(), nil
	}
	nc.Close()
	step := StepHandshake
	if hostKey.Load() != nil {
		step = StepLogin
	}
	if !inTime {
		return nil, nil, &DialError{Step: step, Err: context.Cause(tctx)}
	}
	return nil, nil, &DialError{Step: step, Err: loginError(err)}
}

// HostKey returns the key by which the guest proved itself.
func (c *Client) HostKey() ssh.PublicKey { return c.hostKey }

// Done is closed when the connection has ended, for whatever reason.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the connection ended; it is nil before Done is closed.
func (c *Client) Err() error {
	select {
	case <-c.done:
		return c.cause
	default:
		return nil
	}
}

// Close ends the connection with all that runs on it. It may be called twice.
func (c *Client) Close() error {
	c.fail(errors.New("closed by the client"))
	c.tasks.Wait()
	return nil
}

func (c *Client) fail(err error) {
	c.failOnce.Do(func() {
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("closed by the guest")
		}
		c.cause = err
		c.conn.Close()
	})
}

// lost makes the error for a request that the end of the connection cut off.
// The connection's own reason comes a moment after the end of what runs on it;
// detail stands in for it where only a session has ended.
func (c *Client) lost(detail error) error {
	select {
	case <-c.done:
		detail = c.cause
	case <-time.After(250 * time.Millisecond):
	}
	return fmt.Errorf("%w: %w", platforms.ErrConnectionLost, detail)
}

// keepalive probes the peer until the connection ends. A probe left unanswered
// ends it.
func (c *Client) keepalive() {
	interval := c.cfg.KeepaliveInterval
	patience := interval * time.Duration(c.cfg.KeepaliveMisses)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
		}
		giveUp := time.AfterFunc(patience, func() {
			c.fail(fmt.Errorf("guest did not answer for %v", patience))
		})
		// A server answers a request that it does not know with a failure,
		// which is an answer.
		_, _, err := c.conn.SendRequest("keepalive@openssh.com", true, nil)
		giveUp.Stop()
		if err != nil {
			return
		}
	}
}

// Dial opens a TCP connection ("tcp") or a Unix socket ("unix") as seen from
// the guest. An empty host means the guest itself. The connection has no
// deadlines of its own: SetDeadline fails on it.
func (c *Client) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("dial from the guest: %w", err)
		}
		if host == "" {
			address = net.JoinHostPort("localhost", port)
		}
	case "unix":
	default:
		return nil, fmt.Errorf("dial %s from the guest over SSH: %w", network, platforms.ErrUnsupported)
	}
	nc, err := c.conn.DialContext(ctx, network, address)
	if err == nil {
		return nc, nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	} else if _, refused := errors.AsType[*ssh.OpenChannelError](err); !refused {
		err = c.lost(err)
	}
	return nil, fmt.Errorf("dial %s from the guest: %w", address, err)
}
