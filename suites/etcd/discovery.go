package etcd

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/internal/fixtures/discovery"
	"seatrial/platforms"
)

func discover() harness.Test {
	return harness.Test{
		Name:    "cl.etcd-member.discovery",
		Doc:     "Three members that know of each other only through a discovery service form a cluster, and what one writes the others read.",
		Timeout: 2 * time.Minute,
		Needs: harness.Needs{
			Machines: 3,
			Spec:     platforms.MachineSpec{MemoryMiB: 1024},
			Platform: []platforms.Capability{platforms.MultiMachine, platforms.Fixtures},
			Image:    needs("etcd"),
			Exempt:   exempt(),
		},
		Run: runDiscovery,
		Sabotage: []harness.Sabotage{{
			Name:    "wrong-peer-url",
			Break:   override("INITIAL_ADVERTISE_PEER_URLS=http://192.0.2.1:2380"),
			Undo:    undoOverride,
			Message: `registered .*m0=http://192\.0\.2\.1:2380`,
		}},
	}
}

// overrides is a drop-in that is read after that of the test.
const overrides = "/run/systemd/system/etcd.service.d/90-sabotage.conf"

// override breaks settings of machine 0, given as NAME=VALUE without the prefix
// ETCD_; an empty value is etcd's default.
func override(settings ...string) string {
	script := "systemctl stop etcd; f=" + overrides + "; mkdir -p ${f%/*} && echo '[Service]' >$f"
	for _, s := range settings {
		script += " && echo Environment=ETCD_" + s + " >>$f"
	}
	return script
}

const undoOverride = "systemctl stop etcd; rm " + overrides

const discoveryPort = 2381

func runDiscovery(ctx context.Context, t *harness.T) {
	const token = "token"
	service := new(discovery.Service)
	ms := members(ctx, t, 3, "http")
	service.New(token, len(ms))
	server := &http.Server{Handler: service}
	listener := t.Listen(ctx, discoveryPort)
	defer server.Close()
	go func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			t.Logf("discovery service: %v", err)
		}
	}()

	for _, m := range ms {
		config := m.config(t, nil)
		delete(config, "INITIAL_CLUSTER")
		m.start(ctx, config.with(settings{"DISCOVERY": "http://" + listener.Addr().String() + "/" + token}))
	}
	var want []string
	for _, m := range ms {
		want = append(want, m.ID()+"="+m.url(peerPort))
	}
	t.WaitFor(ctx, "the members register", upTime, func(ctx context.Context) error {
		if got := service.Members(token); len(got) < len(want) {
			return ms[0].up(ctx, len(ms))
		}
		return nil
	})
	got := service.Members(token)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Fatalf("etcd's members registered as %s, want %s", strings.Join(got, " "), strings.Join(want, " "))
	}
	waitUp(ctx, t, ms)
	for i, m := range ms {
		m.etcdctl(ctx, "put", "seatrial/from", m.ID())
		wantValue(ctx, t, ms[(i+1)%len(ms)], "seatrial/from", m.ID())
	}
}
