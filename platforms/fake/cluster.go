package fake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"time"

	"seatrial/platforms"
)

// Cluster is a cluster of machines in memory.
type Cluster struct {
	platform *Platform
	spec     platforms.ClusterSpec
	networks []platforms.NetworkSpec // with all prefixes set

	mu         sync.Mutex
	machines   map[string]*Machine // of all names in use, also of those that are booting
	made       int                 // machines so far, which number the addresses
	listeners  map[netip.AddrPort]*listener
	impairment platforms.Impairment
	kept       bool
	destroyed  bool
}

var (
	_ platforms.Cluster  = (*Cluster)(nil)
	_ platforms.Listener = (*Cluster)(nil)
	_ platforms.Impairer = (*Cluster)(nil)
	_ platforms.Keeper   = (*Cluster)(nil)
)

func newCluster(p *Platform, spec platforms.ClusterSpec) *Cluster {
	c := &Cluster{
		platform: p, spec: spec, machines: make(map[string]*Machine), listeners: make(map[netip.AddrPort]*listener),
	}
	c.networks = slices.Clone(spec.Networks)
	if len(c.networks) == 0 {
		c.networks = []platforms.NetworkSpec{{Name: "net0"}}
	}
	for i := range c.networks {
		n := &c.networks[i]
		if !n.IPv4.IsValid() {
			n.IPv4 = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(i), 0}), 24)
		}
		if !n.IPv6.IsValid() {
			n.IPv6 = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 0x77, 7: byte(i)}), 64)
		}
	}
	return c
}

// Boot implements [platforms.Cluster]. The end of ctx by its deadline means
// that the guest did not come up in time.
func (c *Cluster) Boot(ctx context.Context, spec platforms.MachineSpec) (platforms.Machine, error) {
	m, err := c.boot(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("boot %s: %w", spec.Name, err)
	}
	return m, nil
}

func (c *Cluster) boot(ctx context.Context, spec platforms.MachineSpec) (*Machine, error) {
	if err := c.platform.checkMachine(spec); err != nil {
		return nil, err
	}
	if spec.Progress == nil {
		spec.Progress = func(string) {}
	}
	m, err := c.reserve(spec)
	if err != nil {
		return nil, err
	}
	if err := m.bring(ctx); err != nil {
		c.mu.Lock()
		delete(c.machines, spec.Name)
		c.mu.Unlock()
		m.end(nil)
		return nil, errors.Join(err, m.saved())
	}
	return m, nil
}

// hostName is a label of RFC 1123, in lower case.
var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// checkMachine refuses what the platform cannot do, and specs that are none.
func (p *Platform) checkMachine(spec platforms.MachineSpec) error {
	if !hostName.MatchString(spec.Name) {
		return errors.New("the name is not a host name")
	}
	var need []platforms.Capability
	add := func(c platforms.Capability, when bool) {
		if when {
			need = append(need, c)
		}
	}
	add(platforms.UserDataCap, len(spec.UserData) > 0)
	add(platforms.FirstBoot, spec.Cold)
	add(platforms.ExtraDisks, len(spec.Disks) > 0)
	add(platforms.GrowDisk, spec.GrowDiskMiB > 0)
	add(platforms.TPM2, spec.TPM)
	switch spec.Firmware {
	case "":
	case platforms.BIOS:
		add(platforms.FirmwareBIOS, true)
	case platforms.UEFI:
		add(platforms.FirmwareUEFI, true)
	default:
		add(platforms.FirmwareSecure, true)
	}
	if missing := p.caps.Has.Missing(need...); len(missing) > 0 {
		return fmt.Errorf("%s: %w", missing[0], platforms.ErrUnsupported)
	}
	return nil
}

// firstHost is the number of a network's first machine; the harness is number 1.
const firstHost = 10

// reserve makes the machine of a spec, which takes its name and addresses.
func (c *Cluster) reserve(spec platforms.MachineSpec) (*Machine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.destroyed {
		return nil, errors.New("the cluster is destroyed")
	}
	if c.machines[spec.Name] != nil {
		return nil, errors.New("the cluster has a machine of that name")
	}
	if len(c.machines) > 0 && !c.platform.caps.Has[platforms.MultiMachine] {
		return nil, fmt.Errorf("%s: %w", platforms.MultiMachine, platforms.ErrUnsupported)
	}
	names := spec.Networks
	if len(names) == 0 {
		names = []string{c.networks[0].Name}
	}
	var addrs []netip.Addr
	for _, name := range names {
		i := slices.IndexFunc(c.networks, func(n platforms.NetworkSpec) bool { return n.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("the cluster has no network %q", name)
		}
		n := firstHost + c.made
		addrs = append(addrs, nth(c.networks[i].IPv4, n), nth(c.networks[i].IPv6, n))
	}
	m := newMachine(c, spec, addrs)
	c.made++
	c.machines[spec.Name] = m
	return m, nil
}

// nth is the address with number n, which is below 65536, in a prefix.
func nth(p netip.Prefix, n int) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	b[len(b)-2] |= byte(n >> 8)
	b[len(b)-1] |= byte(n)
	addr, _ := netip.AddrFromSlice(b) // the length is that of an address
	return addr
}

// Destroy implements [platforms.Cluster].
func (c *Cluster) Destroy(context.Context) error {
	c.mu.Lock()
	again := c.destroyed
	c.destroyed = true
	c.mu.Unlock()
	if again {
		return nil
	}
	err := error(nil)
	if c.platform.options.Destroy != nil {
		err = c.platform.options.Destroy(c.spec)
	}
	if err == nil {
		err = c.remove()
		c.platform.forget(c)
	}
	if err != nil {
		return fmt.Errorf("destroy cluster %s: %w", c.spec.Name, err)
	}
	return nil
}

// remove ends the cluster's machines and listeners.
func (c *Cluster) remove() error {
	c.mu.Lock()
	c.destroyed = true // by the end of the platform, perhaps
	machines := slices.Collect(maps.Values(c.machines))
	listeners := slices.Collect(maps.Values(c.listeners))
	c.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close() // closed by its owner, perhaps
	}
	var errs []error
	for _, m := range machines {
		m.end(nil)
		errs = append(errs, m.saved())
	}
	return errors.Join(errs...)
}

// Keep implements [platforms.Keeper]. Machines in memory cannot outlive the
// program; they stay until the platform is closed.
func (c *Cluster) Keep(ctx context.Context, _ time.Duration) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.destroyed {
		return "", errors.New("keep: the cluster is destroyed")
	}
	c.kept = true
	return c.spec.Name, context.Cause(ctx)
}

// mayStay says whether the cluster may outlive its last user.
func (c *Cluster) mayStay() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept || c.destroyed
}
