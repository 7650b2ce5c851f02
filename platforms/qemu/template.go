package qemu

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kballard/go-shellquote"
	"golang.org/x/crypto/ssh"

	"seatrial/internal/agent"
	"seatrial/internal/clusterhost"
	"seatrial/internal/template"
	"seatrial/platforms"
)

const (
	// templateAge is how long a template is used: the clock of a fork jumps by as much, and timers go off.
	templateAge = 24 * time.Hour
	// templateSpace is what templates may take of the disk together.
	templateSpace = 12 << 30
	// templateName is the machine's host name while it becomes a template.
	templateName = "template"

	settleTime  = 3 * time.Minute
	agentTime   = time.Minute
	migrateTime = 2 * time.Minute

	agentFile = "/dev/shm/seatrial-agent"
)

// Files of a template, beside its disks.
const (
	ramFile       = "ram"
	stateFile     = "state"
	keyFile       = "key" // private SSH key, in PEM
	consoleFile   = "console.txt"
	flashFileName = "flash" // UEFI code, for forks with flashInState
)

// templateFacts is what a fork has to know of its template.
type templateFacts struct {
	Nonce      [agent.NonceSize]byte
	HostKey    []byte // in SSH's wire format
	NICs       []clusterhost.NIC
	Interfaces []string // names in the guest, in the order of the NICs
	AcceptDAD  []string // of each interface: the sysctl that has it look for its IPv6 addresses on others; empty without IPv6
	Networkd   []bool   // of each interface: systemd-networkd configures it
	Login      agent.Login
}

// Scripts that run in a machine that becomes a template.
const (
	// settleScript waits for the end of the boot, and has what it wrote reach the disk.
	settleScript = `if [ -d /run/systemd/system ]; then systemctl is-system-running --wait; fi; sync`
	// idleScript waits until the CPUs have idled for most of a second: the first four numbers of
	// /proc/stat are the time spent in user mode, nice, in the kernel, and idle.
	idleScript = `n=0; while [ $n -lt 60 ]; do
read -r c u1 x s1 i1 y </proc/stat; sleep 1; read -r c u2 x s2 i2 y </proc/stat
[ $(((i2 - i1) * 10)) -ge $(((u2 - u1 + s2 - s1 + i2 - i1) * 9)) ] && break
n=$((n + 1)); done`
	// loginScript describes the login: a word to a line, and the environment.
	loginScript = `id -u; id -g; id -G; umask; pwd; echo "$SHELL"; cat /proc/self/environ`
	// startScript finds the port of the name $1 and starts the agent $2 on it.
	startScript = `for d in /sys/class/virtio-ports/*; do
if [ "$(cat "$d/name")" = "$1" ]; then port=/dev/${d##*/}; fi; done
[ -n "$port" ] || { echo "there is no virtio-serial port" >&2; exit 1; }
"$2" "$port" </dev/null >/dev/null 2>&1 &`
	// nicScript prints of the interface with the address $1 its name, its accept_dad or an empty line,
	// and what networkd says of it.
	nicScript = `for d in /sys/class/net/*; do if [ "$(cat "$d/address")" = "$1" ]; then echo "${d##*/}"
cat "/proc/sys/net/ipv6/conf/${d##*/}/accept_dad" 2>/dev/null || echo
grep -s ^ADMIN_STATE= "/run/systemd/netif/links/$(cat "$d/ifindex")"; fi; done; true`
)

// HasTemplate implements [platforms.Forker].
func (p *Platform) HasTemplate(spec platforms.MachineSpec) bool {
	key, err := p.templateKeyOf(spec)
	return err == nil && p.usable(key) == nil && p.templates().Has(key)
}

// Template implements [platforms.Forker].
func (p *Platform) Template(ctx context.Context, spec platforms.MachineSpec) error {
	key, err := p.templateKeyOf(spec)
	if err == nil {
		err = p.makeTemplate(ctx, key, spec)
	}
	if err != nil {
		return fmt.Errorf("template: %w", err)
	}
	return nil
}

func (p *Platform) templates() template.Store { return TemplateStore(p.options.TemplateDir) }

// TemplateStore is the store of templates in a directory.
func TemplateStore(dir string) template.Store {
	return template.Store{Dir: dir, Limit: templateSpace, MaxAge: templateAge}
}

// makeTemplate makes the template of a key unless there is one. What failed once is not tried again.
func (p *Platform) makeTemplate(ctx context.Context, key string, spec platforms.MachineSpec) error {
	if err := p.usable(key); err != nil {
		return err
	}
	title := fmt.Sprintf("%s %s %s, %s", p.arch.name, p.accel, p.options.Image.Name, sizeOf(p.launch(spec)))
	if line, _, _ := strings.Cut(spec.Prepare, "\n"); line != "" {
		title += ", after " + line
	}
	err := p.templates().Make(ctx, key, title, func(ctx context.Context, dir string) (any, error) {
		return p.fillTemplate(ctx, dir, spec)
	})
	if err != nil && ctx.Err() == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.failed[key] = err
	}
	return orCause(ctx, err)
}

