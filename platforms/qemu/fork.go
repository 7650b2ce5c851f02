package qemu

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kballard/go-shellquote"
	"golang.org/x/crypto/ssh"

	"seatrial/internal/agent"
	"seatrial/internal/clusterhost"
	"seatrial/internal/template"
	"seatrial/platforms"
)

const (
	// restoreTime is what a fork gets to answer: 0.3 s on an idle machine.
	restoreTime = time.Minute
	// seedSize is how much entropy a fork gets, in bytes: as much as the kernel's generator holds.
	seedSize = 32
	// addressPoll is how often the agent is asked whether addresses are there.
	addressPoll = 20 * time.Millisecond
	// renumberTime is how long a guest may take to have new addresses before it is told to.
	renumberTime = 5 * time.Second
	// watchInterval and watchPatience are how a guest that hangs is noticed; the patience is that of
	// the connection over SSH.
	watchInterval = 5 * time.Second
)

// fork makes a machine as a fork of its template, which it makes if it is missing. Without one, the
// error says why a machine is not forked that should be; nil means that it is meant to start cold.
func (c *Cluster) fork(ctx context.Context, spec platforms.MachineSpec, progress func(string)) (*Machine, error) {
	key, err := c.platform.templateKeyOf(spec)
	if errors.Is(err, platforms.ErrUnsupported) {
		return nil, nil
	}
	var facts templateFacts
	var lease *template.Lease
	if err == nil {
		err = c.platform.usable(key)
	}
	if err == nil {
		lease, err = c.platform.templates().Use(ctx, key, &facts)
	}
	if errors.Is(err, template.ErrNone) {
		progress("making a template")
		if err = c.platform.makeTemplate(ctx, key, spec); err == nil {
			lease, err = c.platform.templates().Use(ctx, key, &facts)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("no template: %w", err)
	}
	defer lease.Close()
	if c.platform.sabotage != nil {
		if err := c.platform.sabotage(lease.Dir); err != nil {
			return nil, err
		}
	}
	progress("restoring")
	m, err := c.restore(ctx, spec, lease.Dir, &facts)
	if ctx.Err() == nil {
		c.platform.restored(key, err)
	}
	if err != nil {
		// What the template printed is not what the machine will have printed.
		return nil, errors.Join(fmt.Errorf("restore: %w", err), os.Remove(filepath.Join(c.spec.Dir, spec.Name, consoleFile)))
	}
	m.forked = true
	return m, nil
}

// maxFaults is how often in a row restores may fail before a template is not used any more.
const maxFaults = 3

// restored takes down how a restore went.
func (p *Platform) restored(key string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.faults[key] = 0
		return
	}
	if p.faults[key]++; p.faults[key] == maxFaults {
		p.failed[key] = fmt.Errorf("%d restores failed; the last one: %w", maxFaults, err)
	}
}

// usable reports why a template of a key is not worth a try.
func (p *Platform) usable(key string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed[key]
}

// restore starts a machine from a template and makes it one of its own. After an error, nothing of
// it is left.
func (c *Cluster) restore(ctx context.Context, spec platforms.MachineSpec, dir string, facts *templateFacts) (*Machine, error) {
	l, err := templateLogin(dir, facts, c.login)
	if err != nil {
		return nil, err
	}
	from := source{dir: filepath.Join(c.disks, spec.Name), ram: filepath.Join(dir, ramFile), template: dir}
	if _, err := os.Stat(from.ram); err != nil {
		return nil, err // QEMU would make one, of zeros
	}
	if err := copyFile(filepath.Join(dir, consoleFile), filepath.Join(c.spec.Dir, spec.Name, consoleFile)); err != nil {
		return nil, err
	}
	m, err := c.start(ctx, spec, l, from, facts.NICs)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(from.dir))
	}
	waiting, stop := m.until(ctx)
	defer stop()
	waiting, cancel := context.WithTimeoutCause(waiting, restoreTime, fmt.Errorf("no answer within %v", restoreTime))
	defer cancel()
	if err := m.wake(waiting, filepath.Join(dir, stateFile), spec.Name, facts); err != nil {
		return nil, errors.Join(err, m.discard(ctx))
	}
	return m, nil
}

