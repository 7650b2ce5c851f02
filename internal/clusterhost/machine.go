package clusterhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	goqemu "github.com/digitalocean/go-qemu/qmp"
	"golang.org/x/sys/unix"

	"seatrial/internal/qmp"
)

const (
	consoleFile = "console.txt"
	outputLimit = 4 << 10 // bytes of a process's output that an Exit quotes
	// startTimeout bounds the time from a process's start to its QMP greeting: 0.05 s on an idle
	// host, and more where files are cold and emulated guests take the CPUs.
	startTimeout = time.Minute
	dyingTime    = 5 * time.Second // from the loss of a monitor to the end of its process
)

// machine is a machine that was started.
type machine struct {
	spec    Machine
	nics    []NIC
	main    *exec.Cmd
	monitor *qmp.Monitor
	console *console
	channel net.Conn // nil without one
	log     *slog.Logger

	mu       sync.Mutex
	asked    bool
	shutdown string
	noSpace  bool

	gone chan struct{} // closed once exit is set and nothing of the machine is left
	exit Exit
}

// startMachine starts the processes of a machine and connects to their descriptors. It returns
// once the machine answers on its monitor. attach connects a NIC's stream to its network and
// blocks until it ends.
func startMachine(ctx context.Context, s *spawner, spec Machine, nics []NIC, attach func(NIC, net.Conn) error, log *slog.Logger) (*machine, error) {
	if len(spec.Processes) == 0 {
		return nil, errors.New("a machine needs a process")
	}
	toHost := []string{FDMonitor, FDConsole}
	if mentions(spec.Processes)[FDChannel] > 0 {
		toHost = append(toHost, FDChannel)
	}
	for _, n := range nics {
		toHost = append(toHost, n.ID)
	}
	ch, err := openChannels(spec.Processes, toHost)
	if err != nil {
		return nil, err
	}
	m := &machine{spec: spec, nics: nics, log: log.With("machine", spec.Name), gone: make(chan struct{})}
	helpers, err := m.startProcesses(s, ch)
	if err != nil {
		return nil, errors.Join(err, ch.close())
	}
	if err := m.connect(ctx, ch, helpers, attach); err != nil {
		if m.console != nil {
			err = errors.Join(err, m.close())
		}
		return nil, err
	}
	return m, nil
}

// startProcesses starts all processes, or none.
func (m *machine) startProcesses(s *spawner, ch *channels) (helpers []*exec.Cmd, err error) {
	var started []*exec.Cmd
	for _, p := range m.spec.Processes {
		cmd, err := m.startProcess(s, ch, p)
		if err != nil {
			waitAll(started)()
			return nil, fmt.Errorf("start %s: %w", p.Name, err)
		}
		started = append(started, cmd)
	}
	last := len(started) - 1
	m.main = started[last]
	return started[:last], nil
}

func (m *machine) startProcess(s *spawner, ch *channels, p Process) (*exec.Cmd, error) {
	if len(p.Argv) == 0 {
		return nil, errors.New("no command line")
	}
	out, err := os.OpenFile(m.outputPath(p), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd, taken := ch.command(p)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, errors.Join(s.start(cmd), closeAll(taken))
}

func (m *machine) outputPath(p Process) string {
	return filepath.Join(m.spec.Dir, p.Name+".log")
}

// connect takes up the host's ends of the channels and starts what serves them. On an error the
// machine is gone.
func (m *machine) connect(ctx context.Context, ch *channels, helpers []*exec.Cmd, attach func(NIC, net.Conn) error) error {
	endHelpers := waitAll(helpers)
	conns, err := hostConns(ch)
	if err == nil {
		m.console, err = openConsole(conns[FDConsole], filepath.Join(m.spec.Dir, consoleFile))
		delete(conns, FDConsole)
		m.channel = conns[FDChannel]
	}
	if err != nil {
		_ = m.main.Process.Kill()
		_ = m.main.Wait()
		endHelpers()
		return errors.Join(err, closeConns(conns))
	}
	var serving sync.WaitGroup
	serving.Go(m.console.run)
	for _, n := range m.nics {
		serving.Go(func() {
			if err := attach(n, conns[n.ID]); err != nil {
				m.log.Warn("network interface disconnected", "nic", n.ID, "err", err)
			}
		})
	}
	m.monitor = qmp.New(func(context.Context) (net.Conn, error) { return conns[FDMonitor], nil }, qmp.Options{})
	events, err := m.monitor.Events(context.Background()) // before connecting, so that none is missed
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		m.watch(events)
	}()
	go func() {
		_ = m.main.Wait() // its state says how it ended
		endHelpers()
		serving.Wait() // the other ends of the streams are closed now
		<-watched
		_ = m.monitor.Disconnect()
		m.finish()
	}()
	if err == nil {
		err = m.await(ctx)
	}
	return err
}

