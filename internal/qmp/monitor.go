package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	goqemu "github.com/digitalocean/go-qemu/qmp"
)

// Limits that Options select by default.
const (
	// DefaultTimeout is ample for any in-band command on a busy host.
	DefaultTimeout = 30 * time.Second
	// DefaultMaxMessage is a hundred times QEMU's longest reply, that of query-qmp-schema.
	DefaultMaxMessage = 16 << 20
)

// Options adjust a Monitor; zero fields select the defaults above.
type Options struct {
	Timeout    time.Duration // for the handshake and for each command
	MaxMessage int           // bytes in one message from QEMU
}

// Monitor is a connection to QEMU's monitor. It connects once. All methods are safe for
// concurrent use.
type Monitor struct {
	dial    func(ctx context.Context) (net.Conn, error)
	options Options

	greeting chan goqemu.Version
	writing  chan struct{} // holds a token while a command is written
	nextID   atomic.Uint64
	done     chan struct{} // closed when the reader has ended
	stop     chan struct{} // closed by Disconnect
	workers  sync.WaitGroup

	mu            sync.Mutex
	started       bool
	stopped       bool
	conn          net.Conn
	version       goqemu.Version
	err           error // why the reader ended
	pending       map[string]chan message
	subscriptions map[*subscription]struct{}
}

var _ goqemu.Monitor = (*Monitor)(nil)

// New returns a monitor that connects by dial.
func New(dial func(ctx context.Context) (net.Conn, error), o Options) *Monitor {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = DefaultMaxMessage
	}
	return &Monitor{
		dial:          dial,
		options:       o,
		greeting:      make(chan goqemu.Version, 1),
		writing:       make(chan struct{}, 1),
		done:          make(chan struct{}),
		stop:          make(chan struct{}),
		pending:       make(map[string]chan message),
		subscriptions: make(map[*subscription]struct{}),
	}
}

// Unix returns a dial function for a unix socket.
func Unix(path string) func(ctx context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}

// Connect is [Monitor.ConnectContext] without a context.
func (m *Monitor) Connect() error { return m.ConnectContext(context.Background()) }

// ConnectContext connects and negotiates, within the monitor's timeout.
func (m *Monitor) ConnectContext(ctx context.Context) error {
	m.mu.Lock()
	again := m.started
	m.started = true
	m.mu.Unlock()
	if again {
		return errors.New("connect qmp: a monitor connects only once")
	}
	ctx, cancel := context.WithTimeout(ctx, m.options.Timeout)
	defer cancel()
	conn, err := m.dial(ctx)
	if err != nil {
		m.fail(fmt.Errorf("%w: it was never opened", ErrClosed))
		return fmt.Errorf("connect qmp: %w", err)
	}
	m.mu.Lock()
	m.conn = conn
	m.mu.Unlock()
	m.workers.Go(func() { m.read(conn) })
	if err := m.negotiate(ctx); err != nil {
		return errors.Join(fmt.Errorf("connect qmp: %w", err), m.Disconnect())
	}
	return nil
}

// negotiate awaits the greeting and leaves the negotiation mode.
func (m *Monitor) negotiate(ctx context.Context) error {
	select {
	case v := <-m.greeting:
		m.mu.Lock()
		m.version = v
		m.mu.Unlock()
	case <-m.done:
		return m.Err()
	case <-m.stop:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("await greeting: %w", context.Cause(ctx))
	}
	return m.Execute(ctx, "qmp_capabilities", nil, nil)
}

// Disconnect closes the connection and every channel of events. Events that nobody took yet are
// dropped. It may be called twice.
func (m *Monitor) Disconnect() error {
	m.mu.Lock()
	if !m.stopped {
		m.stopped = true
		close(m.stop)
	}
	conn := m.conn
	m.mu.Unlock()
	var err error
	if conn != nil {
		err = conn.Close()
	}
	m.workers.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("disconnect qmp: %w", err)
	}
	return nil
}

// Done is closed when the connection has ended, for whatever reason.
func (m *Monitor) Done() <-chan struct{} { return m.done }

// Err says why the connection ended; nil while it lasts.
func (m *Monitor) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Version is that of QEMU, known once connected.
func (m *Monitor) Version() goqemu.Version {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.version
}

// Run is [Monitor.RunContext] without a context.
func (m *Monitor) Run(command []byte) ([]byte, error) {
	return m.RunContext(context.Background(), command)
}

// RunContext runs a command, given as the JSON object of the protocol, and returns QEMU's whole
// reply. An id in the command is replaced. A refusal is an [*Error]. When ctx ends first the
// command may still be carried out; its reply is dropped.
func (m *Monitor) RunContext(ctx context.Context, command []byte) ([]byte, error) {
	reply, err := m.roundTrip(ctx, command)
	return reply.raw, err
}

// Execute runs a command by name. args, unless nil, becomes the JSON object of its arguments; the
// result is decoded into out, unless that is nil.
func (m *Monitor) Execute(ctx context.Context, name string, args, out any) error {
	command, err := json.Marshal(goqemu.Command{Execute: name, Args: args})
	if err != nil {
		return fmt.Errorf("qmp %s: encode arguments: %w", name, err)
	}
	reply, err := m.roundTrip(ctx, command)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(reply.Return, out); err != nil {
		return fmt.Errorf("qmp %s: decode result: %w", name, err)
	}
	return nil
}