// templateLogin is how the forks of a template are entered.
func templateLogin(dir string, facts *templateFacts, l login) (login, error) {
	data, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err == nil {
		l.key, err = ssh.ParsePrivateKey(data)
	}
	if err == nil {
		l.hostKey, err = ssh.ParsePublicKey(facts.HostKey)
	}
	return l, err
}

// wake restores the state and gives the machine what must be its own, over the agent that waits in
// it.
func (m *Machine) wake(ctx context.Context, state, name string, facts *templateFacts) error {
	moved := m.moved(facts)
	if err := m.load(ctx, state, moved); err != nil {
		return err
	}
	conn, err := m.cluster.client.Channel(ctx, m.id)
	if err != nil {
		return err
	}
	m.agent, m.agentLogin = agent.New(conn), facts.Login
	steps := []agent.Step{agent.SetClock(), agent.WriteFile("/proc/sys/kernel/hostname", name)}
	if !m.cluster.platform.noReseed {
		seed := make([]byte, seedSize)
		if _, err := rand.Read(seed); err != nil {
			return err
		}
		steps = append(steps, agent.Seed(seed))
	}
	nonce, answered, err := m.agent.Do(ctx, steps...)
	if answered && nonce != facts.Nonce {
		err = errors.Join(errors.New("it is not the guest that was saved"), err)
	}
	if err != nil {
		return err
	}
	m.tasks.Go(func() { m.agent.Watch(m.ctx, watchInterval, m.patience()) })
	return m.renumber(ctx, moved, facts)
}

// moved lists the interfaces whose addresses are not those that the guest knows. In each cluster
// one machine, at least, can have those of the template.
func (m *Machine) moved(facts *templateFacts) []int {
	var moved []int
	for i, n := range m.nics {
		if known := facts.NICs[i]; n.MAC != known.MAC || n.IPv4 != known.IPv4 || n.IPv6 != known.IPv6 {
			moved = append(moved, i)
		}
	}
	return moved
}

// load restores the state. The machine runs at once, unless interfaces are to be moved: those must
// be off the network before it does.
func (m *Machine) load(ctx context.Context, state string, moved []int) error {
	if len(moved) > 0 {
		if err := m.QMP(ctx, "stop", nil, nil); err != nil {
			return err
		}
	}
	if err := m.ignoreShared(ctx); err != nil {
		return err
	}
	uri := "exec:cat " + shellquote.Join(state)
	if err := m.QMP(ctx, "migrate-incoming", map[string]any{"uri": uri}, nil); err != nil || len(moved) == 0 {
		return err
	}
	if err := m.awaitMigration(ctx); err != nil {
		return err
	}
	if err := m.setLinks(ctx, moved, false); err != nil {
		return err
	}
	return m.QMP(ctx, "cont", nil, nil)
}

func (m *Machine) setLinks(ctx context.Context, nics []int, up bool) error {
	for _, i := range nics {
		if err := m.QMP(ctx, "set_link", map[string]any{"name": m.nics[i].ID, "up": up}, nil); err != nil {
			return err
		}
	}
	return nil
}

// renumberScript has what configures the network in the guest do so anew: networkd, NetworkManager,
// or nobody whom it could ask. Its arguments are interfaces with their addresses, as "eth0=192.0.2.1/24".
const renumberScript = `for a; do i=${a%%=*}
if [ -e /run/systemd/netif/state ]; then networkctl reconfigure "$i"
elif [ -d /run/NetworkManager ]; then nmcli device disconnect "$i"; nmcli device connect "$i"
else gateway=$(ip -4 route show default dev "$i"); ip -4 address flush dev "$i"
ip address add "${a#*=}" dev "$i"; [ -z "$gateway" ] || ip route add $gateway dev "$i"; fi; done`

// acceptDAD has an interface look whether others have its new IPv6 addresses, or not. That takes
// seconds, and in a cluster addresses are given out once.
func acceptDAD(name, value string) agent.Step {
	return agent.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_dad", value)
}