// await connects to the machine's monitor.
func (m *machine) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err := m.monitor.ConnectContext(ctx)
	if err == nil {
		return nil
	}
	died := errors.Is(err, qmp.ErrClosed)
	if died { // then its exit status is on the way
		select {
		case <-m.gone:
		case <-time.After(dyingTime):
		}
	}
	m.kill()
	<-m.gone
	name := m.spec.Processes[len(m.spec.Processes)-1].Name
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("start %s: await its monitor: %w", name, context.Cause(ctx))
	case died:
		return fmt.Errorf("start %s: it ended at once: %s", name, m.exit)
	default:
		return fmt.Errorf("start %s: %w", name, err)
	}
}

// hostConns turns the host's descriptors into connections, which then own them.
func hostConns(ch *channels) (map[string]net.Conn, error) {
	conns := make(map[string]net.Conn)
	var errs []error
	for name, f := range ch.host {
		conn, err := net.FileConn(f)
		errs = append(errs, err, f.Close())
		if err == nil {
			conns[name] = conn
		}
	}
	ch.host = nil
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, closeConns(conns))
	}
	return conns, nil
}

func closeConns(conns map[string]net.Conn) error {
	var errs []error
	for _, c := range conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// watch records what the machine says of its end, and ends one that waits for space. The channel ends when the guest's end of it does,
// which QEMU says without telling the stream.
func (m *machine) watch(events <-chan goqemu.Event) {
	for e := range events {
		m.log.Debug("qmp event", "event", e.Event, "data", e.Data)
		if reason, ok := e.Data["reason"].(string); ok && e.Event == "SHUTDOWN" {
			m.mu.Lock()
			m.shutdown = reason
			m.mu.Unlock()
		}
		if full, ok := e.Data["nospace"].(bool); ok && full && e.Event == "BLOCK_IO_ERROR" { // it stands still, for ever
			m.mu.Lock()
			m.noSpace = true
			m.mu.Unlock()
			_ = m.main.Process.Kill() // it may have ended by itself
		}
		open, ok := e.Data["open"].(bool)
		if m.channel != nil && (e.Event == "RESET" || e.Event == "VSERPORT_CHANGE" && ok && !open) {
			_ = m.channel.Close() // its reader sees the end
		}
	}
}

// finish records how the machine ended.
func (m *machine) finish() {
	main := m.spec.Processes[len(m.spec.Processes)-1]
	m.mu.Lock()
	defer m.mu.Unlock()
	m.exit = Exit{
		Time:     time.Now(),
		Asked:    m.asked,
		Code:     m.main.ProcessState.ExitCode(),
		Shutdown: m.shutdown,
		NoSpace:  m.noSpace,
		Output:   tail(m.outputPath(main), outputLimit),
	}
	if status, ok := m.main.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		m.exit.Signal = unix.SignalName(status.Signal())
	}
	for _, p := range m.spec.Processes {
		if info, err := os.Stat(m.outputPath(p)); err == nil && info.Size() == 0 {
			_ = os.Remove(m.outputPath(p)) // tidiness only
		}
	}
	close(m.gone)
}

// kill ends the machine without waiting for it. What it may still be told to write is lost.
func (m *machine) kill() {
	m.mu.Lock()
	m.asked = true
	m.mu.Unlock()
	_ = m.main.Process.Kill() // it may have ended by itself
}

// ended reports whether nothing of the machine is left.
func (m *machine) ended() bool {
	select {
	case <-m.gone:
		return true
	default:
		return false
	}
}

// close closes what a machine that has ended still holds: its channel, and the file of its console.
func (m *machine) close() error {
	err := m.console.close()
	if m.channel != nil {
		err = errors.Join(err, ignoreClosed(m.channel.Close()))
	}
	return err
}
