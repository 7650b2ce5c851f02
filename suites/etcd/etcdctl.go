package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"seatrial/harness"
)

func etcdctlV3() harness.Test {
	return harness.Test{
		Name:    "cl.etcd-member.etcdctlv3",
		Doc:     "One etcd takes writes by etcdctl's version 3 API, and a snapshot of it brings them back.",
		Timeout: 90 * time.Second,
		Needs:   harness.Needs{Image: needs("etcd"), Exempt: exempt()},
		Run:     runEtcdctlV3,
		Sabotage: []harness.Sabotage{{
			Name:    "unit-masked",
			Break:   `systemctl stop etcd; systemctl mask --runtime --quiet etcd`,
			Undo:    `systemctl unmask --runtime --quiet etcd`,
			Message: `Unit etcd\.service is masked`,
		}, {
			Name:    "nowhere-to-write",
			Break:   `systemctl stop etcd; mount -t tmpfs -o ro none /var/lib/etcd`,
			Undo:    `systemctl stop etcd; umount /var/lib/etcd`,
			Message: `etcd\.service has failed(?s:.*)read-only file system`,
		}},
	}
}

const snapshot = "/var/lib/etcd/seatrial.snapshot"

func runEtcdctlV3(ctx context.Context, t *harness.T) {
	ms := members(ctx, t, 1, "http")
	m, config := ms[0], ms[0].config(t, ms)
	m.start(ctx, config)
	waitUp(ctx, t, ms)

	kept := fmt.Sprintf("kept %d", time.Now().UnixNano())
	m.etcdctl(ctx, "put", "seatrial/key", kept)
	wantValue(ctx, t, m, "seatrial/key", kept)
	m.etcdctl(ctx, "snapshot", "save", snapshot)
	var status struct{ TotalKey, TotalSize, Revision int64 }
	out := m.etcdctl(ctx, "-w", "json", "snapshot", "status", snapshot)
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		t.Fatalf("etcdctl snapshot status: %v: %s", err, out)
	}
	// A new store is at revision 1, and each write is one more.
	if status.Revision != 2 || status.TotalSize == 0 {
		t.Errorf("etcdctl: the snapshot of a store with one write says: %s", out)
	}

	m.etcdctl(ctx, "put", "seatrial/key", "lost")
	m.etcdctl(ctx, "put", "seatrial/later", "lost")
	m.MustRoot(ctx, "systemctl stop etcd && rm -rf "+dataDir+
		fmt.Sprintf(" && ETCDCTL_API=3 etcdctl snapshot restore %s --data-dir %s --name %s --initial-cluster %s --initial-advertise-peer-urls %s --initial-cluster-token seatrial 2>&1",
			snapshot, dataDir, m.ID(), config["INITIAL_CLUSTER"], m.url(peerPort))+
		" && chown -R --reference=/var/lib/etcd "+dataDir+" && rm "+snapshot+" && systemctl start --no-block etcd")
	waitUp(ctx, t, ms)
	wantValue(ctx, t, m, "seatrial/key", kept)
	wantValue(ctx, t, m, "seatrial/later", "")
}

// wantValue compares the value of a key; an empty one means that there is none.
func wantValue(ctx context.Context, t *harness.T, m member, key, want string) {
	if got := m.etcdctl(ctx, "get", "--print-value-only", key); got != want {
		t.Errorf("etcd's key %s on %s is %q, want %q", key, m.ID(), got, want)
	}
}