// renumber connects interfaces that were moved and waits until the guest has their addresses. Most
// guests ask for them when a link is back; who does not is told to.
func (m *Machine) renumber(ctx context.Context, moved []int, facts *templateFacts) error {
	if len(moved) == 0 {
		return nil
	}
	argv := []string{"sh", "-c", renumberScript, "sh"}
	var changed, wanted, restored []agent.Step
	for _, i := range moved {
		n, name := m.nics[i], facts.Interfaces[i]
		mac, err := net.ParseMAC(n.MAC)
		if err != nil {
			return err
		}
		if facts.Networkd[i] {
			if err := m.forget(ctx, facts.NICs[i].Addrs()); err != nil {
				return err
			}
		}
		changed = append(changed, agent.SetMAC(name, mac))
		if dad := facts.AcceptDAD[i]; dad != "" {
			changed, restored = append(changed, acceptDAD(name, "0")), append(restored, acceptDAD(name, dad))
		}
		argv = append(argv, name+"="+m.cluster.prefix(n).String())
		for _, a := range n.Addrs() {
			wanted = append(wanted, agent.HasAddress(a))
		}
	}
	if _, _, err := m.agent.Do(ctx, changed...); err != nil {
		return err
	}
	if err := m.setLinks(ctx, moved, true); err != nil {
		return err
	}
	byItself, cancel := context.WithTimeout(ctx, renumberTime)
	defer cancel()
	err := m.awaitAddresses(byItself, wanted)
	if err != nil && byItself.Err() != nil && ctx.Err() == nil {
		var result platforms.Result
		result, err = m.execByAgent(ctx, rootLogin(), platforms.Command{Line: shellquote.Join(argv...)})
		if err == nil && result.ExitCode != 0 {
			err = fmt.Errorf("exit status %d: %s", result.ExitCode, result.Stderr)
		}
		if err == nil {
			err = m.awaitAddresses(ctx, wanted)
		}
	}
	if err == nil {
		_, _, err = m.agent.Do(ctx, restored...)
	}
	if err != nil {
		return fmt.Errorf("change addresses: %w", err)
	}
	return nil
}

// forget waits until networkd has taken the addresses of an interface without a link away, or seems
// to keep them. When it has new ones before it hears that the old ones are gone, version 252 takes
// those away once more, waits for that in vain and never calls the interface configured again:
// whatever wants network-online.target fails.
func (m *Machine) forget(ctx context.Context, addrs []netip.Addr) error {
	tick := time.NewTicker(addressPoll)
	defer tick.Stop()
	end := time.After(renumberTime)
	for len(addrs) > 0 {
		_, _, err := m.agent.Do(ctx, agent.HasAddress(addrs[0]))
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			addrs = addrs[1:]
			continue
		}
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-end:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// awaitAddresses asks the agent until the guest has all the addresses that it is asked for.
func (m *Machine) awaitAddresses(ctx context.Context, wanted []agent.Step) error {
	tick := time.NewTicker(addressPoll)
	defer tick.Stop()
	for {
		_, _, err := m.agent.Do(ctx, wanted...)
		if !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// prefix is the first address of an interface, with the size of its network.
func (c *Cluster) prefix(n clusterhost.NIC) netip.Prefix {
	for _, network := range c.client.Networks() {
		switch {
		case network.Name != n.Network:
		case n.IPv4.IsValid():
			return netip.PrefixFrom(n.IPv4, network.IPv4.Bits())
		default:
			return netip.PrefixFrom(n.IPv6, network.IPv6.Bits())
		}
	}
	return netip.Prefix{}
}

// rootLogin is for what the platform itself runs in a guest.
func rootLogin() agent.Login {
	return agent.Login{Groups: []uint32{0}, Umask: 0o022, Dir: "/", Shell: "/bin/sh", Env: []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh",
	}}
}

// patience is for how long a guest may stay silent before its connection counts as lost.
func (m *Machine) patience() time.Duration {
	if m.cluster.login.accel == AccelTCG {
		return 12 * watchInterval
	}
	return 3 * watchInterval
}

// Started implements [platforms.Starter].
func (m *Machine) Started() (how platforms.Start, fallback error) {
	if m.forked {
		return platforms.StartFork, nil
	}
	return platforms.StartCold, m.fallback
}

// copyFile copies a small file to a new one, with the directories above it.
func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
