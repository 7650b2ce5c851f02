package clusterhost

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"seatrial/platforms"
)

// teardownTime bounds a host's teardown: processes are killed and files unlinked, which takes
// milliseconds unless the machine is overloaded.
const teardownTime = 20 * time.Second

// Client drives a cluster host. All methods are safe for concurrent use.
type Client struct {
	info  Info
	child *child // nil when attached
	http  *http.Client

	mu        sync.Mutex
	listeners int
	destroyed bool
}

func newClient(info Info, child *child) *Client {
	c := &Client{info: info, child: child}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.connect(ctx) },
	}}
	return c
}

// Dir is the host's directory: what Attach takes.
func (c *Client) Dir() string { return c.info.Spec.Dir }

// Networks describes the cluster's networks, in their order.
func (c *Client) Networks() []NetworkInfo { return c.info.Networks }

// Info asks the host for its state.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var info Info
	err := c.call(ctx, http.MethodGet, "/cluster", nil, &info)
	return info, err
}

// Announce makes a machine known to the named networks, or to the first one, and returns its
// interfaces. It may be repeated. The interfaces get the addresses of those in like, in their
// order, as far as these are free.
func (c *Client) Announce(ctx context.Context, name string, networks []string, like []NIC) ([]NIC, error) {
	var nics []NIC
	err := c.call(ctx, http.MethodPost, "/announcements", announceRequest{Name: name, Networks: networks, Like: like}, &nics)
	return nics, err
}

// Boot starts an announced machine and returns once it answers on its monitor. After an error,
// nothing of it is left.
func (c *Client) Boot(ctx context.Context, m Machine) error {
	return c.call(ctx, http.MethodPost, "/machines", m, nil)
}

// Kill ends a machine and returns once its processes are gone. One that has ended already is no
// error.
func (c *Client) Kill(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/machines/"+url.PathEscape(name), nil, nil)
}

// Wait waits for the end of a machine.
func (c *Client) Wait(ctx context.Context, name string) (Exit, error) {
	var exit Exit
	err := c.call(ctx, http.MethodGet, "/machines/"+url.PathEscape(name)+"/exit", nil, &exit)
	return exit, err
}

// QMP runs a QMP command on a machine; its arguments are args unless that is nil, its result is
// decoded into out unless that is nil. A refusal is a *qmp.Error.
func (c *Client) QMP(ctx context.Context, name, command string, args, out any) error {
	request := map[string]any{"execute": command}
	if args != nil {
		request["arguments"] = args
	}
	var answer struct{ Return json.RawMessage }
	if err := c.call(ctx, http.MethodPost, "/machines/"+url.PathEscape(name)+"/qmp", request, &answer); err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Return, out); err != nil {
		return fmt.Errorf("qmp %s: decode result: %w", command, err)
	}
	return nil
}

// Console streams what a machine prints on its console, from its first byte on, and sends what is
// written to the machine. The stream ends when the machine has ended.
func (c *Client) Console(ctx context.Context, name string) (net.Conn, error) {
	return c.upgrade(ctx, "/machines/"+url.PathEscape(name)+"/console")
}

// Channel connects to a machine's channel. There is one such connection in a machine's life: the
// channel ends with it, and when the guest's end is closed.
func (c *Client) Channel(ctx context.Context, name string) (net.Conn, error) {
	return c.upgrade(ctx, "/machines/"+url.PathEscape(name)+"/channel")
}

// Dial connects to an address in the cluster's networks, from outside of all machines. Networks
// are those of net.Dial for TCP and UDP.
func (c *Client) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	query := url.Values{"network": {network}, "address": {address}}
	conn, err := c.upgrade(ctx, "/dial?"+query.Encode())
	if err == nil && isDatagram(network) {
		conn = packetConn{conn}
	}
	return conn, err
}

