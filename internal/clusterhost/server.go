package clusterhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"seatrial/internal/qmp"
	"seatrial/platforms"
)

// Bodies of requests.
type (
	announceRequest struct {
		Name     string
		Networks []string
		Like     []NIC
	}
	listenRequest struct {
		Address netip.AddrPort
		Socket  string // where the client takes the connections
	}
	keepRequest struct{ For time.Duration }
)

// listenReply names a listener and says where it listens.
type listenReply struct {
	ID      string
	Address netip.AddrPort
}

// handler routes the control protocol.
func (h *host) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cluster", func(w http.ResponseWriter, r *http.Request) { reply(w, h.info(), nil) })
	mux.HandleFunc("DELETE /cluster", func(w http.ResponseWriter, r *http.Request) {
		reply(w, nil, h.teardown())
		h.end()
	})
	mux.HandleFunc("PUT /keep", handle(func(_ context.Context, q keepRequest) (any, error) {
		h.setKeep(q.For)
		return nil, nil
	}))
	mux.HandleFunc("PUT /impairment", handle(func(_ context.Context, q platforms.Impairment) (any, error) {
		return nil, h.impair(q)
	}))
	mux.HandleFunc("POST /announcements", handle(func(_ context.Context, q announceRequest) (any, error) {
		return h.announce(q.Name, q.Networks, q.Like)
	}))
	mux.HandleFunc("POST /machines", handle(func(ctx context.Context, q Machine) (any, error) {
		return nil, h.boot(ctx, q)
	}))
	mux.HandleFunc("DELETE /machines/{name}", h.onMachine(func(_ context.Context, m *machine, _ *http.Request) (any, error) {
		m.kill()
		<-m.gone
		return nil, nil
	}))
	mux.HandleFunc("GET /machines/{name}/exit", h.onMachine(func(ctx context.Context, m *machine, _ *http.Request) (any, error) {
		select {
		case <-m.gone:
			return m.exit, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}))
	mux.HandleFunc("POST /machines/{name}/qmp", h.onMachine(runQMP))
	mux.HandleFunc("GET /machines/{name}/console", h.serveConsole)
	mux.HandleFunc("GET /machines/{name}/channel", h.serveChannel)
	mux.HandleFunc("GET /dial", h.serveDial)
	mux.HandleFunc("POST /listeners", handle(func(_ context.Context, q listenRequest) (any, error) {
		return h.listen(q)
	}))
	mux.HandleFunc("DELETE /listeners/{id}", func(w http.ResponseWriter, r *http.Request) {
		reply(w, nil, h.unlisten(r.PathValue("id")))
	})
	return mux
}

// handle adapts a function of a decoded body.
func handle[Q any](f func(context.Context, Q) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q Q
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			reply(w, nil, fmt.Errorf("decode request: %w", err))
			return
		}
		result, err := f(r.Context(), q)
		reply(w, result, err)
	}
}

// onMachine adapts a function of the machine that the path names.
func (h *host) onMachine(f func(context.Context, *machine, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		m, err := h.machine(r.PathValue("name"))
		if err != nil {
			reply(w, nil, err)
			return
		}
		result, err := f(r.Context(), m, r)
		reply(w, result, err)
	}
}

// runQMP passes a command through and returns the whole reply.
func runQMP(ctx context.Context, m *machine, r *http.Request) (any, error) {
	command, err := io.ReadAll(io.LimitReader(r.Body, qmp.DefaultMaxMessage))
	if err != nil {
		return nil, fmt.Errorf("read command: %w", err)
	}
	answer, err := m.monitor.RunContext(ctx, command)
	if errors.Is(err, qmp.ErrClosed) {
		return nil, fmt.Errorf("%w: %w", ErrMachineEnded, err)
	}
	return json.RawMessage(answer), err
}

