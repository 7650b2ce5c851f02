// Package flannelstore is what the tests of flannel and of Kubernetes share: the
// etcd in which flannel finds its network, and the daemon that reads it there.
package flannelstore

import (
	"fmt"
	"time"
)

// ConfigKey is where flannel looks for its configuration.
const ConfigKey = "/coreos.com/network/config"

// Config is the configuration of a network, in CIDR notation, with a backend in
// JSON.
func Config(network, backend string) string {
	return fmt.Sprintf(`{"Network": "%s", "Backend": %s}`, network, backend)
}

// Script starts an empty etcd with the image's unit, that other machines reach at
// an address, and writes flannel's configuration to it within limit. etcd before
// 3.5 does not start on arm64 unless it is told to.
func Script(address, arch string, limit time.Duration, config string) string {
	return fmt.Sprintf(script, address, arch, int(limit.Seconds()), ConfigKey, config)
}

const script = `set -e; d=/run/systemd/system/etcd.service.d; mkdir -p $d; cat >$d/50-seatrial.conf <<END
[Service]
Environment=ETCD_DATA_DIR=/var/lib/etcd/seatrial
Environment=ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379
Environment=ETCD_ADVERTISE_CLIENT_URLS=http://%s:2379
Environment=ETCD_UNSUPPORTED_ARCH=%s
END
systemctl daemon-reload; systemctl start etcd || { systemctl status etcd >&2; exit 1; }
ETCDCTL_API=3 etcdctl --command-timeout %ds put %s '%s'`

// Unit is the daemon's.
const Unit = "seatrial-flanneld"

// Daemon is a command line that starts flanneld, which is at a path, on the
// interface with an address, and waits up to limit until it has a subnet of the
// network in the etcd at another address. Where it fails, what it said last says
// why.
func Daemon(path, etcd, address string, limit time.Duration) string {
	return fmt.Sprintf("systemd-run --quiet --unit=%[1]s --property=Type=notify --property=TimeoutStartSec=%[2]d "+
		"%[3]s -etcd-endpoints http://%[4]s:2379 -iface %[5]s -subnet-file /run/flannel/subnet.env || "+
		"{ journalctl _SYSTEMD_UNIT=%[1]s.service -n 1 -o cat --no-pager >&2; exit 1; }",
		Unit, int(limit.Seconds()), path, etcd, address)
}
