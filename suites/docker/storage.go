package docker

import (
	"context"
	"slices"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/suites/internal/containers"
)

func userNamespaces() harness.Test {
	return harness.Test{
		Name:    "docker.userns",
		Doc:     "With remapped users, root in a container is another user on the host, by the ranges of /etc/subuid and /etc/subgid.",
		Timeout: 2 * time.Minute,
		Needs:   harness.Needs{Image: needs("docker"), Platform: fixtures()},
		Run:     runUserNamespaces,
		Sabotage: []harness.Sabotage{
			withRuntime(harness.Sabotage{Name: "gid-map-half", Message: `gid_map is "0 \d+ 1000", want "0 \d+ 65536"`}, `.linux.gidMappings[0].size = 1000`),
			{
				// The daemon's range and the file are of different opinions.
				Name:  "subuid-changed",
				Break: `cp /etc/subuid /etc/subuid.seatrial && sed -i 's/^dockremap:.*/dockremap:300000:65536/' /etc/subuid`, Undo: `mv /etc/subuid.seatrial /etc/subuid`,
				Message: `uid_map is "0 \d+ 65536", want "0 300000 65536"`,
			},
			withRuntime(harness.Sabotage{Name: "selinux-label-unknown", Message: `/attr/\w+`}, `.process.selinuxLabel = "system_u:system_r:seatrial_t:s0"`),
		},
	}
}

func runUserNamespaces(ctx context.Context, t *harness.T) {
	image := pullWith(ctx, t, func(config map[string]any) { config["userns-remap"] = "default" })
	if _, ok := info(ctx, t).securityOption("userns", "name"); !ok {
		t.Errorf("the daemon does not say that it remaps users")
	}
	m := t.Machine(0)
	// Both ranges are those of the user that the daemon made.
	want := map[string]string{}
	for _, kind := range []string{"uid", "gid"} {
		line := m.MustRoot(ctx, "grep ^dockremap: /etc/sub"+kind)
		fields := strings.Split(line, ":")
		if len(fields) != 3 {
			t.Fatalf("/etc/sub%s has the line %q", kind, line)
		}
		want[kind+"_map"] = strings.Join([]string{"0", fields[1], fields[2]}, " ")
	}
	lines := strings.Split(m.MustRoot(ctx, container(image, "", "cat", "/proc/self/uid_map", "/proc/self/gid_map")), "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ")
	}
	t.Report(containers.Differences(want, containers.Zip([]string{"uid_map", "gid_map"}, lines)))

	// Seen from the host, the process is not root.
	m.MustRoot(ctx, "docker rm -f mapped >/dev/null 2>&1; docker run -d --name mapped "+image+" sleep 3600")
	status := containers.StatusFields(m.MustRoot(ctx, `cat /proc/$(docker inspect --format '{{.State.Pid}}' mapped)/status`))
	user := strings.Fields(want["uid_map"])[1]
	t.Report(containers.Differences(map[string]string{"Uid": strings.Join(slices.Repeat([]string{user}, 4), " ")}, status))
	m.MustRoot(ctx, "docker rm -f mapped")
}

func btrfsStorage() harness.Test {
	return harness.Test{
		Name:    "docker.btrfs-storage",
		Doc:     "Docker keeps its images and containers in btrfs subvolumes.",
		Timeout: 3 * time.Minute,
		Needs:   harness.Needs{Image: needs("docker", "btrfs"), Platform: fixtures()},
		Run:     runBtrfsStorage,
		Sabotage: []harness.Sabotage{{
			Name:    "overlay-on-btrfs",
			Break:   daemonSabotage(`."storage-driver" = "overlay2"`),
			Undo:    mendDaemon,
			Message: `storage driver is overlay2, want btrfs`,
		}, {
			Name: "seccomp-action-unknown",
			Break: `mkdir -p /etc/docker && echo '{"defaultAction": "SCMP_ACT_SEATRIAL"}' >/etc/docker/unknown.json
` + daemonSabotage(`."seccomp-profile" = "/etc/docker/unknown.json"`),
			Undo:    mendDaemon,
			Message: `SCMP_ACT_SEATRIAL.*seccomp|seccomp.*SCMP_ACT_SEATRIAL`,
		}},
	}
}

// runBtrfsStorage leaves a storage driver that is configured as it is: it is
// what the test is about.
func runBtrfsStorage(ctx context.Context, t *harness.T) {
	m := t.Machine(0)
	m.MustRoot(ctx, `findmnt -n -t btrfs /var/lib/docker >/dev/null && exit
systemctl stop docker.socket docker.service
truncate -s 2G /var/lib/docker.btrfs && mkfs.btrfs -q /var/lib/docker.btrfs &&
	mkdir -p /var/lib/docker && mount -o loop /var/lib/docker.btrfs /var/lib/docker && systemctl start docker.socket`)
	image := pullWith(ctx, t, func(config map[string]any) {
		if _, ok := config["storage-driver"]; !ok {
			config["storage-driver"] = "btrfs"
		}
	})
	if i := info(ctx, t); i.Driver != "btrfs" {
		t.Fatalf("the storage driver is %s, want btrfs: %v", i.Driver, i.DriverStatus)
	}
	// A container's root is a subvolume of its own, and what it writes is there.
	m.MustRoot(ctx, "docker rm -f writer >/dev/null 2>&1; docker run --name writer "+image+" touch /written")
	out := m.MustRoot(ctx, `for dir in $(btrfs subvolume list /var/lib/docker | sed 's/.* path //'); do
	[ -e "/var/lib/docker/$dir/written" ] && echo "$dir"
done
true`)
	if fields := strings.Fields(out); len(fields) != 1 {
		t.Errorf("the container's file is in the subvolumes %q, want one", out)
	}
	m.MustRoot(ctx, "docker rm -f writer")
}
