package docker

import (
	"context"
	"fmt"
	"time"

	"seatrial/harness"
	"seatrial/platforms"
)

func containerdRestart() harness.Test {
	return harness.Test{
		Name:    "docker.containerd-restart",
		Doc:     "A restart of containerd leaves containers running, and Docker finds it again.",
		Timeout: 2 * time.Minute,
		Needs:   harness.Needs{Image: needs("docker", "containerd"), Platform: fixtures(), Spec: running()},
		Run:     runContainerdRestart,
		Sabotage: []harness.Sabotage{{
			Name: "containers-are-killed",
			Break: `mkdir -p /run/systemd/system/containerd.service.d
printf '[Service]\nKillMode=control-group\n' >/run/systemd/system/containerd.service.d/seatrial.conf
systemctl daemon-reload`,
			Undo:    `rm -r /run/systemd/system/containerd.service.d && systemctl daemon-reload; ` + restartScript,
			Message: `the container does not run any more`,
		}},
	}
}

func runContainerdRestart(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	m := t.Machine(0)
	pid := m.MustRoot(ctx, `docker rm -f survivor >/dev/null 2>&1
docker run -d --name survivor `+image+` sleep 3600 >/dev/null && docker inspect --format '{{.State.Pid}}' survivor`)
	before := m.MustRoot(ctx, "systemctl show --value -p MainPID containerd")
	m.MustRoot(ctx, "systemctl restart containerd")
	if after := m.MustRoot(ctx, "systemctl show --value -p MainPID containerd"); after == before || after == "0" {
		t.Fatalf("containerd was not restarted: its main process was %s and is %s", before, after)
	}
	t.WaitFor(ctx, "Docker runs containers again", 10*time.Second, func(ctx context.Context) error {
		out, err := m.Output(ctx, harness.Root(container(image, "", "echo", "again")))
		if err == nil && out != "again" {
			err = fmt.Errorf("it printed %q", out)
		}
		return err
	})
	got := m.MustRoot(ctx, "docker inspect --format '{{.State.Pid}} {{.State.Running}}' survivor")
	if want := pid + " true"; got != want || m.Status(ctx, harness.Root("test -d /proc/"+pid)) != 0 {
		t.Fatalf("the container does not run any more: process and state are %q, want %q", got, want)
	}
	m.MustRoot(ctx, "docker rm -f survivor")
}

func enableService() harness.Test {
	return harness.Test{
		Name: "docker.enable-service.sysext",
		Tags: []string{harness.TagSlow},
		Doc:  "Docker's service can be enabled by the provisioning config, and then runs without anybody asking for it.",
		Needs: harness.Needs{
			Image:    needs("docker", "ignition"),
			Platform: []platforms.Capability{platforms.FirstBoot},
			UserData: `variant: flatcar
version: 1.0.0
systemd:
  units:
    - name: docker.service
      enabled: true
`,
		},
		Run: func(ctx context.Context, t *harness.T) {
			m := t.Machine(0)
			for question, want := range map[string]string{"is-enabled": "enabled", "is-active": "active"} {
				if got := m.Must(ctx, "systemctl "+question+" docker.service || true"); got != want {
					t.Errorf("docker.service is %s, want %s", got, want)
				}
			}
		},
		Sabotage: []harness.Sabotage{
			{Name: "disabled", Break: `systemctl disable -q docker.service`, Undo: `systemctl enable -q docker.service`, Message: `is disabled, want enabled`},
			{Name: "stopped", Break: `systemctl stop docker.service`, Undo: `systemctl start docker.service`, Message: `is inactive, want active`},
		},
	}
}

func libCompat() harness.Test {
	return harness.Test{
		Name:  "docker.lib-coreos-dockerd-compat",
		Doc:   "The path of CoreOS's wrapper of dockerd, which units of users name, still leads to a daemon.",
		Needs: harness.Needs{Image: needs("docker", "flatcar", "coreos-symlinks")},
		Run: func(ctx context.Context, t *harness.T) {
			m := t.Machine(0)
			want := m.Must(ctx, "dockerd --version")
			if got := m.MustRoot(ctx, "/usr/lib/coreos/dockerd --version"); got != want {
				t.Errorf("/usr/lib/coreos/dockerd is %q, dockerd is %q", got, want)
			}
		},
	}
}

func oldClient() harness.Test {
	return harness.Test{
		Name:  "docker.oldclient",
		Doc:   "The daemon serves a client of the oldest API version that it says it knows.",
		Needs: harness.Needs{Image: needs("docker"), Platform: fixtures(), Spec: running()},
		Run: func(ctx context.Context, t *harness.T) {
			image := pull(ctx, t)
			m := t.Machine(0)
			oldest := m.MustRoot(ctx, "docker version --format '{{.Server.MinAPIVersion}}'")
			old := "export DOCKER_API_VERSION=" + oldest + "; "
			if got := m.MustRoot(ctx, old+"docker version --format '{{.Client.APIVersion}}'"); got != oldest {
				t.Errorf("the client speaks version %s, and was told to speak %s", got, oldest)
			}
			if got := m.MustRoot(ctx, old+container(image, "", "echo", "hello")); got != "hello" {
				t.Errorf("the container printed %q", got)
			}
		},
		Sabotage: []harness.Sabotage{{
			Name: "old-versions-refused",
			Break: `mv /usr/bin/docker /usr/bin/docker.seatrial
printf '#!/bin/sh\n[ "$DOCKER_API_VERSION" ] && { echo "client version $DOCKER_API_VERSION is too old" >&2; exit 1; }\nexec docker.seatrial "$@"\n' >/usr/bin/docker
chmod 0755 /usr/bin/docker`,
			Undo:    `mv /usr/bin/docker.seatrial /usr/bin/docker`,
			Message: `is too old`,
		}},
	}
}
