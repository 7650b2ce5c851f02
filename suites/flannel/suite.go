package flannel

import (
	"time"

	"seatrial/harness"
	"seatrial/internal/fixtures/flanneld"
	"seatrial/platforms"
	"seatrial/suites/internal/flannelstore"
)

// Suite returns the suite.
func Suite() harness.Suite {
	s := harness.Suite{Name: "flannel", Doc: "Overlay networks between machines, by each of flannel's backends."}
	for _, b := range backends() {
		s.Tests = append(s.Tests, b.test())
	}
	return s
}

// backend is one of flannel's, and how it shows.
type backend struct {
	name   string
	doc    string
	config string // of the backend, in flannel's JSON
	// packets is a match of nft for what the backend sends between machines.
	packets string
	naked   bool // the packets are those of the overlay, not in others
	image   []platforms.Capability
	archs   []string
	why     string
}

func backends() []backend {
	return []backend{{
		name: "vxlan", doc: "in VXLAN, by the kernel",
		config: `{"Type": "vxlan"}`, packets: "udp dport 8472",
	}, {
		name: "udp", doc: "in UDP, by flanneld itself",
		config: `{"Type": "udp"}`, packets: "udp dport 8285",
		archs: []string{"amd64"}, why: "flannel's udp backend is built for amd64 only: upstream's package has no other",
	}, {
		name: "host-gw", doc: "as they are, by routes to the machines",
		config: `{"Type": "host-gw"}`, packets: "ip saddr 10.99.0.0/16 ip daddr 10.99.0.0/16", naked: true,
	}, {
		name: "wireguard", doc: "encrypted by WireGuard, in the kernel",
		config: `{"Type": "wireguard"}`, packets: "udp dport 51820",
		image: []platforms.Capability{"wireguard"},
	}}
}

func (b backend) test() harness.Test {
	return harness.Test{
		Name:    "cl.flannel." + b.name,
		Tags:    []string{harness.TagSlow},
		Doc:     "Network namespaces of three machines reach each other, and their packets travel " + b.doc + ".",
		Timeout: 3 * time.Minute,
		Needs: harness.Needs{
			Machines: machines,
			Spec:     platforms.MachineSpec{MemoryMiB: 1024},
			Platform: []platforms.Capability{platforms.MultiMachine},
			Image:    append([]platforms.Capability{"etcd", "nftables"}, b.image...),
			Archs:    b.archs, Why: b.why,
			Files:  []harness.File{{Name: program, Version: flanneld.Version(), How: "`make fixtures` builds it"}},
			Exempt: []string{"unit-failed:etcd", "unit-failed:flannel"},
		},
		Run:      b.run,
		Sabotage: b.sabotage(),
	}
}

// sabotage breaks machine 0, which has the etcd and starts its flanneld first.
func (b backend) sabotage() []harness.Sabotage {
	other := "host-gw"
	if b.name == other {
		other = "vxlan"
	}
	return []harness.Sabotage{{
		Name:    "packets-dropped",
		Break:   `nft 'add table inet sabotage; add chain inet sabotage drops { type filter hook prerouting priority -300; }; add rule inet sabotage drops iifname != lo ` + b.packets + ` drop'`,
		Undo:    `nft delete table inet sabotage`,
		Message: `a ping from m0 to m1: not within`,
	}, {
		Name:    "etcd-masked",
		Break:   `systemctl stop etcd; systemctl mask --runtime --quiet etcd`,
		Undo:    `systemctl unmask --runtime --quiet etcd`,
		Message: `Unit etcd\.service is masked`,
	}, {
		Name: "other-backend",
		Break: `d=/run/systemd/system/` + unit + `.service.d; mkdir -p $d
cat >$d/sabotage.conf <<'END'
[Service]
ExecStartPre=/usr/bin/env ETCDCTL_API=3 etcdctl put ` + flannelstore.ConfigKey + ` '` + flannelstore.Config(overlay, `{"Type": "`+other+`"}`) + `'
END`,
		Undo:    `rm -r /run/systemd/system/` + unit + `.service.d`,
		Message: `(a ping from m. to m.: not within|m. received \d+ packets by ` + b.name + `)`,
	}}
}
