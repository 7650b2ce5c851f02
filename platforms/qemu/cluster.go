package qemu

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"seatrial/internal/clusterhost"
	"seatrial/internal/sshx"
	"seatrial/platforms"
)

// cleanupTime bounds what is cleaned up after the end of a caller's context.
const cleanupTime = 30 * time.Second

// Cluster is a cluster of machines under QEMU. It implements [platforms.Cluster],
// [platforms.Listener], [platforms.Impairer] and [platforms.Keeper].
type Cluster struct {
	platform *Platform // nil when attached
	spec     platforms.ClusterSpec
	client   *clusterhost.Client
	login    login
	disks    string // directory of the machines' disks
	log      *slog.Logger

	ctx    context.Context // ends with the cluster
	cancel context.CancelFunc

	mu        sync.Mutex
	names     map[string]bool // of all machines, also of those that are booting
	machines  map[string]*Machine
	destroyed bool
}

var (
	_ platforms.Cluster  = (*Cluster)(nil)
	_ platforms.Listener = (*Cluster)(nil)
	_ platforms.Impairer = (*Cluster)(nil)
	_ platforms.Keeper   = (*Cluster)(nil)
)

// login is how the machines of a cluster are entered.
type login struct {
	user    string
	key     ssh.Signer
	hostKey ssh.PublicKey // nil as long as it is not known
	accel   string
}

// config is how machines are logged in to. An emulated guest on a busy host takes its time.
func (l login) config() sshx.Config {
	cfg := sshx.Config{User: l.user, Signers: []ssh.Signer{l.key}, HostKey: l.hostKey, PollInterval: 150 * time.Millisecond}
	if l.accel == AccelTCG {
		cfg.HandshakeTimeout = 90 * time.Second
		cfg.KeepaliveMisses = 12
	}
	return cfg
}

// NewCluster implements [platforms.Platform].
func (p *Platform) NewCluster(ctx context.Context, spec platforms.ClusterSpec) (platforms.Cluster, error) {
	c, err := p.newCluster(ctx, spec, login{user: p.options.User, key: p.options.SSHKey, accel: p.accel})
	if err != nil {
		return nil, fmt.Errorf("new cluster %s: %w", spec.Name, err)
	}
	return c, nil
}

func (p *Platform) newCluster(ctx context.Context, spec platforms.ClusterSpec, l login) (*Cluster, error) {
	disks := filepath.Join(p.options.StateDir, "clusters", strings.ToLower(rand.Text()[:12]))
	dir, err := filepath.Abs(spec.Dir)
	if err != nil {
		return nil, err
	}
	spec.Dir = dir
	client, err := clusterhost.Start(ctx, p.processes, clusterhost.Spec{
		Name:     spec.Name,
		Networks: networks(spec),
		Internet: spec.Internet,
		Seed:     seed(spec.Name),
		Keep:     spec.Keep,
		Owned:    []string{disks},
	})
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		platform: p, spec: spec, client: client, disks: disks, log: p.options.Log,
		login: l,
		names: make(map[string]bool), machines: make(map[string]*Machine),
	}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := os.MkdirAll(disks, 0o700); err != nil {
		return nil, errors.Join(err, c.Destroy(ctx))
	}
	return c, nil
}

// networks are those of a spec, or the one that every cluster has.
func networks(spec platforms.ClusterSpec) []clusterhost.Network {
	specs := spec.Networks
	if len(specs) == 0 {
		specs = []platforms.NetworkSpec{{Name: "net0"}}
	}
	var all []clusterhost.Network
	for _, n := range specs {
		network := clusterhost.Network{Name: n.Name, IPv4: n.IPv4, IPv6: n.IPv6}
		if spec.Capture {
			network.Capture = filepath.Join(spec.Dir, n.Name+".pcap")
		}
		all = append(all, network)
	}
	return all
}

// seed makes the addresses and the network faults of a cluster the same in each run.
func seed(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

// Destroy implements [platforms.Cluster].
func (c *Cluster) Destroy(ctx context.Context) error {
	c.mu.Lock()
	again := c.destroyed
	c.destroyed = true
	machines := c.machines
	c.mu.Unlock()
	if again {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	for _, m := range machines {
		m.stopping.Store(true)
	}
	err := c.client.Destroy(ctx)
	for _, m := range machines {
		err = errors.Join(err, m.release(ctx))
	}
	c.cancel()
	return err
}

// FixtureAddress implements [platforms.Listener]: the gateway of the first network.
func (c *Cluster) FixtureAddress() netip.Addr {
	n := c.client.Networks()[0]
	if n.GatewayIPv4.IsValid() {
		return n.GatewayIPv4
	}
	return n.GatewayIPv6
}

// Listen implements [platforms.Listener]. The address may also be another one that no machine
// has, such as 169.254.169.254.
func (c *Cluster) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if network != "tcp" {
		return nil, fmt.Errorf("listen on %s: %w", network, platforms.ErrUnsupported)
	}
	return c.client.Listen(ctx, network, address)
}

// Impair implements [platforms.Impairer].
func (c *Cluster) Impair(ctx context.Context, i platforms.Impairment) error {
	return c.client.Impair(ctx, i)
}
