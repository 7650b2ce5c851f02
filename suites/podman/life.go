package podman

import (
	"context"
	"strings"
	"time"

	"seatrial/harness"
)

func network() harness.Test {
	return harness.Test{
		Name:    "podman.network",
		Doc:     "A container has a network of its own, reaches another at its address, and the host reaches a published port.",
		Timeout: 2 * time.Minute,
		Needs:   needs(),
		Run:     runNetwork,
		Sabotage: []harness.Sabotage{{
			Name:    "bridge-rejects-tcp",
			Break:   `iptables -I INPUT -p tcp --dport 80 -j REJECT; iptables -I OUTPUT -p tcp --dport 80 -j REJECT; iptables -I FORWARD -p tcp --dport 80 -j REJECT; modprobe br_netfilter; sysctl -q net.bridge.bridge-nf-call-iptables=1`,
			Undo:    `iptables -D INPUT -p tcp --dport 80 -j REJECT; iptables -D OUTPUT -p tcp --dport 80 -j REJECT; iptables -D FORWARD -p tcp --dport 80 -j REJECT`,
			Message: `refused`,
		}},
	}
}

func runNetwork(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	m := t.Machine(0)
	address := m.MustRoot(ctx, `podman rm -f web >/dev/null 2>&1
podman run -d --name web -p 8080:80 `+image+` httpd 80 /etc >/dev/null && podman inspect --format '{{.NetworkSettings.IPAddress}}' web`)
	got := m.Expect(ctx, 10*time.Second, harness.Root(container(image, "", "get", "http://"+address+"/shadow")))
	if !strings.HasPrefix(got, "root:*:") {
		t.Errorf("the other container answers %q", got)
	}
	got = m.Expect(ctx, 10*time.Second, "curl --silent --show-error --max-time 5 http://127.0.0.1:8080/shadow")
	if !strings.HasPrefix(got, "root:*:") {
		t.Errorf("the published port answers %q", got)
	}
	m.MustRoot(ctx, "podman rm -f -t 2 web")
}

func workflow() harness.Test {
	return harness.Test{
		Name:    "podman.workflow",
		Doc:     "A container is made, started, looked at, stopped, started again and removed, and its image after it.",
		Timeout: 2 * time.Minute,
		Needs:   needs(),
		Run:     runWorkflow,
		Sabotage: []harness.Sabotage{{
			Name: "container-dies",
			Break: `mv /usr/bin/podman /usr/bin/podman.seatrial
printf '#!/bin/sh\n[ "$1" != start ] || { podman.seatrial "$@" && exec podman.seatrial kill worker; }\nexec podman.seatrial "$@"\n' >/usr/bin/podman
chmod 0755 /usr/bin/podman`,
			Undo:    `mv /usr/bin/podman.seatrial /usr/bin/podman`,
			Message: `container is "exited", want "running"`,
		}},
	}
}

func runWorkflow(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	m := t.Machine(0)
	m.MustRoot(ctx, "podman rm -f worker >/dev/null 2>&1; podman create --name worker -v seatrial:/data "+image+" httpd 80 /data")
	for _, step := range []struct{ script, state string }{
		{"podman start worker", "running"},
		{"podman exec worker touch /data/kept", "running"},
		{"podman stop -t 2 worker", "exited"},
		{"podman start worker", "running"},
		{"podman exec worker stat /data/kept", "running"},
	} {
		m.MustRoot(ctx, step.script)
		if got := m.MustRoot(ctx, "podman inspect --format '{{.State.Status}}' worker"); got != step.state {
			t.Fatalf("after %q the container is %q, want %q", step.script, got, step.state)
		}
	}
	m.MustRoot(ctx, "podman rm -f -t 2 worker && podman volume rm seatrial && podman rmi "+image)
	if out := m.MustRoot(ctx, "podman ps -a -q; podman images -q "+image+"; podman volume ls -q"); out != "" {
		t.Errorf("something is left: %q", out)
	}
}
