package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"seatrial/internal/agent"
	"seatrial/internal/clusterhost"
	"seatrial/internal/sshx"
	"seatrial/platforms"
)

const (
	sshPort = "22"
	// redialTime bounds the attempt to connect again after a connection broke. The guest was up
	// before; a longer wait is the caller's to decide.
	redialTime = 30 * time.Second
	// powerOffTime is what a guest gets to shut down by itself.
	powerOffTime = 45 * time.Second
	// endTime is how long the news of a machine's end may take after its connections have broken.
	endTime = 500 * time.Millisecond
)

// Machine is a machine under QEMU.
type Machine struct {
	id      string
	cluster *Cluster
	nics    []clusterhost.NIC

	ctx      context.Context // ends with the machine; the cause says how that came
	cancel   context.CancelCauseFunc
	stopping atomic.Bool // this program is ending it
	tasks    sync.WaitGroup
	gone     chan struct{} // closed once ended is set
	ended    error         // how the machine ended: nil if this program ended it

	forked     bool
	fallback   error         // why it was booted cold where it should have been forked
	agent      *agent.Client // nil unless forked
	agentLogin agent.Login

	mu        sync.Mutex
	ssh       *sshx.Client // nil on a machine that was not entered by SSH yet
	sshConfig sshx.Config
}

var (
	_ platforms.Machine = (*Machine)(nil)
	_ platforms.Sheller = (*Machine)(nil)
	_ platforms.Starter = (*Machine)(nil)
)

// ID implements [platforms.Machine].
func (m *Machine) ID() string { return m.id }

// Addresses implements [platforms.Machine].
func (m *Machine) Addresses() []netip.Addr {
	var all []netip.Addr
	for _, n := range m.nics {
		all = append(all, n.Addrs()...)
	}
	return all
}

// Exec implements [platforms.Machine]. In a fork, as long as the agent of its template is there,
// commands go over that, else over SSH.
func (m *Machine) Exec(ctx context.Context, cmd platforms.Command) (platforms.Result, error) {
	if m.hasAgent() {
		result, err := m.execByAgent(ctx, m.agentLogin, cmd)
		if !errors.Is(err, agent.ErrRefused) {
			return result, err
		}
	}
	client, err := m.connection(ctx)
	if err != nil {
		return platforms.Result{}, err
	}
	result, err := client.Run(ctx, cmd)
	return result, m.explain(err)
}

// hasAgent reports whether commands can go over the agent, as far as is known.
func (m *Machine) hasAgent() bool { return m.agent != nil && m.agent.Err() == nil && !m.isGone() }

func (m *Machine) execByAgent(ctx context.Context, l agent.Login, cmd platforms.Command) (platforms.Result, error) {
	var stdout, stderr sshx.Capture
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	result, err := m.agent.Run(ctx, l, cmd)
	result.Stdout, result.Stderr = stdout.Kept, stderr.Kept
	result.Truncated = stdout.Truncated || stderr.Truncated
	return result, m.explain(err)
}

// Upload implements [platforms.Machine].
func (m *Machine) Upload(ctx context.Context, path string, mode fs.FileMode, r io.Reader) error {
	files, err := m.files(ctx)
	if err != nil {
		return err
	}
	return m.explain(files.Upload(ctx, path, mode, r))
}

// Download implements [platforms.Machine].
func (m *Machine) Download(ctx context.Context, path string, w io.Writer) error {
	files, err := m.files(ctx)
	if err != nil {
		return err
	}
	return m.explain(files.Download(ctx, path, w))
}

// files copies files by the agent or over SSH.
func (m *Machine) files(ctx context.Context) (sshx.Files, error) {
	if m.hasAgent() {
		return sshx.Files{Run: func(ctx context.Context, cmd platforms.Command) (platforms.Result, error) {
			return m.execByAgent(ctx, rootLogin(), cmd)
		}}, nil
	}
	client, err := m.connection(ctx)
	if err != nil {
		return sshx.Files{}, err
	}
	return client.Files(), nil
}