// sizeOf names a machine by its size.
func sizeOf(l launch) string {
	return fmt.Sprintf("%s, %d CPUs, %d MiB", l.firmware, l.cpus, l.memoryMiB)
}

// fillTemplate boots a machine in a cluster of its own and leaves its memory, disks and state in dir.
func (p *Platform) fillTemplate(ctx context.Context, dir string, spec platforms.MachineSpec) (_ *templateFacts, err error) {
	key, pemKey, err := newClusterKey()
	if err != nil {
		return nil, err
	}
	logs := filepath.Join(dir, "logs")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, keyFile), pemKey, 0o600), os.Mkdir(logs, 0o700)); err != nil {
		return nil, err
	}
	var networks []platforms.NetworkSpec
	for _, n := range spec.Networks {
		networks = append(networks, platforms.NetworkSpec{Name: n})
	}
	c, err := p.newCluster(ctx, platforms.ClusterSpec{Name: templateName, Dir: logs, Networks: networks},
		login{user: p.options.User, key: key, accel: p.accel})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Destroy(ctx)) }()
	spec.Name = templateName
	m, err := c.start(ctx, spec, c.login, source{dir: dir, ram: filepath.Join(dir, ramFile)}, nil)
	if err != nil {
		return nil, err
	}
	if err := m.awaitSSH(ctx, func(string) {}); err != nil {
		return nil, errors.Join(err, m.discard(ctx))
	}
	c.mu.Lock()
	c.machines[templateName] = m
	c.mu.Unlock()
	facts, err := m.becomeTemplate(ctx, spec.Prepare, filepath.Join(dir, stateFile))
	if err != nil {
		return nil, err
	}
	if err := c.Destroy(ctx); err != nil { // what it wrote is whole only now
		return nil, err
	}
	if err := os.Rename(filepath.Join(logs, templateName, consoleFile), filepath.Join(dir, consoleFile)); err != nil {
		return nil, err
	}
	if fw := orDefault(spec.Firmware, p.arch.defaultFirmware()); fw != platforms.BIOS && p.arch.flashInState() {
		if err := p.images.unpad(ctx, filepath.Join(dir, flashFileName), p.firmware[fw].Code); err != nil {
			return nil, err
		}
	}
	return facts, os.RemoveAll(logs)
}

// newClusterKey makes an SSH key, also in the form in which it is kept.
func newClusterKey() (ssh.Signer, []byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	return signer, pem.EncodeToMemory(block), err
}

// becomeTemplate prepares a booted machine, leaves an agent waiting in it, saves its state and ends it.
func (m *Machine) becomeTemplate(ctx context.Context, prepare, state string) (*templateFacts, error) {
	settling, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if _, err := m.ssh.Run(settling, platforms.Command{Line: m.asRoot(settleScript)}); err != nil && settling.Err() == nil {
		return nil, err
	}
	if prepare != "" {
		if _, err := m.must(settling, m.asRoot(prepare)); err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
	}
	facts := &templateFacts{HostKey: m.ssh.HostKey().Marshal(), NICs: m.nics}
	if _, err := rand.Read(facts.Nonce[:]); err != nil {
		return nil, err
	}
	var err error
	if facts.Login, err = m.describeLogin(ctx); err != nil {
		return nil, err
	}
	for _, n := range m.nics {
		out, err := m.must(ctx, m.asRoot(nicScript, n.MAC))
		if err != nil || out == "" {
			return nil, errors.Join(fmt.Errorf("the guest has no interface %s", n.MAC), err)
		}
		name, rest, _ := strings.Cut(out, "\n")
		dad, networkd, _ := strings.Cut(rest, "\n")
		facts.Interfaces, facts.AcceptDAD = append(facts.Interfaces, name), append(facts.AcceptDAD, dad)
		facts.Networkd = append(facts.Networkd, networkd == "ADMIN_STATE=configured")
	}
	a, err := m.startAgent(ctx)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	if err := m.ssh.Close(); err != nil { // logged in, it would be another machine
		return nil, err
	}
	idle, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	var output bytes.Buffer
	r, err := a.Run(idle, facts.Login, platforms.Command{Line: idleScript, Stdout: &output, Stderr: &output})
	if err == nil && r.ExitCode != 0 {
		err = fmt.Errorf("exit status %d: %s", r.ExitCode, output.String())
	}
	if err == nil {
		// Forks have the generator in common until they are reseeded, and not only now and then.
		_, _, err = a.Do(idle, agent.SetNonce(facts.Nonce), agent.Seed(facts.Nonce[:]))
	}
	if err != nil {
		return nil, fmt.Errorf("use the agent: %w", err)
	}
	return facts, m.save(ctx, state)
}

// asRoot is the command line that runs a script as root, with arguments.
func (m *Machine) asRoot(script string, args ...string) string {
	argv := append([]string{"sh", "-c", script, "sh"}, args...)
	if m.sshConfig.User != "root" {
		argv = append([]string{"sudo", "-n"}, argv...)
	}
	return shellquote.Join(argv...)
}

