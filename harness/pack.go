package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"seatrial/harness/event"
	"seatrial/internal/schedule"
	"seatrial/platforms"
)

// packSize is how many tests share a machine where the budget does not say how
// many machines there may be.
const packSize = 8

// packs makes tasks of the jobs that can share machines, and returns the
// others.
func (r *runner) packs(jobs []Job) []Job {
	groups := map[string][]Job{}
	var keys []string
	var alone []Job
	for _, j := range jobs {
		if !j.Test.NonExclusive || j.Skip != "" {
			alone = append(alone, j)
			continue
		}
		key := packKey(j)
		if groups[key] == nil {
			keys = append(keys, key)
		}
		groups[key] = append(groups[key], j)
	}
	for _, key := range keys {
		group := groups[key]
		if len(group) == 1 {
			alone = append(alone, group...)
			continue
		}
		for _, members := range r.split(group) {
			r.put(members[0], r.opts.Start, task{run: func(ctx context.Context, lease *schedule.Lease) { r.pack(ctx, members, lease) }})
		}
	}
	return alone
}

// packKey is the same for jobs that can share a machine.
func packKey(j Job) string {
	needs := j.Test.Needs
	needs.Image, needs.Archs, needs.Why = nil, nil, ""
	return fmt.Sprintf("%p %q %+v", j.platform, needs.Spec.UserData, needs)
}

// split deals jobs out to as many machines as fit beside each other. On each,
// they run in alphabetical order, so that the order can be had again.
func (r *runner) split(group []Job) [][]Job {
	kind, _ := r.kind(group[0], r.opts.Start)
	n := r.opts.Budget.Room(kind.cost, kind.share)
	if n == 0 {
		n = (len(group) + packSize - 1) / packSize
	}
	n = min(n, len(group)/2)
	group = slices.SortedFunc(slices.Values(group), func(a, b Job) int { return strings.Compare(a.Cell.Test, b.Cell.Test) })
	dealt := make([][]Job, n)
	for i, j := range group {
		dealt[i%n] = append(dealt[i%n], j)
	}
	return dealt
}

// pack runs jobs one after the other on one machine. What does not pass there
// says little: it is run again alone, to find out whether the test is to blame.
func (r *runner) pack(ctx context.Context, jobs []Job, lease *schedule.Lease) {
	p := &pack{Platform: jobs[0].platform}
	for _, j := range jobs {
		if r.draining(ctx) {
			break
		}
		c := r.newCell(j)
		if r.skipped(c) {
			continue
		}
		out := r.attempt(ctx, c, nil, how{start: r.opts.Start, pack: p})
		switch {
		case out.Outcome == event.Pass || out.Outcome == event.Skip:
			r.conclude(ctx, c, out)
		case isInterrupted(context.Cause(ctx)): // the cell stays unfinished
		default:
			c.pack = p.members()
			r.put(j, r.opts.Start, task{run: func(ctx context.Context, lease *schedule.Lease) { r.job(ctx, c, lease) }})
		}
		if out.Outcome == event.Error || out.Outcome == event.Fail && out.Class != event.Assertion {
			r.dissolve(ctx, p)
		}
	}
	lease.Rest()
	r.dissolve(ctx, p)
}

// dissolve removes a pack's machine. What runs next gets another one.
func (r *runner) dissolve(ctx context.Context, p *pack) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyBudget)
	defer cancel()
	members := p.members()
	if err := p.dissolve(ctx); err != nil {
		r.emit(&event.CleanupFailed{
			Platform: members[0].Cell.Platform, Resource: "cluster of " + strings.Join(testNames(members), ", "), Message: clip(err.Error()),
		})
	}
}

func testNames(jobs []Job) []string {
	var names []string
	for _, j := range jobs {
		names = append(names, j.Cell.Test)
	}
	return names
}

