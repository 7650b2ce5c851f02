package flannel

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/suites/internal/flannelstore"
)

const (
	machines = 3
	program  = "flanneld"
	unit     = flannelstore.Unit

	overlay = "10.99.0.0/16"
)

// startTime bounds the start of a service that waits for nobody else, and a write to an etcd that has just started.
const startTime = 30 * time.Second

func (b backend) run(ctx context.Context, t *harness.T) {
	nodes := make([]node, machines)
	for i := range nodes {
		nodes[i].Machine = t.Machine(i)
		nodes[i].clean(ctx)
	}
	etcd := nodes[0]
	etcd.MustRoot(ctx, flannelstore.Script(etcd.Address().String(), t.Arch(), t.Scale(startTime), flannelstore.Config(overlay, b.config)))
	binary := t.File(program)
	for i := range nodes {
		nodes[i].start(ctx, t, b, etcd, binary)
	}
	for i, from := range nodes {
		for j, to := range nodes {
			if i != j {
				from.ping(ctx, t, to)
			}
		}
	}
	for _, n := range nodes {
		b.counted(ctx, t, n)
	}
}

// node is a machine with a network namespace.
type node struct {
	*harness.Machine
	addr string // of the namespace
	mtu  int
}

// clean removes what an earlier run left behind.
func (n node) clean(ctx context.Context) {
	n.MustRoot(ctx, `systemctl stop `+unit+` etcd 2>/dev/null; systemctl reset-failed `+unit+` 2>/dev/null
ip netns delete seatrial 2>/dev/null
for link in seatrial0 flannel.1 flannel0 flannel-wg; do ip link delete $link 2>/dev/null; done
ip route | grep '^10\.99\.' | while read -r to rest; do ip route delete $to; done
nft delete table inet seatrial 2>/dev/null; rm -rf /run/flannel /var/lib/etcd/seatrial; true`)
}

// start runs flanneld, gives the namespace an address of the machine's subnet,
// and begins to count.
func (n *node) start(ctx context.Context, t *harness.T, b backend, etcd node, binary []byte) {
	const path = "/var/lib/seatrial/" + program
	n.Upload(ctx, path, 0o755, binary)
	n.MustRoot(ctx, flannelstore.Daemon(path, etcd.Address().String(), n.Address().String(), t.Scale(startTime)))
	out := n.MustRoot(ctx, fmt.Sprintf(namespaceScript, n.Address(), b.packets, overlay))
	addr, mtu, _ := strings.Cut(strings.TrimSpace(out), " ")
	size, err := strconv.Atoi(mtu)
	if err != nil {
		t.Fatalf("%s: flanneld's subnet file gives address and MTU %q", n.ID(), out)
	}
	n.addr, n.mtu = addr, size
}

// namespaceScript prints the namespace's address and the overlay's MTU. The
// counters are of what the machine receives from the others.
const namespaceScript = `set -e; . /run/flannel/subnet.env
gateway=${FLANNEL_SUBNET%%/*}; addr=${gateway%%.*}.2
ip link add seatrial0 type bridge; ip address add $FLANNEL_SUBNET dev seatrial0; ip link set seatrial0 mtu $FLANNEL_MTU up
ip netns add seatrial; ip link add seatrial1 mtu $FLANNEL_MTU master seatrial0 type veth peer name eth0 mtu $FLANNEL_MTU netns seatrial
ip link set seatrial1 up; ip -n seatrial link set eth0 up
ip -n seatrial address add $addr/${FLANNEL_SUBNET#*/} dev eth0; ip -n seatrial route add default via $gateway
sysctl -qw net.ipv4.ip_forward=1
outside=$(ip -o -4 address show to %s | awk '{print $2}')
nft "add table inet seatrial; add chain inet seatrial counts { type filter hook prerouting priority -150; }
add rule inet seatrial counts iifname $outside %s counter comment seatrial-backend
add rule inet seatrial counts iifname $outside ip saddr %s counter comment seatrial-naked"
echo $addr $FLANNEL_MTU`

// pings is how many packets go from each namespace to each other.
const pings = 3

// ping sends packets as large as the overlay takes them in one piece.
func (n node) ping(ctx context.Context, t *harness.T, to node) {
	const headers = 28 // of IPv4 and ICMP
	t.WaitFor(ctx, fmt.Sprintf("a ping from %s to %s", n.ID(), to.ID()), 10*time.Second, func(ctx context.Context) error {
		_, err := n.Output(ctx, harness.Root(fmt.Sprintf("ip netns exec seatrial ping -q -c %d -i 0.2 -W %d -M do -s %d %s",
			pings, int(t.Scale(200*time.Millisecond).Seconds())+1, n.mtu-headers, to.addr)))
		return err
	})
}

// counted wants the machine to have received what was sent to it by the
// backend, and nothing past it.
func (b backend) counted(ctx context.Context, t *harness.T, n node) {
	backend, naked, err := parseCounters(n.MustRoot(ctx, "nft list table inet seatrial"))
	if err != nil {
		t.Fatalf("%s: %v", n.ID(), err)
	}
	// Each ping comes in, and the answers to its own do.
	if want := 2 * pings * (machines - 1); backend < want {
		t.Errorf("%s received %d packets by %s, and %d were sent to it", n.ID(), backend, b.name, want)
	}
	if !b.naked && naked > 0 {
		t.Errorf("%s received %d packets of the overlay past %s", n.ID(), naked, b.name)
	}
}

// parseCounters reads the two rules' counters in nft's own words.
func parseCounters(table string) (backend, naked int, err error) {
	found := map[string]int{}
	for line := range strings.Lines(table) {
		_, counter, ok := strings.Cut(line, "counter packets ")
		if !ok {
			continue
		}
		count, rest, _ := strings.Cut(counter, " ")
		n, err := strconv.Atoi(count)
		if err != nil {
			return 0, 0, fmt.Errorf("read nft's counter %q: %w", strings.TrimSpace(line), err)
		}
		for _, rule := range []string{"seatrial-backend", "seatrial-naked"} {
			if strings.Contains(rest, rule) {
				found[rule] = n
			}
		}
	}
	if len(found) != 2 {
		return 0, 0, fmt.Errorf("nft shows %d of 2 counters: %s", len(found), table)
	}
	return found["seatrial-backend"], found["seatrial-naked"], nil
}
