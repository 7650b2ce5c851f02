package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/platforms"
	"seatrial/suites/etcd/history"
)

func partition() harness.Test {
	return harness.Test{
		Name:    "cl.etcd-member.partition",
		Tags:    []string{harness.TagSlow},
		Doc:     "Through twenty partitions and their healing, three members keep every write that any of them acknowledged, in order, and never read back in time.",
		Timeout: 5 * time.Minute,
		Needs: harness.Needs{
			Machines: 3,
			Spec:     platforms.MachineSpec{MemoryMiB: 1024},
			Platform: []platforms.Capability{platforms.MultiMachine, platforms.Impair},
			Image:    needs("etcd"),
			Exempt:   exempt(),
		},
		Run: runPartition,
		Sabotage: []harness.Sabotage{{
			Name: "keys-deleted",
			Break: `systemd-run --quiet --unit=seatrial-eraser sh -c 'export ETCDCTL_API=3
while :; do etcdctl endpoint health && etcdctl del --prefix r; sleep 1; done'`,
			Undo:    `systemctl stop seatrial-eraser`,
			Message: `was deleted at revision \d+, and no client did it`,
		}, {
			Name: "never-healed",
			// The chain is hooked in while nothing goes on: for that the kernel
			// changes its code, which has hung an emulated guest under load.
			Break: "systemctl stop etcd; nft 'add table inet seatrial; add chain inet seatrial peers { type filter hook input priority 0; }'\n" +
				"cat >" + cutterFile + " <<'END'\n" + cutter + "\nEND\n" +
				`systemd-run --quiet --unit=seatrial-cutter sh ` + cutterFile,
			Undo:    `systemctl stop seatrial-cutter; nft delete table inet seatrial; rm ` + cutterFile,
			Message: `m0 acknowledges writes after the heal: not within`,
		}},
	}
}

const cutterFile = "/run/seatrial-cutter"

// cutter waits for the first write of the workload, and from then on for a silence of
// the other members of half an election's time, which is a partition that
// machine 0 is not in the majority of: none of their packets comes in after it. The
// chain is there.
const cutter = `until ETCDCTL_API=3 etcdctl get --print-value-only r0 | grep -q .; do :; done
election=$(systemctl show -P Environment etcd | grep -o "ETCD_ELECTION_TIMEOUT=[0-9]*")
nft "table inet seatrial {
	set heard { type inet_service; flags dynamic,timeout; timeout $((${election#*=} / 2))ms; elements = { 2380 }; }
	chain peers {
		tcp dport 2380 tcp dport @heard update @heard { tcp dport } accept
		tcp sport 2380 tcp sport @heard update @heard { tcp sport } accept
		tcp dport 2380 drop
		tcp sport 2380 drop
	}
}"`

const (
	partitions = 20
	registers  = 5 // keys that all clients write and read
	// healTime bounds an election, and the return to one cluster.
	healTime = 10 * time.Second
)

func runPartition(ctx context.Context, t *harness.T) {
	ms := members(ctx, t, 3, "http")
	for _, m := range ms {
		m.start(ctx, m.config(t, ms))
	}
	waitUp(ctx, t, ms)

	w := newWorkload(t, ms)
	defer w.stop()
	w.start(ctx)
	for i := range partitions {
		w.divide(ctx, i)
		w.heal(ctx)
		w.judge(ctx, i)
		if t.Failed() {
			break // what comes next would only tell of the same loss again
		}
	}
	w.stop()
	ops := w.history()
	data, err := json.Marshal(ops)
	t.Check(err)
	t.Save("history.json", data)
	acked := 0
	for _, o := range ops {
		if o.Acked {
			acked++
		}
	}
	t.Logf("%d operations, of them %d acknowledged; the leader was cut off in %d of %d partitions", len(ops), acked, w.cutLeaders, partitions)
}