// must runs a command over SSH that has to succeed, and returns what it prints.
func (m *Machine) must(ctx context.Context, line string) (string, error) {
	r, err := m.ssh.Run(ctx, platforms.Command{Line: line})
	if err == nil && r.ExitCode != 0 {
		err = fmt.Errorf("exit status %d: %s", r.ExitCode, bytes.TrimSpace(r.Stderr))
	}
	return strings.TrimSpace(string(r.Stdout)), err
}

// describeLogin finds out in what surroundings commands over SSH run.
func (m *Machine) describeLogin(ctx context.Context) (agent.Login, error) {
	out, err := m.must(ctx, loginScript)
	if err != nil {
		return agent.Login{}, fmt.Errorf("look at the login: %w", err)
	}
	lines := strings.SplitN(out, "\n", 7)
	if len(lines) != 7 {
		return agent.Login{}, fmt.Errorf("look at the login: it printed %q", out)
	}
	l := agent.Login{Dir: lines[4], Shell: lines[5]}
	for _, n := range []struct {
		text string
		base int
		to   *uint32
	}{{lines[0], 10, &l.UID}, {lines[1], 10, &l.GID}, {lines[3], 8, &l.Umask}} {
		v, err := strconv.ParseUint(n.text, n.base, 32)
		if err != nil {
			return agent.Login{}, fmt.Errorf("look at the login: %w", err)
		}
		*n.to = uint32(v)
	}
	for group := range strings.FieldsSeq(lines[2]) {
		v, err := strconv.ParseUint(group, 10, 32)
		if err != nil {
			return agent.Login{}, fmt.Errorf("look at the login: %w", err)
		}
		l.Groups = append(l.Groups, uint32(v))
	}
	for v := range strings.SplitSeq(lines[6], "\x00") {
		name, _, ok := strings.Cut(v, "=")
		// The shell's own, which each has anew.
		if ok && name != "_" && name != "SHLVL" && name != "OLDPWD" {
			l.Env = append(l.Env, v)
		}
	}
	return l, nil
}

// startAgent puts the agent into the guest's memory, starts it in the login's session and removes
// its file. There, what it runs is in the same surroundings as what SSH runs.
func (m *Machine) startAgent(ctx context.Context) (*agent.Client, error) {
	program, err := agent.Binary(m.cluster.platform.arch.name)
	if err != nil {
		return nil, err
	}
	if err := m.ssh.Files().Upload(ctx, agentFile, 0o700, bytes.NewReader(program)); err != nil {
		return nil, err
	}
	conn, err := m.cluster.client.Channel(ctx, m.id)
	if err != nil {
		return nil, err
	}
	a := agent.New(conn)
	_, err = m.must(ctx, m.asRoot(startScript, agentPort, agentFile))
	if err == nil {
		waiting, cancel := context.WithTimeout(ctx, agentTime)
		defer cancel()
		_, err = a.Knock(waiting)
	}
	if err == nil {
		_, err = m.must(ctx, m.asRoot(`rm "$1"`, agentFile))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the agent: %w", err), a.Close())
	}
	return a, nil
}

// save writes the machine's state, but for the memory, to a file and ends the machine. It runs
// until the state is taken, and so it does when it is restored.
func (m *Machine) save(ctx context.Context, state string) error {
	ctx, cancel := context.WithTimeout(ctx, migrateTime)
	defer cancel()
	if err := m.ignoreShared(ctx); err != nil {
		return err
	}
	uri := "exec:cat >" + shellquote.Join(state)
	if err := m.QMP(ctx, "migrate", map[string]any{"uri": uri}, nil); err != nil {
		return err
	}
	if err := m.awaitMigration(ctx); err != nil {
		return fmt.Errorf("save the state: %w", err)
	}
	m.stopping.Store(true)
	if err := m.QMP(ctx, "quit", nil, nil); err != nil {
		return err
	}
	select {
	case <-m.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("save the state: %w", context.Cause(ctx))
	}
}

// ignoreShared has the state go without the memory in a shared file.
func (m *Machine) ignoreShared(ctx context.Context) error {
	return m.QMP(ctx, "migrate-set-capabilities", map[string]any{
		"capabilities": []map[string]any{{"capability": "x-ignore-shared", "state": true}},
	}, nil)
}

// migrationPoll is how often QEMU is asked for its progress. A state is half a megabyte.
const migrationPoll = 10 * time.Millisecond

// awaitMigration waits until a state is written, or restored.
func (m *Machine) awaitMigration(ctx context.Context) error {
	tick := time.NewTicker(migrationPoll)
	defer tick.Stop()
	for {
		var info struct {
			Status string `json:"status"`
			Error  string `json:"error-desc"`
		}
		if err := m.QMP(ctx, "query-migrate", nil, &info); err != nil {
			return err
		}
		switch info.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("qemu: migration %s: %s", info.Status, info.Error)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
