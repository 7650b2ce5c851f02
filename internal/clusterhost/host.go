package clusterhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"seatrial/platforms"
)

// lockFD is the descriptor at which a host inherits its lock.
const lockFD = 3

// answer is what a host says on its standard output once it is ready, or not.
type answer struct {
	Info  Info
	Error string `json:",omitempty"`
}

// Main is the whole life of a cluster host. It reads its [Spec] from stdin, answers on stdout and
// then serves its control socket until it is told to end, ctx ends, or stdin ends, which is the
// lifeline of whoever started it. Diagnosis goes to stderr. Only a process started by [Start] may
// call it: it takes over an inherited lock.
func Main(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	syscall.CloseOnExec(lockFD) // or the machines would hold the lock, too
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var spec Spec
	if err := json.NewDecoder(stdin).Decode(&spec); err != nil {
		return fmt.Errorf("cluster host: read spec: %w", err)
	}
	h, err := newHost(spec, log)
	if err != nil {
		err = errors.Join(err, removeDir(spec))
		return errors.Join(fmt.Errorf("cluster host: %w", err), json.NewEncoder(stdout).Encode(answer{Error: err.Error()}))
	}
	if err := json.NewEncoder(stdout).Encode(answer{Info: h.info()}); err != nil {
		return errors.Join(fmt.Errorf("cluster host: answer: %w", err), h.teardown())
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // ends when the starter does
		h.orphaned()
	}()
	select {
	case <-ctx.Done():
		log.Info("told to end", "cause", context.Cause(ctx))
	case <-h.quit:
	}
	err = h.teardown()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
	defer cancel()
	_ = h.server.Shutdown(ctx) // who still waits for an answer sees the connection end
	return err
}

// lastAnswers is how long a host that ends waits for its clients to take their answers.
const lastAnswers = 2 * time.Second

// host is a running cluster host.
type host struct {
	spec    Spec
	log     *slog.Logger
	spawner *spawner
	server  *http.Server
	quit    chan struct{}   // closed to end the host
	ctx     context.Context // of all streams
	cancel  context.CancelFunc

	booting   context.Context // of machines that start
	stopBoots context.CancelFunc
	boots     sync.WaitGroup

	networks []*network // in the order of the spec

	mu        sync.Mutex
	closing   bool
	orphan    bool
	keep      time.Duration
	keptUntil time.Time // once orphaned
	announced map[string][]NIC
	starting  map[string]bool
	machines  map[string]*machine
	listeners map[string]net.Listener
	nextID    int

	quitOnce, teardownOnce sync.Once
	teardownErr            error
}

