package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"seatrial/internal/clusterhost"
	"seatrial/internal/sshx"
	"seatrial/platforms"
)

// Boot implements [platforms.Cluster]. The end of ctx by its deadline means that the guest did not
// come up in time.
func (c *Cluster) Boot(ctx context.Context, spec platforms.MachineSpec) (platforms.Machine, error) {
	m, err := c.boot(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("boot %s: %w", spec.Name, err)
	}
	return m, nil
}

func (c *Cluster) boot(ctx context.Context, spec platforms.MachineSpec) (*Machine, error) {
	if c.platform == nil {
		return nil, fmt.Errorf("a kept cluster gets no new machines: %w", platforms.ErrUnsupported)
	}
	if err := c.platform.check(spec); err != nil {
		return nil, err
	}
	if err := c.reserve(spec.Name); err != nil {
		return nil, err
	}
	progress := spec.Progress
	if progress == nil {
		progress = func(string) {}
	}
	m, fallback := c.fork(ctx, spec, progress)
	if m == nil {
		var err error
		if ctx.Err() != nil && fallback != nil {
			err = inTime(ctx, spec.Name, fallback)
		} else if m, err = c.bootCold(ctx, spec, progress); err == nil {
			m.fallback = fallback
		}
		if err != nil {
			c.forget(spec.Name)
			return nil, err
		}
	}
	c.mu.Lock()
	c.machines[spec.Name] = m
	c.mu.Unlock()
	progress("ready")
	return m, nil
}

// inTime explains that ctx ended before there was a template: one that did not boot in time is the
// guest's fault, as the machine itself would have been.
func inTime(ctx context.Context, name string, err error) error {
	if guest, ok := errors.AsType[*platforms.GuestError](err); ok {
		return &platforms.GuestError{Machine: name, Op: guest.Op, Err: guest.Err}
	}
	return orCause(ctx, err)
}

// bootCold boots a machine through its firmware. After an error, nothing of it is left.
func (c *Cluster) bootCold(ctx context.Context, spec platforms.MachineSpec, progress func(string)) (*Machine, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	progress("preparing disks")
	from := source{dir: filepath.Join(c.disks, spec.Name)}
	m, err := c.start(ctx, spec, c.login, from, nil)
	if err != nil {
		return nil, errors.Join(orCause(ctx, err), os.RemoveAll(from.dir))
	}
	progress("booting")
	if err := m.awaitSSH(ctx, progress); err != nil {
		return nil, errors.Join(err, m.discard(ctx))
	}
	return m, nil
}

// reserve takes a machine's name.
func (c *Cluster) reserve(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.destroyed {
		return errors.New("the cluster is destroyed")
	}
	if c.names[name] {
		return fmt.Errorf("the cluster has a machine %q", name)
	}
	c.names[name] = true
	return nil
}

func (c *Cluster) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.names, name)
}

// start starts the machine's processes. Its interfaces are like others, if these are given.
func (c *Cluster) start(ctx context.Context, spec platforms.MachineSpec, l login, from source, like []clusterhost.NIC) (*Machine, error) {
	nics, err := c.client.Announce(ctx, spec.Name, spec.Networks, like)
	if err != nil {
		return nil, err
	}
	machine, err := c.prepare(ctx, spec, nics, from)
	if err != nil {
		return nil, err
	}
	if err := c.client.Boot(ctx, machine); err != nil {
		return nil, err
	}
	m := c.newMachine(spec.Name, nics, l)
	if spec.Console == nil {
		return m, nil
	}
	console, err := c.client.Console(ctx, spec.Name)
	if err != nil {
		return nil, errors.Join(err, m.discard(ctx))
	}
	m.tasks.Go(func() {
		defer console.Close()
		_, err := io.Copy(spec.Console, console)
		if err != nil {
			c.log.Warn("console is no longer followed", "machine", m.id, "err", err)
		}
	})
	return m, nil
}

// newMachine makes the machine of running processes, and watches these.
func (c *Cluster) newMachine(name string, nics []clusterhost.NIC, l login) *Machine {
	m := &Machine{
		id: name, cluster: c, nics: nics, gone: make(chan struct{}),
		sshConfig: l.config(),
	}
	m.ctx, m.cancel = context.WithCancelCause(c.ctx)
	m.tasks.Go(func() {
		m.ended = m.judge(c.client.Wait(c.ctx, name))
		close(m.gone)
		m.cancel(m.goneError())
	})
	return m
}

// orCause is err, or why ctx ended, if that is what it comes of.
func orCause(ctx context.Context, err error) error {
	if ctx.Err() == nil || errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), err)
}

// awaitSSH waits until a command can be run.
func (m *Machine) awaitSSH(ctx context.Context, progress func(string)) error {
	waiting, stop := m.until(ctx)
	defer stop()
	client, err := sshx.WaitReady(waiting, m.dialSSH, m.sshConfig, progress)
	if err != nil {
		return m.verdict(ctx, "boot", err)
	}
	m.sshConfig.HostKey = client.HostKey() // from now on, no other will do
	m.ssh = client
	return nil
}

// until returns a context that ends with ctx or the machine.
func (m *Machine) until(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(m.ctx, func() { cancel(context.Cause(m.ctx)) })
	return ctx, func() {
		unhook()
		cancel(nil)
	}
}

// verdict says whose fault it is that the guest did not do what it was waited for.
func (m *Machine) verdict(ctx context.Context, op string, err error) error {
	_, wrongKey := errors.AsType[*sshx.HostKeyError](err)
	switch {
	case m.isGone():
		if guest, ok := errors.AsType[*platforms.GuestError](m.ended); ok {
			return &platforms.GuestError{Machine: m.id, Op: op, Err: guest.Err}
		}
		return m.goneError()
	case wrongKey, errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &platforms.GuestError{Machine: m.id, Op: op, Err: err}
	default:
		return orCause(ctx, err)
	}
}

// discard ends a machine that was never ready, and removes its disks.
func (m *Machine) discard(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	m.stopping.Store(true)
	return errors.Join(
		m.cluster.client.Kill(ctx, m.id),
		m.release(ctx),
		os.RemoveAll(filepath.Join(m.cluster.disks, m.id)),
	)
}