// pack stands for a platform whose clusters all have the same machine. Its
// methods are called by one attempt after the other.
type pack struct {
	platforms.Platform
	cluster platforms.Cluster // nil until there is one
	machine platforms.Machine // nil until it is booted
	console relay
	jobs    []Job // that were run on the machine
}

// with adds a job to those that were run on the machine, and returns them.
func (p *pack) with(j Job) []Job {
	p.jobs = append(p.jobs, j)
	return p.members()
}

func (p *pack) members() []Job { return slices.Clone(p.jobs) }

// dissolve removes the machine.
func (p *pack) dissolve(ctx context.Context) error {
	c := p.cluster
	p.cluster, p.machine, p.jobs = nil, nil, nil
	if c == nil {
		return nil
	}
	return c.Destroy(ctx)
}

// NewCluster implements [platforms.Platform].
func (p *pack) NewCluster(ctx context.Context, spec platforms.ClusterSpec) (platforms.Cluster, error) {
	if p.cluster == nil {
		c, err := p.Platform.NewCluster(ctx, spec)
		if err != nil {
			return nil, err
		}
		p.cluster = c
	}
	left, leave := context.WithCancel(context.Background())
	return &packCluster{pack: p, spec: spec, left: left, leave: leave}, nil
}

// packCluster is the cluster of one test of a pack.
type packCluster struct {
	pack  *pack
	spec  platforms.ClusterSpec
	left  context.Context // ends with the test
	leave context.CancelFunc
}

// Boot implements [platforms.Cluster]. The first one boots the machine.
func (c *packCluster) Boot(ctx context.Context, spec platforms.MachineSpec) (platforms.Machine, error) {
	if c.pack.machine != nil {
		console, err := c.keepConsole(spec)
		if err != nil {
			return nil, fmt.Errorf("keep the console: %w", err)
		}
		c.pack.console.connect(console)
		return &packMachine{Machine: c.pack.machine, left: c.left}, nil
	}
	if spec.Console != nil {
		c.pack.console.connect(spec.Console)
		spec.Console = &c.pack.console
	}
	m, err := c.pack.cluster.Boot(ctx, spec)
	if err != nil {
		return nil, err
	}
	c.pack.machine = m
	return &packMachine{Machine: m, left: c.left}, nil
}

// keepConsole returns where a console goes while a later test runs: to the test,
// and into its own console.txt. That of the first test has all of it.
func (c *packCluster) keepConsole(spec platforms.MachineSpec) (io.Writer, error) {
	dir := filepath.Join(c.spec.Dir, spec.Name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(dir, "console.txt"))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(c.left, func() { file.Close() })
	return io.MultiWriter(file, spec.Console), nil
}

// Destroy implements [platforms.Cluster]: the machine stays for the next test.
func (c *packCluster) Destroy(context.Context) error {
	c.pack.console.connect(nil)
	c.leave()
	return nil
}

// packMachine is the machine of a pack as one test sees it.
type packMachine struct {
	platforms.Machine
	left context.Context
}

// Started implements [platforms.Starter].
func (m *packMachine) Started() (platforms.Start, error) { return started(m.Machine) }

// Wait implements [platforms.Machine]. To the test, the machine ends with it.
func (m *packMachine) Wait(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.left, cancel)()
	err := m.Machine.Wait(ctx)
	if m.left.Err() != nil {
		return nil
	}
	return err
}

// errShared refuses what would disturb the other tests of a pack.
var errShared = errors.New("the machine is shared with other tests; a test that does this is exclusive")

// Reboot implements [platforms.Machine].
func (m *packMachine) Reboot(context.Context) error { return fmt.Errorf("reboot: %w", errShared) }

// PowerOff implements [platforms.Machine].
func (m *packMachine) PowerOff(context.Context) error { return fmt.Errorf("power off: %w", errShared) }

// relay hands what a console prints to the test that runs.
type relay struct {
	mu sync.Mutex
	to io.Writer // nil between tests
}

func (r *relay) connect(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = w
}

func (r *relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.to == nil {
		return len(p), nil
	}
	return r.to.Write(p)
}