// newHost makes the networks and starts to serve the control socket.
func newHost(spec Spec, log *slog.Logger) (*host, error) {
	records, err := os.OpenFile(filepath.Join(spec.Dir, processFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	booting, stopBoots := context.WithCancel(ctx)
	h := &host{
		spec:      spec,
		log:       log,
		spawner:   newSpawner(records),
		quit:      make(chan struct{}),
		ctx:       ctx,
		cancel:    cancel,
		booting:   booting,
		stopBoots: stopBoots,
		keep:      spec.Keep,
		starting:  make(map[string]bool),
		announced: make(map[string][]NIC),
		machines:  make(map[string]*machine),
		listeners: make(map[string]net.Listener),
	}
	if h.networks, err = openNetworks(spec, log); err != nil {
		return nil, errors.Join(err, h.teardown())
	}
	listener, err := net.Listen("unix", filepath.Join(spec.Dir, controlFile))
	if err != nil {
		return nil, errors.Join(err, h.teardown())
	}
	h.server = &http.Server{
		Handler:           h.handler(),
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 10 * time.Second,
		// A request's context ends with the host, so that no answer is awaited forever.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	go func() {
		if err := h.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("control socket failed", "err", err)
			h.end()
		}
	}()
	return h, nil
}

// end has Main tear the host down.
func (h *host) end() { h.quitOnce.Do(func() { close(h.quit) }) }

// orphaned is called when the starter is gone: the host ends now, or when its time is up.
func (h *host) orphaned() {
	h.mu.Lock()
	h.orphan = true
	h.keptUntil = time.Now().Add(h.keep)
	h.mu.Unlock()
	h.watchExpiry()
}

// setKeep sets how long the host lives on after its starter; for an orphan that is from now on.
func (h *host) setKeep(d time.Duration) {
	h.mu.Lock()
	h.keep = d
	orphan := h.orphan
	if orphan {
		h.keptUntil = time.Now().Add(d)
	}
	h.mu.Unlock()
	if orphan {
		go h.watchExpiry()
	}
}

// watchExpiry ends an orphaned host once its time is up. Of several that run, the last one does,
// since each looks again at what it was told.
func (h *host) watchExpiry() {
	for {
		h.mu.Lock()
		left := time.Until(h.keptUntil)
		h.mu.Unlock()
		if left <= 0 {
			h.log.Info("starter is gone and nothing is to be kept")
			h.end()
			return
		}
		h.log.Info("starter is gone, machines are kept", "for", left)
		select {
		case <-time.After(left):
		case <-h.quit:
			return
		}
	}
}

// announce makes a machine known to its networks, which give it its addresses. A machine that was
// announced before keeps what it has.
func (h *host) announce(name string, networks []string, like []NIC) ([]NIC, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if nics, ok := h.announced[name]; ok {
		return nics, nil
	}
	if len(networks) == 0 {
		networks = []string{h.networks[0].info.Name}
	}
	var nics []NIC
	for i, network := range networks {
		n, err := h.network(network)
		if err != nil {
			return nil, err
		}
		var wanted NIC
		if i < len(like) {
			wanted = like[i]
		}
		nic, err := n.announce(name, fmt.Sprintf("nic%d", i), wanted)
		if err != nil {
			return nil, err
		}
		nics = append(nics, nic)
	}
	h.announced[name] = nics
	return nics, nil
}

// network finds a network by name; the empty name is that of the first.
func (h *host) network(name string) (*network, error) {
	for _, n := range h.networks {
		if name == "" || n.info.Name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("the cluster has no network %q", name)
}

var errEnding = errors.New("the cluster host is ending")

// boot starts an announced machine. The name of a machine that has ended may be used again.
func (h *host) boot(ctx context.Context, spec Machine) error {
	nics, err := h.reserve(spec.Name)
	if err != nil {
		return err
	}
	defer h.boots.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(h.booting, func() { cancel(errEnding) })()
	attach := func(n NIC, conn net.Conn) error {
		network, err := h.network(n.Network)
		if err != nil {
			return errors.Join(err, conn.Close())
		}
		return network.vnet.ServePort(h.ctx, spec.Name, conn)
	}
	m, err := startMachine(ctx, h.spawner, spec, nics, attach, h.log)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.starting, spec.Name)
	if err != nil {
		return err
	}
	if before := h.machines[spec.Name]; before != nil {
		err = before.close()
	}
	h.machines[spec.Name] = m
	return err
}

// reserve takes the name of a machine for a boot, which ends with boots.Done.
func (h *host) reserve(name string) ([]NIC, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	nics, announced := h.announced[name]
	before := h.machines[name]
	switch {
	case h.closing:
		return nil, errEnding
	case !announced:
		return nil, fmt.Errorf("machine %q was not announced", name)
	case h.starting[name], before != nil && !before.ended():
		return nil, fmt.Errorf("machine %q is running", name)
	}
	h.starting[name] = true
	h.boots.Add(1)
	return nics, nil
}

// machine finds a machine that was started.
func (h *host) machine(name string) (*machine, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.machines[name]
	if m == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoMachine, name)
	}
	return m, nil
}

func (h *host) info() Info {
	h.mu.Lock()
	defer h.mu.Unlock()
	info := Info{PID: os.Getpid(), Spec: h.spec, KeptUntil: h.keptUntil, Machines: make(map[string][]NIC)}
	for _, n := range h.networks {
		info.Networks = append(info.Networks, n.info)
	}
	for name, m := range h.machines {
		if !m.ended() {
			info.Machines[name] = m.nics
		}
	}
	return info
}

// impair applies an impairment to all networks.
func (h *host) impair(i platforms.Impairment) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, group := range i.Groups {
		for _, name := range group {
			if _, ok := h.announced[name]; !ok {
				errs = append(errs, fmt.Errorf("%w: %q", ErrNoMachine, name))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, n := range h.networks {
		errs = append(errs, n.impair(i))
	}
	return errors.Join(errs...)
}

// teardown ends all that the host runs and removes its files. What could not be removed is an
// error. Only the control server is left, so that it can answer.
func (h *host) teardown() error {
	h.teardownOnce.Do(func() { h.teardownErr = h.tearDown() })
	return h.teardownErr
}

func (h *host) tearDown() error {
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	h.stopBoots()
	h.boots.Wait()
	h.mu.Lock()
	machines, listeners := h.machines, h.listeners
	h.listeners = nil
	h.mu.Unlock()

	var errs []error
	for _, l := range listeners {
		errs = append(errs, ignoreClosed(l.Close()))
	}
	for _, m := range machines {
		m.kill()
	}
	for _, m := range machines {
		<-m.gone
		errs = append(errs, m.close())
	}
	for _, n := range h.networks {
		errs = append(errs, n.close())
	}
	h.cancel()
	errs = append(errs, h.spawner.close(), removeDir(h.spec))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cluster host: tear down: %w", err)
	}
	return nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
