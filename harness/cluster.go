package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"seatrial/harness/event"
	"seatrial/platforms"
)

// cluster is an attempt's platforms.Cluster with what the harness keeps about
// its machines.
type cluster struct {
	a *attempt
	c platforms.Cluster

	mu        sync.Mutex
	guests    []*guest // by number; nil until the machine runs
	listeners []net.Listener
	handlers  map[uint16]*switchable // by the port at which a fixture is served
	impaired  bool                   // at some time: from then on each test function begins by healing it
}

// live lists the machines that run, in the order in which they were asked for.
func (c *cluster) live() []*guest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.guests), func(g *guest) bool { return g == nil })
}

// number makes room for n further machines and returns the number of the
// first.
func (c *cluster) number(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.guests = append(c.guests, make([]*guest, n)...)
	return len(c.guests) - n
}

// bootAll starts the machines that the test needs, all at once.
func (c *cluster) bootAll(ctx context.Context) error {
	n := c.a.job.Test.Needs.MachineCount()
	first := c.number(n)
	group, ctx := errgroup.WithContext(ctx)
	for i := range n {
		group.Go(func() error {
			_, err := c.start(ctx, platforms.MachineSpec{}, first+i)
			return err
		})
	}
	return group.Wait()
}

// boot starts a further machine.
func (c *cluster) boot(ctx context.Context, spec platforms.MachineSpec) (*guest, error) {
	return c.start(ctx, spec, c.number(1))
}

// start boots machine i and returns when its system is up.
func (c *cluster) start(ctx context.Context, spec platforms.MachineSpec, i int) (*guest, error) {
	spec = c.a.fill(spec, i)
	g := newGuest(c.a, spec.Name)
	spec.Console = g.console
	spec.Progress = func(state string) { c.a.booting(spec.Name, state) }
	c.a.booting(spec.Name, "")
	began := time.Now()
	budget := c.a.bootBudget()
	spec, noTemplate := c.a.template(ctx, spec, budget)
	bootCtx, cancel := context.WithTimeoutCause(ctx, budget, errBootBudget)
	defer cancel()
	m, err := c.c.Boot(bootCtx, spec)
	if err != nil {
		c.a.emit(&event.MachineGone{Cell: c.a.job.Cell, N: c.a.n, Machine: spec.Name, Reason: clip(err.Error())})
		return nil, fmt.Errorf("after %s of at most %s: %w", time.Since(began).Round(time.Second), budget.Round(time.Second), err)
	}
	if err := g.attach(ctx, m, began); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.guests[i] = g
	c.mu.Unlock()
	if err := g.settle(bootCtx); err != nil {
		return nil, err
	}
	ready := &event.MachineReady{Cell: c.a.job.Cell, N: c.a.n, Machine: spec.Name, Seconds: time.Since(began).Seconds()}
	if how := c.a.noteStart(ready, m, noTemplate); how != platforms.StartFork {
		g.unprepared = spec.Prepare
	}
	for _, addr := range m.Addresses() {
		ready.Addresses = append(ready.Addresses, addr.String())
	}
	facts, slowness, err := c.a.target.know(bootCtx, g)
	if err != nil {
		return nil, err
	}
	ready.Slowness, ready.OSRelease = slowness, facts.OSRelease
	c.a.emit(ready)
	return g, nil
}

// errBootBudget is the cause for which a boot is given up.
var errBootBudget = errors.New("boot took too long")

func (c *cluster) listen(ctx context.Context, port uint16) (net.Listener, error) {
	l, ok := c.c.(platforms.Listener)
	if !ok {
		return nil, fmt.Errorf("serve a fixture: %w", platforms.ErrUnsupported)
	}
	addr := net.JoinHostPort(l.FixtureAddress().String(), strconv.Itoa(int(port)))
	ln, err := l.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve a fixture at %s: %w", addr, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners = append(c.listeners, ln)
	return ln, nil
}

func (c *cluster) fixtureAddress() (netip.Addr, error) {
	l, ok := c.c.(platforms.Listener)
	if !ok {
		return netip.Addr{}, fmt.Errorf("fixture address: %w", platforms.ErrUnsupported)
	}
	return l.FixtureAddress(), nil
}

func (c *cluster) impair(ctx context.Context, i platforms.Impairment) error {
	im, ok := c.c.(platforms.Impairer)
	if !ok {
		return fmt.Errorf("impair the network: %w", platforms.ErrUnsupported)
	}
	c.mu.Lock()
	c.impaired = true
	c.mu.Unlock()
	return im.Impair(ctx, i)
}

// heal takes back what a test function that has ended did to the network.
func (c *cluster) heal(ctx context.Context) error {
	c.mu.Lock()
	impaired := c.impaired
	c.mu.Unlock()
	if !impaired {
		return nil
	}
	return c.impair(ctx, platforms.Impairment{})
}

// collect saves what the machines have to say before they go.
func (c *cluster) collect(ctx context.Context) {
	var wg sync.WaitGroup
	for _, g := range c.live() {
		wg.Go(func() { g.finish(ctx) })
	}
	wg.Wait()
}

// destroy removes the cluster; what is left behind is reported.
func (c *cluster) destroy(ctx context.Context) {
	c.mu.Lock()
	listeners := c.listeners
	c.listeners = nil
	c.mu.Unlock()
	for _, l := range listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			c.a.log.Warn("close fixture listener", "err", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyBudget)
	defer cancel()
	if err := c.c.Destroy(ctx); err != nil {
		c.a.emit(&event.CleanupFailed{
			Platform: c.a.job.Cell.Platform,
			Resource: "cluster of " + c.a.job.Cell.Test,
			Message:  clip(err.Error()),
		})
		c.leave()
		return
	}
	for _, g := range c.live() {
		g.wait()
	}
}

// leave lets the machines outlive the attempt, unwatched.
func (c *cluster) leave() {
	for _, g := range c.live() {
		g.leave()
	}
}

// destroyBudget bounds the removal of a cluster. It is generous: what is not
// removed in time is reported as left behind.
const destroyBudget = 2 * time.Minute

// machineDir is where a machine's files are.
func (a *attempt) machineDir(name string) string { return filepath.Join(a.dir, name) }
