package etcd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kballard/go-shellquote"

	"seatrial/harness"
)

const (
	clientPort = 2379
	peerPort   = 2380

	dataDir = "/var/lib/etcd/seatrial"
	dropIn  = "/run/systemd/system/etcd.service.d/50-seatrial.conf"
)

// member is an etcd on a machine, named like it.
type member struct {
	*harness.Machine
	scheme string // "http" or "https", of both its ports
}

// url is where the member serves clients or peers.
func (m member) url(port int) string {
	return fmt.Sprintf("%s://%s:%d", m.scheme, m.Address(), port)
}

// members makes a member of each of the test's first n machines. None of them
// runs, or has data: one that joined while another was of an earlier cluster
// would be refused.
func members(ctx context.Context, t *harness.T, n int, scheme string) []member {
	ms := make([]member, n)
	for i := range ms {
		ms[i] = member{t.Machine(i), scheme}
		ms[i].MustRoot(ctx, "systemctl stop etcd 2>/dev/null; rm -rf "+dataDir)
	}
	return ms
}

// settings is a member's configuration, by the names of etcd's environment
// variables without their prefix ETCD_.
type settings map[string]string

// config is the configuration of a new member among peers that know each
// other.
func (m member) config(t *harness.T, peers []member) settings {
	var initial []string
	for _, p := range peers {
		initial = append(initial, p.ID()+"="+p.url(peerPort))
	}
	election := min(max(t.Scale(electionTime), electionTime), maxElectionTime)
	s := settings{
		"NAME":                        m.ID(),
		"DATA_DIR":                    dataDir,
		"LISTEN_CLIENT_URLS":          fmt.Sprintf("%s,%s://127.0.0.1:%d", m.url(clientPort), m.scheme, clientPort),
		"ADVERTISE_CLIENT_URLS":       m.url(clientPort),
		"LISTEN_PEER_URLS":            m.url(peerPort),
		"INITIAL_ADVERTISE_PEER_URLS": m.url(peerPort),
		"INITIAL_CLUSTER":             strings.Join(initial, ","),
		"INITIAL_CLUSTER_STATE":       "new",
		"INITIAL_CLUSTER_TOKEN":       "seatrial",
		"ELECTION_TIMEOUT":            fmt.Sprint(election.Milliseconds()),
		"HEARTBEAT_INTERVAL":          fmt.Sprint((election / 10).Milliseconds()),
	}
	if t.Arch() == "arm64" {
		s["UNSUPPORTED_ARCH"] = "arm64"
	}
	return s
}

// etcd's own default is a heartbeat of 100 ms and an election after 1 s without
// one, which an emulated guest cannot keep up.
const (
	electionTime    = time.Second
	maxElectionTime = 4 * time.Second
)

// with returns a copy of the settings with others in it.
func (s settings) with(others settings) settings {
	out := maps.Clone(s)
	maps.Copy(out, others)
	return out
}

// unit is the drop-in for the image's unit.
func (s settings) unit() string {
	lines := []string{"[Service]"}
	for _, key := range slices.Sorted(maps.Keys(s)) {
		lines = append(lines, fmt.Sprintf("Environment=\"ETCD_%s=%s\"", key, s[key]))
	}
	return strings.Join(lines, "\n") + "\n"
}

// start makes the image's unit run a member with the given settings. It does not
// wait until the member is up: the first of several cannot be before the second.
func (m member) start(ctx context.Context, s settings) {
	m.MustRoot(ctx, startScript(s))
}

// startScript takes the settings into the unit and starts it.
func startScript(s settings) string {
	return fmt.Sprintf(`mkdir -p %s && printf %%s %s >%s && systemctl daemon-reload &&
{ systemctl reset-failed etcd 2>/dev/null; systemctl start --no-block etcd; }`,
		shellquote.Join(dropIn[:strings.LastIndex(dropIn, "/")]), shellquote.Join(s.unit()), dropIn)
}

// upTime bounds the start of a member, or of a cluster of them.
const upTime = 15 * time.Second

// failedError says that the unit has failed, and will not come up.
type failedError struct{ journal string }

func (e *failedError) Error() string { return "etcd.service has failed:\n" + e.journal }

// waitUp returns when the members answer as a cluster of their number. A unit
// that has failed ends the test with what it wrote.
func waitUp(ctx context.Context, t *harness.T, ms []member) {
	for _, m := range ms {
		t.WaitFor(ctx, "etcd on "+m.ID()+" is up", upTime, func(ctx context.Context) error {
			err := m.up(ctx, len(ms))
			if failed, ok := errors.AsType[*failedError](err); ok {
				t.Fatalf("%s: %v", m.ID(), failed)
			}
			return err
		})
	}
}

// upScript prints the state of the unit, and what the member knows of its
// cluster when it is running.
const upScript = `state=$(systemctl is-active etcd); echo "$state"
case $state in
failed) journalctl -u etcd -n 15 -o cat --no-pager ;;
active) etcdctl endpoint health 2>&1 && etcdctl member list 2>&1 ;;
esac`

// clientEnv is the shell code that makes etcdctl a client of the member on its
// machine.
func (m member) clientEnv() string {
	env := "export ETCDCTL_API=3"
	if m.scheme == "https" {
		env += fmt.Sprintf(" ETCDCTL_ENDPOINTS=https://127.0.0.1:%d ETCDCTL_CACERT=%s ETCDCTL_CERT=%s ETCDCTL_KEY=%s",
			clientPort, caFile, certFile, keyFile)
	}
	return env + "\n"
}

// etcdctl runs etcdctl as root.
func (m member) etcdctl(ctx context.Context, args ...string) string {
	return m.MustRoot(ctx, m.clientEnv()+"etcdctl "+shellquote.Join(args...))
}

// up reports why a member of a cluster of n does not answer yet.
func (m member) up(ctx context.Context, n int) error {
	out, err := m.Output(ctx, harness.Root(m.clientEnv()+upScript))
	exit, ok := errors.AsType[*harness.ExitError](err)
	if err != nil && !ok {
		return err
	}
	if ok {
		out = string(exit.Result.Stdout)
	}
	state, rest, _ := strings.Cut(out, "\n")
	switch {
	case state == "failed":
		return &failedError{rest}
	case state != "active" || ok:
		return fmt.Errorf("etcd.service is %s: %s", state, rest)
	}
	if got := strings.Count(rest, ", started, "); got != n {
		return fmt.Errorf("%d of %d members have started: %s", got, n, rest)
	}
	return nil
}
