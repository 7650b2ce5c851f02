package fake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"seatrial/platforms"
)

// Machine is a machine in memory. Beside the methods of [platforms.Machine] it
// has those by which a test makes its guest go wrong.
type Machine struct {
	cluster *Cluster
	spec    platforms.MachineSpec
	addrs   []netip.Addr
	files   *fileSystem
	journal *journal
	console console
	gone    chan struct{} // closed once ended and saveErr are set

	mu       sync.Mutex
	bootID   string
	boots    int
	how      platforms.Start
	fallback error           // why it is no fork, though it should be
	session  context.Context // of the connections; ends with a cause when they break
	lose     context.CancelCauseFunc
	hung     bool
	sshDown  bool
	failed   []string // units
	isEnding bool
	ended    error // how the machine ended: nil if this program ended it
	saveErr  error // of console.txt
}

var _ platforms.Machine = (*Machine)(nil)

func newMachine(c *Cluster, spec platforms.MachineSpec, addrs []netip.Addr) *Machine {
	m := &Machine{
		cluster: c, spec: spec, addrs: addrs, journal: newJournal(), gone: make(chan struct{}),
		bootID: newBootID(), boots: 1, how: platforms.StartCold,
	}
	m.console.live = spec.Console
	m.files = &fileSystem{m: m, image: c.platform.files, own: make(map[string]*file)}
	m.newSession()
	return m
}

// newSession makes what a new connection works on. m.mu is held, unless the
// machine is new.
func (m *Machine) newSession() { m.session, m.lose = context.WithCancelCause(context.Background()) }

// ID implements [platforms.Machine].
func (m *Machine) ID() string { return m.spec.Name }

// Addresses implements [platforms.Machine].
func (m *Machine) Addresses() []netip.Addr { return slices.Clone(m.addrs) }

// Boots is how often the machine was started.
func (m *Machine) Boots() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boots
}

// bring makes a new machine ready.
func (m *Machine) bring(ctx context.Context) error {
	if err := m.writeUserData(); err != nil {
		return err
	}
	if err := m.origin(ctx); err != nil {
		return err
	}
	m.spec.Progress("ready")
	if ctx.Err() != nil {
		return m.verdict(ctx, "boot", context.Cause(ctx))
	}
	return nil
}

// start boots the guest.
func (m *Machine) start(ctx context.Context) error {
	m.Print("Linux version 6.1.0-fake (fake@seatrial) #1 SMP\nsystemd[1]: Reached target multi-user.target.\n")
	if hook := m.cluster.platform.options.Boot; hook != nil {
		if err := hook(ctx, m, m.spec); err != nil {
			return m.verdict(ctx, "boot", err)
		}
	}
	return m.reached(ctx)
}

// reached finds out whether a command can be run now: the guest may have gone
// wrong meanwhile.
func (m *Machine) reached(ctx context.Context) error {
	c, err := m.connect(ctx)
	if err != nil {
		return m.verdict(ctx, "boot", err)
	}
	c.close()
	return nil
}

// connection is what a request to the guest works on.
type connection struct {
	m       *Machine
	ctx     context.Context // ends with the caller's, and when the connection breaks
	session context.Context
	close   func()
}

