package docker

import (
	"context"
	"strings"
	"time"

	"seatrial/harness"
)

func network() harness.Test {
	return harness.Test{
		Name:    "docker.network-openbsd-nc",
		Doc:     "Containers reach each other by address and by name, the host reaches a published port, and networks are apart.",
		Timeout: 2 * time.Minute,
		Needs:   harness.Needs{Image: needs("docker"), Platform: fixtures(), Spec: running()},
		Subtests: []harness.Subtest{
			{Name: "by-address", Doc: "On the default bridge a container reaches another at its address.", Run: byAddress},
			{Name: "by-name", Doc: "On a network of the user's a container reaches another by its name.", Run: byName},
			{Name: "published", Doc: "A published port of the host leads into the container.", Run: published},
			{Name: "isolated", Doc: "A container on one network cannot reach one on another.", Run: isolated},
		},
		Sabotage: []harness.Sabotage{
			{
				Name: "bridge-drops-tcp", Subtest: "by-address",
				Break:   `iptables -I DOCKER-USER -i docker0 -o docker0 -p tcp -j REJECT`,
				Undo:    `iptables -D DOCKER-USER -i docker0 -o docker0 -p tcp -j REJECT`,
				Message: `refused`,
			},
			withRuntime(harness.Sabotage{Name: "no-name-server", Subtest: "by-name", Message: `lookup server`},
				`.mounts |= map(select(.destination != "/etc/resolv.conf"))`),
			{
				Name: "published-port-rejected", Subtest: "published",
				Break:   `iptables -I OUTPUT -o lo -p tcp --dport 8080 -j REJECT`,
				Undo:    `iptables -D OUTPUT -o lo -p tcp --dport 8080 -j REJECT`,
				Message: `curl: `,
			},
			{
				Name: "no-isolation", Subtest: "isolated",
				Break:   `iptables -I FORWARD -j ACCEPT`,
				Undo:    `iptables -D FORWARD -j ACCEPT`,
				Message: `reached one on another network`,
			},
		},
	}
}

// serverReady starts a container "server" that takes one line on port 4000, and
// waits until it listens.
func serverReady(image, options string) string {
	return `docker rm -f server >/dev/null 2>&1
docker run -d --name server ` + options + ` ` + image + ` listen 4000 >/dev/null || exit
until docker logs server 2>&1 | grep -q listening; do
	docker inspect --format '{{.State.Running}}' server | grep -q true || { docker logs server >&2; exit 1; }
done
`
}

// exchange wants a client's line to come to the server and the answer back.
func exchange(ctx context.Context, t *harness.T, script string) {
	m := t.Machine(0)
	if got := m.MustRoot(ctx, script); got != "got hello" {
		t.Errorf("the client was answered %q", got)
	}
	if got := m.MustRoot(ctx, "docker logs server && docker rm -f server >/dev/null"); got != "listening\nhello" {
		t.Errorf("the server printed %q", got)
	}
}

func byAddress(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	exchange(ctx, t, serverReady(image, "")+
		`address=$(docker inspect --format '{{.NetworkSettings.IPAddress}}' server) && `+
		`docker run --rm `+image+` connect "$address:4000" hello`)
}

// ownNetwork makes a network of the given name, unless it is there.
func ownNetwork(name string) string {
	return "docker network inspect " + name + " >/dev/null 2>&1 || docker network create " + name + " >/dev/null || exit\n"
}

func byName(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	exchange(ctx, t, ownNetwork("seatrial")+serverReady(image, "--network seatrial")+
		container(image, "--network seatrial", "connect", "server:4000", "hello"))
}

func published(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	m := t.Machine(0)
	m.MustRoot(ctx, "docker rm -f web >/dev/null 2>&1; docker run -d --name web -p 8080:80 "+image+" httpd 80 /etc")
	got := m.Expect(ctx, 10*time.Second, "curl --silent --show-error --max-time 5 http://127.0.0.1:8080/shadow")
	if !strings.HasPrefix(got, "root:*:") {
		t.Errorf("the published port answers %q", got)
	}
	m.MustRoot(ctx, "docker rm -f web")
}

// isolated is about packets that are dropped, so that nothing ever answers.
// That the server can be reached at all is proven on its own network.
func isolated(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	m := t.Machine(0)
	address := m.MustRoot(ctx, ownNetwork("seatrial")+`docker rm -f other >/dev/null 2>&1
docker run -d --name other --network seatrial `+image+` httpd 80 /etc >/dev/null && docker inspect --format '{{.NetworkSettings.Networks.seatrial.IPAddress}}' other`)
	m.Expect(ctx, 10*time.Second, harness.Root(container(image, "--network seatrial", "get", "http://"+address+"/shadow")))
	out, err := m.Output(ctx, harness.Root(container(image, "", "get", "http://"+address+"/shadow")))
	if err == nil {
		t.Errorf("a container on the default bridge reached one on another network: %q", out)
	} else if !strings.Contains(err.Error(), "timeout") && !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("the connection to another network ended with another error: %v", err)
	}
	m.MustRoot(ctx, "docker rm -f other")
}
