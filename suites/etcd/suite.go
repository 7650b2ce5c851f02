package etcd

import (
	"seatrial/harness"
	"seatrial/platforms"
)

// Suite returns the suite.
func Suite() harness.Suite {
	return harness.Suite{
		Name: "etcd",
		Doc:  "The image's etcd: one member, and clusters through discovery, TLS and partitions.",
		Tests: []harness.Test{
			etcdctlV3(),
			v2BackupRestore(),
			discover(),
			tlsCluster(),
			partition(),
		},
	}
}

// exempt lists the findings that the tests leave out: what became of the unit
// is what they assert themselves, and a sabotaged one fails to start.
func exempt() []string { return []string{"unit-failed:etcd"} }

// needs shortens the lists of image capabilities.
func needs(cs ...platforms.Capability) []platforms.Capability { return cs }
