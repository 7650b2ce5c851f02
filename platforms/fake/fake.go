// Package fake is a platform in memory: the default one in unit tests.
//
// Its machines are no processes and have no network, and nothing in it sleeps,
// so that thousands of them boot in a second, also under package
// testing/synctest. It is as strict as the strictest real platform, and passes
// package platformtest. A small shell with the programs that the harness and
// that suite use runs the commands; tests script everything else, and every way
// in which a guest goes wrong, by the functions of [Options] and the methods of
// [Machine].
package fake

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"seatrial/platforms"
)

// Options says how a platform behaves. The zero value is a platform on which
// everything goes well.
type Options struct {
	// Capabilities, when not nil, changes what the platform says of itself.
	Capabilities func(*platforms.Capabilities)
	// Image is what the harness's probe finds in the image; OSRelease is the
	// guest's os-release file.
	Image     platforms.Set
	OSRelease map[string]string

	// NoFiles keeps consoles and user data in memory only, for tests that boot
	// thousands of machines.
	NoFiles bool

	// NewCluster, when not nil, is asked before each cluster is made; its
	// error is the platform's.
	NewCluster func(platforms.ClusterSpec) error
	// Boot, when not nil, is called at each boot of a machine, also at those
	// of Machine.Reboot and not when it is forked, after the kernel has spoken and before the first
	// command. Its error is that of the boot. It must end with ctx.
	Boot func(ctx context.Context, m *Machine, spec platforms.MachineSpec) error
	// Template, when not nil, is called when a template is made, on a platform
	// that has the capability Fork; its error is that of making it. Restore is
	// called at each fork; its error makes the machine boot instead. Both must
	// end with ctx.
	Template func(ctx context.Context, spec platforms.MachineSpec) error
	Restore  func(ctx context.Context, m *Machine, spec platforms.MachineSpec) error
	// Exec, when not nil, runs commands instead of Machine.Run, which it can
	// call for those that it does not know. It must end with ctx.
	Exec func(ctx context.Context, m *Machine, cmd platforms.Command) (platforms.Result, error)
	// Destroy, when not nil, is asked before a cluster is removed; its error
	// is the platform's, and the cluster stays as it is.
	Destroy func(platforms.ClusterSpec) error
}

// Platform is a platform in memory.
type Platform struct {
	options Options
	caps    platforms.Capabilities
	// What every guest has.
	files    map[string]*file
	programs map[string]program
	user     expand.Environ // of a shell of the login user
	root     expand.Environ

	mu        sync.Mutex
	templates map[string]*template
	parsed    map[string]*syntax.File // scripts
	clusters  map[string]*Cluster     // that are not destroyed; nil once closed
}

var _ platforms.Platform = (*Platform)(nil)

// New makes a platform.
func New(o Options) *Platform {
	p := &Platform{options: o, clusters: make(map[string]*Cluster), templates: make(map[string]*template), parsed: make(map[string]*syntax.File)}
	p.caps = platforms.Capabilities{
		Platform: "fake", Arch: "amd64", Local: true, MemoryMiB: 512, CPUs: 1,
		Image: platforms.Image{Name: "fake.img", Digest: "sha256:fake"},
		Has: platforms.NewSet(
			platforms.MultiMachine, platforms.ManyNetworks, platforms.UserDataCap, platforms.FirstBoot,
			platforms.ExtraDisks, platforms.GrowDisk, platforms.FirmwareBIOS, platforms.FirmwareUEFI,
			platforms.LiveConsole, platforms.SavedConsole, platforms.RebootCap, platforms.Fixtures, platforms.Impair,
		),
	}
	if o.Capabilities != nil {
		o.Capabilities(&p.caps)
	}
	p.programs = programs()
	p.files = imageFiles(o.OSRelease, p.programs)
	p.user, p.root = environ("core"), environ("root")
	return p
}

// Capabilities implements [platforms.Platform].
func (p *Platform) Capabilities() platforms.Capabilities { return p.caps }

// NewCluster implements [platforms.Platform].
func (p *Platform) NewCluster(ctx context.Context, spec platforms.ClusterSpec) (platforms.Cluster, error) {
	c, err := p.newCluster(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("new cluster %s: %w", spec.Name, err)
	}
	return c, nil
}

func (p *Platform) newCluster(ctx context.Context, spec platforms.ClusterSpec) (*Cluster, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := p.checkCluster(spec); err != nil {
		return nil, err
	}
	if p.options.NewCluster != nil {
		if err := p.options.NewCluster(spec); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.clusters == nil:
		return nil, errors.New("the platform is closed")
	case p.clusters[spec.Name] != nil:
		return nil, errors.New("there is a live cluster of that name")
	}
	c := newCluster(p, spec)
	p.clusters[spec.Name] = c
	return c, nil
}

// checkCluster refuses what the platform cannot do, and specs that are none.
func (p *Platform) checkCluster(spec platforms.ClusterSpec) error {
	var need []platforms.Capability
	if len(spec.Networks) > 1 {
		need = append(need, platforms.ManyNetworks)
	}
	if spec.Internet {
		need = append(need, platforms.InternetAccess)
	}
	if missing := p.caps.Has.Missing(need...); len(missing) > 0 {
		return fmt.Errorf("%s: %w", missing[0], platforms.ErrUnsupported)
	}
	if spec.Name == "" {
		return errors.New("a cluster needs a name")
	}
	if info, err := os.Stat(spec.Dir); err != nil || !info.IsDir() {
		return fmt.Errorf("%q is not an existing directory", spec.Dir)
	}
	return nil
}

// Sweep implements [platforms.Platform]. Nothing outlives the program.
func (p *Platform) Sweep(ctx context.Context, _ platforms.SweepOptions) ([]platforms.Removed, error) {
	return nil, context.Cause(ctx)
}

// Close implements [platforms.Platform]. A cluster that nobody tried to destroy
// and that was not kept is an error.
func (p *Platform) Close() error {
	p.mu.Lock()
	clusters := p.clusters
	p.clusters = nil
	p.mu.Unlock()
	var errs []error
	for name, c := range clusters {
		if !c.mayStay() {
			errs = append(errs, fmt.Errorf("close: cluster %s was not destroyed", name))
		}
		errs = append(errs, c.remove())
	}
	return errors.Join(errs...)
}

// forget takes a destroyed cluster's name off the list.
func (p *Platform) forget(c *Cluster) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clusters[c.spec.Name] == c {
		delete(p.clusters, c.spec.Name)
	}
}