// connect reaches the guest, or waits for ever if it is hung.
func (m *Machine) connect(ctx context.Context) (*connection, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if m.isGone() {
		return nil, m.goneError()
	}
	m.mu.Lock()
	session, down := m.session, m.sshDown
	m.mu.Unlock()
	if down {
		return nil, fmt.Errorf("%s has no SSH server: %w", m.ID(), platforms.ErrConnectionLost)
	}
	joined, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(session, func() { cancel(context.Cause(session)) })
	c := &connection{m: m, ctx: joined, session: session, close: func() {
		stop()
		cancel(nil)
	}}
	if err := c.broken(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// broken says why nothing is known of what was asked for over the connection.
// It does not return while the guest is hung.
func (c *connection) broken() error {
	c.m.mu.Lock()
	hung := c.m.hung
	c.m.mu.Unlock()
	if hung {
		<-c.ctx.Done()
	}
	// The session's end is known at once, and ends the context a moment later.
	if c.ctx.Err() == nil && c.session.Err() != nil {
		return context.Cause(c.session)
	}
	return context.Cause(c.ctx)
}

// Exec implements [platforms.Machine].
func (m *Machine) Exec(ctx context.Context, cmd platforms.Command) (platforms.Result, error) {
	c, err := m.connect(ctx)
	if err != nil {
		return platforms.Result{}, fmt.Errorf("exec on %s: %w", m.ID(), err)
	}
	defer c.close()
	var res platforms.Result
	if script := m.cluster.platform.options.Exec; script != nil {
		res, err = script(c.ctx, m, cmd)
	} else {
		res, err = m.Run(c.ctx, cmd)
	}
	if broken := c.broken(); broken != nil {
		err = broken
	}
	if err != nil {
		return platforms.Result{}, fmt.Errorf("exec on %s: %w", m.ID(), err)
	}
	return res, nil
}

// Upload implements [platforms.Machine].
func (m *Machine) Upload(ctx context.Context, path string, mode fs.FileMode, r io.Reader) error {
	c, err := m.connect(ctx)
	if err == nil {
		defer c.close()
		var data []byte
		if data, err = io.ReadAll(r); err == nil {
			err = m.files.put(path, mode, data)
		}
	}
	if err != nil {
		return fmt.Errorf("upload to %s on %s: %w", path, m.ID(), err)
	}
	return nil
}

// Download implements [platforms.Machine].
func (m *Machine) Download(ctx context.Context, path string, w io.Writer) error {
	c, err := m.connect(ctx)
	if err == nil {
		defer c.close()
		var f io.ReadWriteCloser
		if f, err = m.files.open(path, os.O_RDONLY, 0, true); err == nil {
			_, err = io.Copy(w, f)
		}
	}
	if err != nil {
		return fmt.Errorf("download %s from %s: %w", path, m.ID(), err)
	}
	return nil
}

// Dial implements [platforms.Machine]. Only TCP is supported.
func (m *Machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := m.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("dial from %s: %w", m.ID(), err)
	}
	defer c.close()
	conn, err := m.dial(network, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return conn, nil
}

// Reboot implements [platforms.Machine].
func (m *Machine) Reboot(ctx context.Context) error {
	c, err := m.connect(ctx)
	if err == nil {
		c.close()
		m.restart()
		err = m.start(ctx)
	}
	if err == nil {
		return nil
	}
	if guest, ok := errors.AsType[*platforms.GuestError](err); ok {
		err = guest.Err
	}
	return fmt.Errorf("reboot %s: %w", m.ID(), m.verdict(ctx, "reboot", err))
}

// restart makes a new boot, which has forgotten what a guest forgets, and
// breaks the connections.
func (m *Machine) restart() {
	m.mu.Lock()
	m.boots++
	m.bootID = newBootID()
	m.failed, m.hung, m.sshDown = nil, false, false
	m.mu.Unlock()
	m.Disconnect()
	m.files.forgetVolatile()
	m.journal.clear()
}

// PowerOff implements [platforms.Machine].
func (m *Machine) PowerOff(context.Context) error {
	m.end(nil)
	return nil
}

// Console implements [platforms.Machine].
func (m *Machine) Console(ctx context.Context, w io.Writer) error {
	if _, err := w.Write(m.console.text()); err != nil {
		return fmt.Errorf("read console of %s: %w", m.ID(), err)
	}
	return context.Cause(ctx)
}

// Wait implements [platforms.Machine].
func (m *Machine) Wait(ctx context.Context) error {
	select {
	case <-m.gone:
		return m.ended
	default:
	}
	select {
	case <-m.gone:
		return m.ended
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *Machine) isGone() bool {
	select {
	case <-m.gone:
		return true
	default:
		return false
	}
}

// goneError is for what is asked of a machine that is gone.
func (m *Machine) goneError() error {
	if m.ended != nil {
		return fmt.Errorf("%w: %w", platforms.ErrMachineGone, m.ended)
	}
	return fmt.Errorf("%s: %w", m.ID(), platforms.ErrMachineGone)
}

// verdict says whose fault it is that the guest did not do what it was waited
// for.
func (m *Machine) verdict(ctx context.Context, op string, err error) error {
	switch {
	case err == nil:
		return nil
	case m.isGone():
		if guest, ok := errors.AsType[*platforms.GuestError](m.ended); ok {
			return &platforms.GuestError{Machine: m.ID(), Op: op, Err: guest.Err}
		}
		return m.goneError()
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &platforms.GuestError{Machine: m.ID(), Op: op, Err: context.Cause(ctx)}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

// end ends the machine, as err says; nil means that this program did it. The
// first end counts.
func (m *Machine) end(err error) {
	m.mu.Lock()
	if m.isEnding {
		m.mu.Unlock()
		<-m.gone
		return
	}
	m.isEnding = true
	lose := m.lose
	m.mu.Unlock()
	m.ended = err
	m.saveErr = m.saveConsole()
	close(m.gone)
	lose(fmt.Errorf("%w: %w", platforms.ErrConnectionLost, m.goneError()))
}

// saved is the error of keeping the console of a machine that has ended.
func (m *Machine) saved() error {
	<-m.gone
	return m.saveErr
}

func (m *Machine) saveConsole() error { return m.save("console.txt", m.console.text()) }

func (m *Machine) writeUserData() error {
	if len(m.spec.UserData) == 0 {
		return nil
	}
	return m.save("user-data", m.spec.UserData)
}

// save writes a file into the machine's directory.
func (m *Machine) save(name string, data []byte) error {
	if m.cluster.platform.options.NoFiles {
		return nil
	}
	dir := filepath.Join(m.cluster.spec.Dir, m.ID())
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), data, 0o666)
}

// console is what a machine has printed.
type console struct {
	live io.Writer // who is told at once; may be nil

	mu  sync.Mutex
	buf bytes.Buffer
}

func (c *console) print(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf.WriteString(text)
	if extra := c.buf.Len() - platforms.MaxConsole; extra > 0 {
		c.buf.Next(extra)
	}
	if c.live != nil {
		if _, err := io.WriteString(c.live, text); err != nil {
			c.live = nil // who does not listen is told nothing
		}
	}
}

func (c *console) text() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.buf.Bytes())
}
