package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"seatrial/internal/clusterhost"
	"seatrial/platforms"
)

// accessFile is in the private directory of a kept cluster's host, and ends with it.
const accessFile = "access.json"

// access is how a kept cluster is entered by a program that did not make it.
type access struct {
	User     string
	Accel    string
	Dir      string            // ClusterSpec.Dir
	Key      string            // private, in PEM; of this cluster only
	HostKeys map[string][]byte // by machine, in SSH's wire format
}

// Keep implements [platforms.Keeper]. The machines get a key of their own, since that of the run
// ends with it.
func (c *Cluster) Keep(ctx context.Context, d time.Duration) (handle string, err error) {
	a, public, err := c.newAccess()
	if err != nil {
		return "", fmt.Errorf("keep cluster %s: %w", c.spec.Name, err)
	}
	c.mu.Lock()
	machines := maps.Clone(c.machines)
	c.mu.Unlock()
	for name, m := range machines {
		if m.isGone() {
			continue
		}
		if err := m.admit(ctx, public); err != nil {
			return "", fmt.Errorf("keep cluster %s: let a new key into %s: %w", c.spec.Name, name, err)
		}
		a.HostKeys[name] = m.hostKey().Marshal()
	}
	data, err := json.Marshal(a)
	if err == nil {
		err = os.WriteFile(filepath.Join(c.client.Dir(), accessFile), data, 0o600)
	}
	if err == nil {
		err = c.client.Keep(ctx, d)
	}
	if err != nil {
		return "", fmt.Errorf("keep cluster %s: %w", c.spec.Name, err)
	}
	return filepath.Base(c.client.Dir()), nil
}

func (c *Cluster) newAccess() (a access, public string, err error) {
	signer, key, err := newClusterKey()
	if err != nil {
		return access{}, "", err
	}
	a = access{
		User: c.login.user, Accel: c.login.accel, Dir: c.spec.Dir,
		Key: string(key), HostKeys: make(map[string][]byte),
	}
	return a, string(ssh.MarshalAuthorizedKey(signer.PublicKey())), nil
}

// admit adds a line to the login user's authorized keys.
func (m *Machine) admit(ctx context.Context, key string) error {
	const line = "umask 077; mkdir -p ~/.ssh && cat >>~/.ssh/authorized_keys"
	r, err := m.Exec(ctx, platforms.Command{Line: line, Stdin: strings.NewReader(key)})
	if err == nil && r.ExitCode != 0 {
		err = fmt.Errorf("exit status %d: %s", r.ExitCode, r.Stderr)
	}
	return err
}

func (m *Machine) hostKey() ssh.PublicKey {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sshConfig.HostKey
}

// ErrNotKept is wrapped by the error of Attach when no kept cluster has the handle.
var ErrNotKept = errors.New("no such cluster, or it has ended")

// Attach returns the kept cluster with a handle that [Cluster.Keep] gave, found below runtimeDir.
// Its machines are entered by [Cluster.Machine]; new ones cannot be booted. Destroy ends it before
// its time.
func Attach(ctx context.Context, runtimeDir, handle string, log *slog.Logger) (*Cluster, error) {
	c, err := attach(ctx, runtimeDir, handle, log)
	if err != nil {
		return nil, fmt.Errorf("attach to cluster %q: %w", handle, err)
	}
	return c, nil
}

func attach(ctx context.Context, runtimeDir, handle string, log *slog.Logger) (*Cluster, error) {
	if handle == "" || handle != filepath.Base(handle) {
		return nil, ErrNotKept
	}
	dir := filepath.Join(runtimeDir, handle)
	data, err := os.ReadFile(filepath.Join(dir, accessFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotKept
	}
	if err != nil {
		return nil, err
	}
	var a access
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, fmt.Errorf("decode %s: %w", accessFile, err)
	}
	key, err := ssh.ParsePrivateKey([]byte(a.Key))
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", accessFile, err)
	}
	client, err := clusterhost.Attach(ctx, dir)
	if errors.Is(err, clusterhost.ErrHostGone) {
		return nil, fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		spec: platforms.ClusterSpec{Name: handle, Dir: a.Dir}, client: client, log: log,
		login: login{user: a.User, key: key, accel: a.Accel},
		names: make(map[string]bool), machines: make(map[string]*Machine),
	}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return c, c.findMachines(ctx, a.HostKeys)
}

// findMachines takes in the machines that a kept cluster still has.
func (c *Cluster) findMachines(ctx context.Context, hostKeys map[string][]byte) error {
	info, err := c.client.Info(ctx)
	if err != nil {
		return err
	}
	for name, nics := range info.Machines {
		wire, ok := hostKeys[name]
		if !ok {
			continue // it was never ready
		}
		key, err := ssh.ParsePublicKey(wire)
		if err != nil {
			return fmt.Errorf("decode %s: %w", accessFile, err)
		}
		l := c.login
		l.hostKey = key
		m := c.newMachine(name, nics, l)
		c.machines[name] = m
	}
	return nil
}

// Machines lists the names of the cluster's machines.
func (c *Cluster) Machines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.machines))
}

// Machine returns a machine by name; nil if there is none.
func (c *Cluster) Machine(name string) *Machine {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.machines[name]
}

// Detach lets go of a cluster that was attached to: its machines go on.
func (c *Cluster) Detach() error {
	c.cancel()
	return c.client.Close()
}

// Kept lists the handles of the clusters below runtimeDir that were kept.
func Kept(runtimeDir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(runtimeDir, "*", accessFile))
	if err != nil {
		return nil, fmt.Errorf("list kept clusters: %w", err)
	}
	var handles []string
	for _, f := range files {
		handles = append(handles, filepath.Base(filepath.Dir(f)))
	}
	return handles, nil
}