// Dial implements [platforms.Machine]. TCP to a loopback address goes over SSH, and so reaches
// what listens there only; everything else comes over the network.
func (m *Machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if m.isGone() {
		return nil, m.goneError()
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	loopback := isLoopback(host)
	if loopback && (network == "tcp" || network == "tcp4" || network == "tcp6") {
		client, err := m.connection(ctx)
		if err != nil {
			return nil, err
		}
		conn, err := client.Dial(ctx, network, address)
		return conn, m.explain(err)
	}
	if host == "" || loopback {
		address = net.JoinHostPort(m.Addresses()[0].String(), port)
	}
	return m.cluster.client.Dial(ctx, network, address)
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// Reboot implements [platforms.Machine].
func (m *Machine) Reboot(ctx context.Context) error {
	if err := m.reboot(ctx); err != nil {
		return fmt.Errorf("reboot %s: %w", m.id, err)
	}
	return nil
}

func (m *Machine) reboot(ctx context.Context) error {
	client, err := m.connection(ctx)
	if err != nil {
		return err
	}
	waiting, stop := m.until(ctx)
	defer stop()
	if m.agent != nil {
		_ = m.agent.Close() // it would not outlive the boot
	}
	next, err := client.Reboot(waiting, m.dialSSH, nil)
	if err != nil {
		m.awaitEnd()
		return m.verdict(ctx, "reboot", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ssh = next
	return nil
}

// PowerOff implements [platforms.Machine]: the guest is asked by ACPI, and after a while, or when
// ctx ends, unplugged.
func (m *Machine) PowerOff(ctx context.Context) error {
	if m.isGone() {
		return nil
	}
	m.stopping.Store(true)
	client := m.cluster.client
	asked := client.QMP(ctx, m.id, "system_powerdown", nil, nil)
	if asked == nil {
		select {
		case <-m.gone:
		case <-ctx.Done():
		case <-time.After(powerOffTime):
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if err := client.Kill(ctx, m.id); err != nil {
		return fmt.Errorf("power off %s: %w", m.id, err)
	}
	select {
	case <-m.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("power off %s: %w", m.id, context.Cause(ctx))
	}
}

// Console implements [platforms.Machine].
func (m *Machine) Console(ctx context.Context, w io.Writer) error {
	if err := copyTail(ctx, w, filepath.Join(m.cluster.spec.Dir, m.id, "console.txt"), platforms.MaxConsole); err != nil {
		return fmt.Errorf("read console of %s: %w", m.id, err)
	}
	return nil
}

// copyTail copies the last bytes of a file, at most limit.
func copyTail(ctx context.Context, w io.Writer, path string, limit int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := min(info.Size(), limit)
	_, err = io.Copy(w, io.NewSectionReader(f, info.Size()-size, size))
	return err
}

// Wait implements [platforms.Machine].
func (m *Machine) Wait(ctx context.Context) error {
	select {
	case <-m.gone:
		return m.ended
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// QMP runs a command of QEMU's monitor; see [clusterhost.Client.QMP].
func (m *Machine) QMP(ctx context.Context, command string, args, out any) error {
	return m.cluster.client.QMP(ctx, m.id, command, args, out)
}

// AttachConsole connects to the machine's serial console: what it has printed so far and prints
// from now on is read, what is written is typed.
func (m *Machine) AttachConsole(ctx context.Context) (net.Conn, error) {
	return m.cluster.client.Console(ctx, m.id)
}

// Shell implements [platforms.Sheller].
func (m *Machine) Shell(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, term *platforms.Terminal) error {
	client, err := m.connection(ctx)
	if err != nil {
		return err
	}
	_, err = client.Shell(ctx, stdin, stdout, stderr, term)
	return m.explain(err)
}

// dialSSH connects to the guest's SSH server.
func (m *Machine) dialSSH(ctx context.Context) (net.Conn, error) {
	return m.cluster.client.Dial(ctx, "tcp", net.JoinHostPort(m.Addresses()[0].String(), sshPort))
}

// connection returns a connection that works as far as is known: the one there is, or a new one if
// there is none or it broke.
func (m *Machine) connection(ctx context.Context) (*sshx.Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isGone() {
		return nil, m.goneError()
	}
	broken := platforms.ErrConnectionLost
	if m.ssh != nil {
		if m.ssh.Err() == nil {
			return m.ssh, nil
		}
		broken = fmt.Errorf("%w: %w; again", platforms.ErrConnectionLost, m.ssh.Err())
	}
	ctx, stop := m.until(ctx)
	defer stop()
	dialing, cancel := context.WithTimeout(ctx, redialTime)
	defer cancel()
	next, err := sshx.Dial(dialing, m.dialSSH, m.sshConfig)
	if err != nil {
		if m.isGone() {
			return nil, m.goneError()
		}
		return nil, orCause(ctx, fmt.Errorf("%w: %w", broken, err))
	}
	m.ssh = next
	return next, nil
}

// explain adds to an error of a broken connection that the machine is gone, if it is.
func (m *Machine) explain(err error) error {
	if !errors.Is(err, platforms.ErrConnectionLost) {
		return err
	}
	if m.awaitEnd(); m.isGone() {
		return fmt.Errorf("%w: %w", err, m.goneError())
	}
	return err
}

// awaitEnd gives the news of the machine's end the time that it may take.
func (m *Machine) awaitEnd() {
	select {
	case <-m.gone:
	case <-time.After(endTime):
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
	return fmt.Errorf("%s: %w", m.id, platforms.ErrMachineGone)
}

// judge says how the machine ended: nil if this program ended it.
func (m *Machine) judge(exit clusterhost.Exit, err error) error {
	switch {
	case m.stopping.Load(), err == nil && exit.Asked:
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", m.id, err)
	case exit.NoSpace:
		return fmt.Errorf("%s: no space is left on this host for its disks", m.id)
	case exit.Shutdown == "guest-shutdown" && exit.Code == 0:
		return &platforms.GuestError{Machine: m.id, Op: "stay up", Err: errors.New("it shut itself down")}
	default:
		return fmt.Errorf("%s: qemu ended by itself: %s", m.id, exit)
	}
}

// release closes what a machine that has ended, or ends with its host, still holds here.
func (m *Machine) release(ctx context.Context) error {
	m.mu.Lock()
	if m.ssh != nil {
		_ = m.ssh.Close() // the other end is gone
	}
	m.mu.Unlock()
	if m.agent != nil {
		_ = m.agent.Close()
	}
	done := make(chan struct{})
	go func() {
		m.tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("release %s: %w", m.id, context.Cause(ctx))
	}
}