// Events returns a channel of the events from now on, which every caller has for itself. It may
// be called before Connect, so that none is missed. The channel is closed when ctx ends, on
// Disconnect, or after the last event of a connection that QEMU closed.
func (m *Monitor) Events(ctx context.Context) (<-chan goqemu.Event, error) {
	s := newSubscription()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.err != nil:
		return nil, fmt.Errorf("subscribe to qmp events: %w", m.err)
	case m.stopped:
		return nil, fmt.Errorf("subscribe to qmp events: %w", ErrClosed)
	}
	m.subscriptions[s] = struct{}{}
	out := make(chan goqemu.Event)
	m.workers.Go(func() {
		defer close(out)
		s.deliver(ctx, m.stop, out)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.subscriptions, s)
	})
	return out, nil
}

// roundTrip sends a command and awaits its reply.
func (m *Monitor) roundTrip(ctx context.Context, command []byte) (message, error) {
	ctx, cancel := context.WithTimeout(ctx, m.options.Timeout)
	defer cancel()
	id := strconv.FormatUint(m.nextID.Add(1), 10)
	line, name, err := withID(command, id)
	if err != nil {
		return message{}, fmt.Errorf("qmp: %w", err)
	}
	replied := make(chan message, 1)
	conn, err := m.expect(id, replied)
	if err != nil {
		return message{}, fmt.Errorf("qmp %s: %w", name, err)
	}
	defer m.forget(id)
	if err := m.send(ctx, conn, line); err != nil {
		return message{}, fmt.Errorf("qmp %s: %w", name, err)
	}
	var reply message
	select {
	case reply = <-replied:
	case <-ctx.Done():
		return message{}, fmt.Errorf("qmp %s: await reply: %w", name, context.Cause(ctx))
	case <-m.done:
		select {
		case reply = <-replied: // it came just before the end
		default:
			return message{}, fmt.Errorf("qmp %s: await reply: %w", name, m.Err())
		}
	}
	if reply.Error != nil {
		return message{}, &Error{Command: name, Class: reply.Error.Class, Desc: reply.Error.Desc}
	}
	return reply, nil
}

// expect registers who gets the reply with an id.
func (m *Monitor) expect(id string, replied chan message) (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.err != nil:
		return nil, m.err
	case m.conn == nil:
		return nil, ErrNotConnected
	}
	m.pending[id] = replied
	return m.conn, nil
}

func (m *Monitor) forget(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pending, id)
}

// send writes a line, one caller at a time. A line that was cut leaves the connection useless, so
// it is closed.
func (m *Monitor) send(ctx context.Context, conn net.Conn, line []byte) error {
	select {
	case m.writing <- struct{}{}:
	case <-m.done:
		return m.Err()
	case <-ctx.Done():
		return fmt.Errorf("send: %w", context.Cause(ctx))
	}
	defer func() { <-m.writing }()
	if err := conn.SetWriteDeadline(time.Time{}); err != nil {
		return fmt.Errorf("send: %w: %w", ErrClosed, err)
	}
	interrupted := make(chan struct{})
	calm := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = conn.SetWriteDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !calm() {
			<-interrupted // or it would hit the next caller's write
		}
	}()
	n, err := conn.Write(line)
	if err == nil {
		return nil
	}
	if n > 0 {
		conn.Close()
	}
	if ctx.Err() != nil {
		return fmt.Errorf("send: %w", context.Cause(ctx))
	}
	return fmt.Errorf("send: %w: %w", ErrClosed, err)
}

// read takes in what QEMU sends until the connection ends.
func (m *Monitor) read(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		msg, err := readMessage(r, m.options.MaxMessage)
		if err == nil {
			err = m.dispatch(msg)
		}
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
			m.fail(ErrClosed)
		} else {
			m.fail(fmt.Errorf("%w: %w", ErrClosed, err))
		}
		return
	}
}

// dispatch hands a message to whom it is for.
func (m *Monitor) dispatch(msg message) error {
	switch {
	case msg.Greeting != nil:
		select {
		case m.greeting <- msg.Greeting.Version:
			return nil
		default:
			return errors.New("qemu greeted twice")
		}
	case msg.Event != "":
		var e goqemu.Event
		if err := json.Unmarshal(msg.raw, &e); err != nil {
			return fmt.Errorf("decode event: %w", err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		for s := range m.subscriptions {
			s.add(e)
		}
	default:
		var id string
		if json.Unmarshal(msg.ID, &id) != nil {
			return nil // a reply to nobody
		}
		m.mu.Lock()
		replied := m.pending[id]
		delete(m.pending, id)
		m.mu.Unlock()
		if replied != nil {
			replied <- msg
		}
	}
	return nil
}

// fail records why the connection ended and lets everyone know.
func (m *Monitor) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
	close(m.done)
	for s := range m.subscriptions {
		s.end()
	}
}