// serveConsole streams a machine's console from its beginning, and sends what the client types.
func (h *host) serveConsole(w http.ResponseWriter, r *http.Request) {
	m, err := h.machine(r.PathValue("name"))
	if err != nil {
		reply(w, nil, err)
		return
	}
	conn, err := acceptUpgrade(w)
	if err != nil {
		h.log.Warn("console not served", "err", err)
		return
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(h.ctx)
	go func() {
		_, err := io.Copy(m.console.conn, conn)
		if err != nil { // the client is gone; one that has only stopped typing stays
			cancel(err)
		}
	}()
	if err := m.console.follow(ctx, conn); err != nil {
		h.log.Debug("console reader left", "machine", m.spec.Name, "err", err)
	}
	cancel(nil)
}

// serveChannel connects the client to the machine's channel, which ends with the connection.
func (h *host) serveChannel(w http.ResponseWriter, r *http.Request) {
	m, err := h.machine(r.PathValue("name"))
	if err == nil && m.channel == nil {
		err = errors.New("the machine has no channel")
	}
	if err != nil {
		reply(w, nil, err)
		return
	}
	client, err := acceptUpgrade(w)
	if err != nil {
		h.log.Warn("channel not served", "err", err)
		return
	}
	join(h.ctx, client, m.channel)
}

// serveDial connects the client to an address in the cluster.
func (h *host) serveDial(w http.ResponseWriter, r *http.Request) {
	protocol, address := r.URL.Query().Get("network"), r.URL.Query().Get("address")
	guest, err := h.dial(r.Context(), protocol, address)
	if err != nil {
		reply(w, nil, err)
		return
	}
	client, err := acceptUpgrade(w)
	if err != nil {
		h.log.Warn("dialed connection not served", "err", errors.Join(err, guest.Close()))
		return
	}
	if isDatagram(protocol) {
		client = packetConn{client}
	}
	join(h.ctx, client, guest)
}

// acceptUpgrade turns a request into a stream.
func acceptUpgrade(w http.ResponseWriter) (net.Conn, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("take over connection: %w", err)
	}
	_, err = fmt.Fprintf(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", upgradeProtocol)
	err = errors.Join(err, buffered.Flush(), conn.SetDeadline(time.Time{}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("answer upgrade: %w", err), conn.Close())
	}
	return &bufferedConn{Conn: conn, r: buffered.Reader}, nil
}

// listen accepts connections from guests and takes each to the client's socket.
func (h *host) listen(q listenRequest) (listenReply, error) {
	chosen := h.networks[0]
	for _, n := range h.networks {
		if n.contains(q.Address.Addr()) {
			chosen = n
		}
	}
	if !q.Address.Addr().IsValid() {
		q.Address = netip.AddrPortFrom(chosen.info.gateway(), q.Address.Port())
	}
	l, err := chosen.vnet.Listen(q.Address)
	if err != nil {
		return listenReply{}, err
	}
	bound, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return listenReply{}, errors.Join(fmt.Errorf("listen: %w", err), l.Close())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return listenReply{}, errors.Join(errEnding, l.Close())
	}
	h.nextID++
	id := strconv.Itoa(h.nextID)
	h.listeners[id] = l
	go h.forward(l, q.Socket)
	return listenReply{ID: id, Address: bound}, nil
}

// forward takes the connections of a listener to a unix socket, each after a line that says
// whose it is.
func (h *host) forward(l net.Listener, socket string) {
	for {
		guest, err := l.Accept()
		if err != nil {
			return // closed
		}
		go func() {
			var d net.Dialer
			client, err := d.DialContext(h.ctx, "unix", socket)
			if err == nil {
				err = json.NewEncoder(client).Encode(connHeader{
					Remote: guest.RemoteAddr().String(), Local: guest.LocalAddr().String(),
				})
			}
			if err != nil {
				h.log.Warn("connection to fixture not served", "err", errors.Join(err, guest.Close()))
				return
			}
			join(h.ctx, client, guest)
		}()
	}
}

func (h *host) unlisten(id string) error {
	h.mu.Lock()
	l := h.listeners[id]
	delete(h.listeners, id)
	h.mu.Unlock()
	if l == nil {
		return nil
	}
	return ignoreClosed(l.Close())
}

// gateway is the host's address in a network, IPv4 if it has one.
func (n NetworkInfo) gateway() netip.Addr {
	if n.GatewayIPv4.IsValid() {
		return n.GatewayIPv4
	}
	return n.GatewayIPv6
}
