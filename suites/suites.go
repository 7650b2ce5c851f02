// Package suites holds the catalogue: the one list of all suites. A new suite
// is a directory and a line here.
package suites

import (
	"seatrial/harness"
	"seatrial/suites/basic"
	"seatrial/suites/docker"
	"seatrial/suites/etcd"
	"seatrial/suites/flannel"
	"seatrial/suites/ignition"
	"seatrial/suites/kubernetes"
	"seatrial/suites/nfs"
	"seatrial/suites/podman"
	"seatrial/suites/rkt"
	"seatrial/suites/selftest"
	"seatrial/suites/selinux"
)

// All returns every suite, in alphabetical order.
func All() []harness.Suite {
	return []harness.Suite{
		basic.Suite(),
		docker.Suite(),
		etcd.Suite(),
		flannel.Suite(),
		ignition.Suite(),
		kubernetes.Suite(),
		nfs.Suite(),
		podman.Suite(),
		rkt.Suite(),
		selftest.Suite(),
		selinux.Suite(),
	}
}
