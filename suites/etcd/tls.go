package etcd

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"seatrial/harness"
	"seatrial/internal/fixtures/authority"
	"seatrial/platforms"
)

func tlsCluster() harness.Test {
	return harness.Test{
		Name:    "cl.etcd-member.tls",
		Tags:    []string{harness.TagSlow},
		Doc:     "Three members trust each other and their clients by certificates alone: a client without one, with a foreign one or without TLS is refused.",
		Timeout: 2 * time.Minute,
		Needs: harness.Needs{
			Machines: 3,
			Spec:     platforms.MachineSpec{MemoryMiB: 1024},
			Platform: []platforms.Capability{platforms.MultiMachine},
			Image:    needs("etcd", "curl"),
			Exempt:   exempt(),
		},
		Run: runTLS,
		Sabotage: []harness.Sabotage{{
			Name:    "clients-without-certificate",
			Break:   override("CLIENT_CERT_AUTH=false", "TRUSTED_CA_FILE="),
			Undo:    undoOverride,
			Message: `m0 serves a client without a certificate`,
		}, {
			Name:    "authority-missing",
			Break:   override("PEER_TRUSTED_CA_FILE=/nonexistent"),
			Undo:    undoOverride,
			Message: `m0: etcd.service has failed(?s:.*)/nonexistent`,
		}},
	}
}

const (
	tlsDir      = "/run/seatrial-tls"
	caFile      = tlsDir + "/ca.pem"
	certFile    = tlsDir + "/member.pem"
	keyFile     = tlsDir + "/member.key"
	foreignCert = tlsDir + "/foreign.pem"
	foreignKey  = tlsDir + "/foreign.key"
)

func runTLS(ctx context.Context, t *harness.T) {
	ours, err := authority.New("ours")
	t.Check(err)
	foreign, err := authority.New("foreign")
	t.Check(err)
	ms := members(ctx, t, 3, "https")
	for _, m := range ms {
		m.install(ctx, t, ours, certFile, keyFile)
		m.install(ctx, t, foreign, foreignCert, foreignKey)
		m.Upload(ctx, caFile, 0o644, ours.PEM)
		m.start(ctx, m.config(t, ms).with(settings{
			"CERT_FILE": certFile, "KEY_FILE": keyFile, "TRUSTED_CA_FILE": caFile, "CLIENT_CERT_AUTH": "true",
			"PEER_CERT_FILE": certFile, "PEER_KEY_FILE": keyFile, "PEER_TRUSTED_CA_FILE": caFile, "PEER_CLIENT_CERT_AUTH": "true",
		}))
	}
	waitUp(ctx, t, ms)
	for i, m := range ms {
		m.etcdctl(ctx, "put", "seatrial/from", m.ID())
		wantValue(ctx, t, ms[(i+1)%len(ms)], "seatrial/from", m.ID())
	}
	for i, m := range ms {
		ms[(i+1)%len(ms)].strangers(ctx, t, m)
	}
}

// install brings a new key and its certificate for the member to its machine.
func (m member) install(ctx context.Context, t *harness.T, a *authority.Authority, certPath, keyPath string) {
	cert, key, err := a.Issue(m.ID(), m.Address(), netip.MustParseAddr("127.0.0.1"))
	t.Check(err)
	m.Upload(ctx, certPath, 0o644, cert)
	m.Upload(ctx, keyPath, 0o600, key)
	m.MustRoot(ctx, "chown --reference=/var/lib/etcd "+keyPath)
}

// strangers are clients on m's machine that another member must refuse. The
// client with a certificate of the cluster proves that nothing else keeps them
// off.
func (m member) strangers(ctx context.Context, t *harness.T, other member) {
	curl := func(scheme, args string) int {
		return m.Status(ctx, harness.Root(fmt.Sprintf("curl -s -m %d -o /dev/null --cacert %s %s %s://%s:%d/version",
			int(t.Scale(time.Second)/time.Second)+1, caFile, args, scheme, other.Address(), clientPort)))
	}
	if status := curl("https", "--cert "+certFile+" --key "+keyFile); status != 0 {
		t.Errorf("etcd on %s refuses a client with a certificate: curl exits with %d", other.ID(), status)
	}
	for _, stranger := range []struct{ what, scheme, args string }{
		{"without a certificate", "https", ""},
		{"with a certificate of a foreign authority", "https", "--cert " + foreignCert + " --key " + foreignKey},
		{"without TLS", "http", "-f"},
	} {
		if curl(stranger.scheme, stranger.args) == 0 {
			t.Errorf("etcd on %s serves a client %s", other.ID(), stranger.what)
		}
	}
}
