// Package nfs is the suite about files that one machine serves to another.
package nfs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/platforms"
)

// Suite returns the suite.
func Suite() harness.Suite {
	return harness.Suite{
		Name:  "nfs",
		Doc:   "NFS between two machines, in both versions that are in use.",
		Tests: []harness.Test{version("3"), version("4")},
	}
}

const (
	exported = "/srv/seatrial"
	mounted  = "/mnt/seatrial"
	exports  = "/etc/exports.d/seatrial.exports"
)

// version is the test of an NFS version. Machine 0 is the server.
func version(v string) harness.Test {
	return harness.Test{
		Name:    "linux.nfs.v" + v,
		Tags:    []string{harness.TagSlow},
		Doc:     "A machine mounts what another exports by NFS version " + v + ", and each sees what the other wrote.",
		Timeout: 2 * time.Minute,
		Needs: harness.Needs{
			Machines: 2,
			Spec:     platforms.MachineSpec{MemoryMiB: 1024},
			Platform: []platforms.Capability{platforms.MultiMachine},
			Image:    []platforms.Capability{"nfs-server"},
			Exempt:   []string{"unit-failed:NFS", "unit-failed:nfs-server"},
		},
		Run: func(ctx context.Context, t *harness.T) { run(ctx, t, v) },
		Sabotage: []harness.Sabotage{{
			Name:    "other-version-only",
			Break:   fmt.Sprintf(`mkdir -p /etc/nfs.conf.d; printf '[nfsd]\nvers%s=n\n' >/etc/nfs.conf.d/sabotage.conf`, v),
			Undo:    `rm /etc/nfs.conf.d/sabotage.conf; systemctl stop nfs-server`,
			Message: `m1: .*mount.nfs`,
		}, {
			Name:    "server-masked",
			Break:   `systemctl stop nfs-server; systemctl mask --runtime --quiet nfs-server`,
			Undo:    `systemctl unmask --runtime --quiet nfs-server`,
			Message: `nfs-server\.service is masked`,
		}},
	}
}

func run(ctx context.Context, t *harness.T, v string) {
	server, client := t.Machine(0), t.Machine(1)
	client.MustRoot(ctx, fmt.Sprintf("umount -f -l %[1]s 2>/dev/null; mkdir -p %[1]s", mounted))
	server.MustRoot(ctx, fmt.Sprintf(`set -e; rm -rf %[1]s; mkdir -p /etc/exports.d %[1]s; chmod 0777 %[1]s
echo '%[1]s %[2]s(rw,fsid=77,no_subtree_check)' >%[3]s
systemctl restart nfs-server || { systemctl status nfs-server >&2; exit 1; }; exportfs -r`, exported, client.Address(), exports))
	client.MustRoot(ctx, fmt.Sprintf("mount -t nfs -o vers=%s,retry=0,soft %s:%s %s 2>&1 >/dev/null", v, server.Address(), exported, mounted))

	options := client.Must(ctx, "findmnt -n -o FSTYPE,OPTIONS "+mounted)
	if !strings.HasPrefix(options, "nfs") || !strings.Contains(options, "vers="+v) {
		t.Errorf("%s has mounted something else than NFS version %s: %s", client.ID(), v, options)
	}
	nonce := fmt.Sprint(time.Now().UnixNano())
	server.MustRoot(ctx, fmt.Sprintf("echo server %s >%s/from-server", nonce, exported))
	if got, want := client.Must(ctx, "cat "+mounted+"/from-server"), "server "+nonce; got != want {
		t.Errorf("%s reads %q, and %s wrote %q", client.ID(), got, server.ID(), want)
	}
	client.Must(ctx, fmt.Sprintf("echo client %s >%s/from-client && mv %[2]s/from-client %[2]s/renamed", nonce, mounted))
	if got, want := server.Must(ctx, "cat "+exported+"/renamed"), "client "+nonce; got != want {
		t.Errorf("%s reads %q, and %s wrote %q", server.ID(), got, client.ID(), want)
	}
	client.MustRoot(ctx, "umount "+mounted)
	server.MustRoot(ctx, "rm "+exports+" && systemctl stop nfs-server")
}
