package etcd

import (
	"context"
	"fmt"
	"time"

	"seatrial/harness"
)

func v2BackupRestore() harness.Test {
	return harness.Test{
		Name:    "cl.etcd-member.v2-backup-restore",
		Doc:     "What was written by etcd's version 2 API comes back from a backup, and what was changed after it does not.",
		Timeout: 90 * time.Second,
		Needs:   harness.Needs{Image: needs("etcd"), Exempt: exempt()},
		Run:     runV2BackupRestore,
		Sabotage: []harness.Sabotage{{
			Name:    "without-version-2",
			Break:   override("ENABLE_V2=false"),
			Undo:    undoOverride,
			Message: `response is invalid json`,
		}},
	}
}

func runV2BackupRestore(ctx context.Context, t *harness.T) {
	ms := members(ctx, t, 1, "http")
	m, config := ms[0], ms[0].config(t, ms).with(settings{"ENABLE_V2": "true"})
	m.start(ctx, config)
	waitUp(ctx, t, ms)

	kept := fmt.Sprintf("kept %d", time.Now().UnixNano())
	const backup = "/var/lib/etcd/seatrial.backup"
	m.MustRoot(ctx, fmt.Sprintf(`set -e; export ETCDCTL_API=2
etcdctl set /seatrial '%s'
rm -rf %[2]s && etcdctl backup --data-dir %[3]s --backup-dir %[2]s
etcdctl rm /seatrial && etcdctl set /later lost
systemctl stop etcd && rm -rf %[3]s && mv %[2]s %[3]s && chown -R --reference=/var/lib/etcd %[3]s`, kept, backup, dataDir))
	// A backup knows its cluster, of which no other member is left.
	m.start(ctx, config.with(settings{"FORCE_NEW_CLUSTER": "true"}))
	waitUp(ctx, t, ms)
	if got := m.MustRoot(ctx, "ETCDCTL_API=2 etcdctl get /seatrial"); got != kept {
		t.Errorf("etcd's key /seatrial is %q after the restore, want %q", got, kept)
	}
	out := m.MustRoot(ctx, "ETCDCTL_API=2 etcdctl ls /")
	if want := "/seatrial"; out != want {
		t.Errorf("after the restore etcd's keys are %q, want %q", out, want)
	}
}