// divide parts the network and returns when that has shown: who is alone gets
// no answer, and a majority has a leader and takes writes.
func (w *workload) divide(ctx context.Context, i int) {
	leader := w.leader(ctx)
	alone := leader
	switch i % 4 {
	case 0: // no majority is left
		alone = -1
	case 2: // a follower
		alone = (leader + 1) % len(w.clients)
	}
	var groups [][]string
	var cut, majority []*worker
	for j, c := range w.clients {
		if alone == -1 || j == alone {
			groups = append(groups, []string{c.name})
			cut = append(cut, w.clients[j])
			continue
		}
		majority = append(majority, w.clients[j])
	}
	if len(majority) > 0 {
		groups = append(groups, []string{majority[0].name, majority[1].name})
	}
	before := w.counts()
	w.t.Impair(ctx, platforms.Impairment{Groups: groups})
	for _, c := range cut {
		w.t.WaitFor(ctx, fmt.Sprintf("partition %d: %s is cut off", i, c.name), healTime, func(context.Context) error {
			return c.more(before, "unanswered operations", func(n counts) int { return n.unanswered })
		})
	}
	before = w.counts() // by now nothing is under way from before the partition
	for _, c := range majority {
		w.t.WaitFor(ctx, fmt.Sprintf("partition %d: %s acknowledges writes in the majority", i, c.name), healTime, func(context.Context) error {
			return c.more(before, "acknowledged writes", func(n counts) int { return n.acked })
		})
	}
	if alone == leader {
		w.cutLeaders++
	}
}

// heal joins the network and returns when each member takes writes again and
// all know the same leader.
func (w *workload) heal(ctx context.Context) {
	w.t.Impair(ctx, platforms.Impairment{})
	before := w.counts()
	for _, c := range w.clients {
		w.t.WaitFor(ctx, c.name+" acknowledges writes after the heal", healTime, func(context.Context) error {
			return c.more(before, "acknowledged writes", func(n counts) int { return n.acked })
		})
	}
	w.leader(ctx)
}

// leader returns the number of the member that all members call the leader.
func (w *workload) leader(ctx context.Context) int {
	found := -1
	w.t.WaitFor(ctx, "all members know the same leader", healTime, func(ctx context.Context) error {
		ids, leaders := make([]string, len(w.clients)), make([]string, len(w.clients))
		for i, c := range w.clients {
			status, err := c.status(ctx)
			if err != nil {
				return err
			}
			ids[i], leaders[i] = status.Header.Member, status.Leader
		}
		found = slices.Index(ids, leaders[0])
		if found < 0 || slices.ContainsFunc(leaders, func(l string) bool { return l != leaders[0] }) {
			return fmt.Errorf("etcd's members know the leaders %v", leaders)
		}
		return nil
	})
	return found
}

// judge compares what the clients were told so far with what each member
// holds.
func (w *workload) judge(ctx context.Context, i int) {
	w.pause.Lock() // no operation is under way
	defer w.pause.Unlock()
	var last int64
	w.t.WaitFor(ctx, "the store's revision", healTime, func(ctx context.Context) (err error) {
		last, err = w.clients[0].mark(ctx)
		return err
	})
	logs := make([][]history.Version, len(w.clients))
	for j, c := range w.clients {
		w.t.WaitFor(ctx, "the log of "+c.name, healTime, func(ctx context.Context) (err error) {
			logs[j], err = c.log(ctx, last)
			return err
		})
		if !slices.Equal(logs[j], logs[0]) {
			w.t.Errorf("after partition %d etcd on %s and on %s holds different logs, of %d and %d versions",
				i, w.clients[0].name, c.name, len(logs[0]), len(logs[j]))
		}
	}
	faults := history.Check(w.history(), logs[0])
	if n := len(faults); n > maxFaults {
		faults = append(faults[:maxFaults], fmt.Sprintf("and %d more", n-maxFaults))
	}
	if len(faults) > 0 {
		w.t.Errorf("etcd after partition %d: %s", i, strings.Join(faults, "\n"))
	}
}

// maxFaults bounds what is told of a broken history.
const maxFaults = 10