// Impair sets the state of all networks.
func (c *Client) Impair(ctx context.Context, i platforms.Impairment) error {
	return c.call(ctx, http.MethodPut, "/impairment", i, nil)
}

// Keep lets the host live on for d after its starter is gone; if that is gone already, for d from
// now on.
func (c *Client) Keep(ctx context.Context, d time.Duration) error {
	return c.call(ctx, http.MethodPut, "/keep", keepRequest{For: d}, nil)
}

// Destroy ends the cluster with all its machines and removes its files, also when its host is
// dead or does not answer. It may be called twice.
func (c *Client) Destroy(ctx context.Context) error {
	c.mu.Lock()
	again := c.destroyed
	c.destroyed = true
	c.mu.Unlock()
	if again {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, teardownTime)
	defer cancel()
	err := c.call(ctx, http.MethodDelete, "/cluster", nil, nil)
	_, answered := errors.AsType[*remoteError](err) // it has ended what it could, and says what not
	if answered = answered || err == nil; !answered {
		err = nil // what a dead host has left is removed from here
	}
	c.http.CloseIdleConnections()
	if c.child != nil {
		err = errors.Join(err, c.child.abandon())
	}
	if !answered {
		_, reapErr := reap(c.info.Spec.Dir, false)
		err = errors.Join(err, reapErr)
	}
	if err != nil {
		return fmt.Errorf("destroy cluster %s: %w", c.info.Spec.Name, err)
	}
	return nil
}

// Close lets go of the host: one that this process started ends, unless it is to be kept.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	if c.child != nil {
		return ignoreClosed(c.child.lifeline.Close())
	}
	return nil
}

// connect opens a connection to the control socket.
func (c *Client) connect(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", filepath.Join(c.info.Spec.Dir, controlFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHostGone, err)
	}
	return conn, nil
}

// call makes a request. An error of the host is a *remoteError; others mean that the host did not
// answer, and wrap ErrHostGone unless ctx ended.
func (c *Client) call(ctx context.Context, method, path string, body, result any) error {
	request, err := newRequest(ctx, method, path, body)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.unanswered(ctx, err)
	}
	defer response.Body.Close()
	err = decodeReply(response, result)
	if _, answered := errors.AsType[*remoteError](err); err != nil && !answered {
		return c.unanswered(ctx, err)
	}
	return err
}

func newRequest(ctx context.Context, method, path string, body any) (*http.Request, error) {
	var r io.Reader = http.NoBody
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		r = bytes.NewReader(data)
	}
	return http.NewRequestWithContext(ctx, method, "http://cluster-host"+path, r)
}

// unanswered explains a request that got no answer.
func (c *Client) unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !errors.Is(err, ErrHostGone) {
		err = fmt.Errorf("%w: %w", ErrHostGone, err)
	}
	if last := tail(filepath.Join(c.info.Spec.Dir, logFile), logLimit); last != "" {
		err = fmt.Errorf("%w (its last words: %s)", err, last)
	}
	return err
}

// upgrade makes a request that becomes a stream. ctx bounds the request, not the stream.
func (c *Client) upgrade(ctx context.Context, path string) (net.Conn, error) {
	request, err := newRequest(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", upgradeProtocol)
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, c.unanswered(ctx, err)
	}
	interrupted := context.AfterFunc(ctx, func() { conn.Close() })
	r := bufio.NewReader(conn)
	err = request.Write(conn)
	var response *http.Response
	if err == nil {
		response, err = http.ReadResponse(r, request)
	}
	switch {
	case !interrupted():
		err = context.Cause(ctx)
	case err != nil:
		err = c.unanswered(ctx, err)
	case response.StatusCode != http.StatusSwitchingProtocols:
		err = decodeReply(response, nil)
		if err == nil {
			err = fmt.Errorf("cluster host answered %s", response.Status)
		}
	default:
		return &bufferedConn{Conn: conn, r: r}, nil
	}
	return nil, errors.Join(err, ignoreClosed(conn.Close()))
}
