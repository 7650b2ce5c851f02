package kubernetes

import (
	"fmt"
	"time"

	"seatrial/harness"
	"seatrial/internal/fixtures/flanneld"
	"seatrial/internal/fixtures/kubernetes"
	"seatrial/internal/fixtures/registry"
	"seatrial/platforms"
	"seatrial/suites/internal/containers"
)

// Suite returns the suite.
func Suite() harness.Suite {
	return harness.Suite{
		Name:  "kubernetes",
		Doc:   "Kubernetes, made by kubeadm, on one machine and on two.",
		Tests: []harness.Test{basic(), kubeadm(), kubeadmCgroupV1()},
	}
}

func needs(machines int, image ...platforms.Capability) harness.Needs {
	platform := []platforms.Capability{platforms.Fixtures}
	if machines > 1 {
		platform = append(platform, platforms.MultiMachine)
	}
	return harness.Needs{
		Machines: machines,
		Spec:     platforms.MachineSpec{CPUs: 2, MemoryMiB: 3072},
		Platform: platform,
		Image:    append([]platforms.Capability{"containerd", "cni-plugins", "curl", "etcd"}, image...),
		Files: []harness.File{
			{Name: hyperkube, Version: kubernetes.Version(), How: "`make kubernetes` builds it"},
			{Name: coredns, Version: kubernetes.Version(), How: "`make kubernetes` builds it"},
			{Name: overlay, Version: flanneld.Version(), How: "`make fixtures` builds it"},
		},
		Exempt: []string{"unit-failed:etcd", "unit-failed:flannel", "unit-failed:kubelet"},
		Busy:   true, // the API server ends if parts of its start take half a minute, however slow the machine is
	}
}

// foreignImage is noticed when the web server is to start.
func foreignImage() harness.Sabotage {
	return harness.Sabotage{
		Name:    "image-of-the-wrong-architecture",
		Serve:   harness.Served{registry.Port: containers.ForeignImages},
		Message: `pod web-\S+: .*(no match for platform|exec format error)`,
	}
}

// basic keeps the family's name: what is left of Docker in it, since the
// kubelet does not drive it any more, is that both are on one machine.
func basic() harness.Test {
	return harness.Test{
		Name:    "google.kubernetes.basic.docker." + kubernetes.Release,
		Tags:    []string{harness.TagSlow},
		Doc:     "kubeadm makes a cluster of one machine, on which Docker runs, too, and a deployed web server is reached through its service.",
		Timeout: 5 * time.Minute,
		Needs:   needs(1, "docker"),
		Run:     besideDocker,
		Sabotage: []harness.Sabotage{foreignImage(), {
			Name:    "docker-masked",
			Break:   `systemctl stop docker.socket docker; systemctl mask --runtime --quiet docker`,
			Undo:    `systemctl unmask --runtime --quiet docker`,
			Message: `docker\.service is masked`,
		}, {
			// Not undone: an API server that lost its store is started again at
			// ever longer intervals, and so this has machines of its own.
			Name:    "etcd-masked",
			Break:   `systemctl stop etcd; systemctl mask --runtime --quiet etcd`,
			Message: `etcd\.service is masked`,
		}},
	}
}

func kubeadm() harness.Test {
	foreign := foreignImage()
	foreign.Subtest = "nginx"
	return harness.Test{
		Name:    "kubeadm." + kubernetes.Release + ".flannel.base",
		Tags:    []string{harness.TagSlow},
		Doc:     "kubeadm makes a cluster of a control plane and a worker, which runs pods, services and volumes.",
		Timeout: 5 * time.Minute,
		Needs:   needs(2),
		Subtests: []harness.Subtest{
			{Name: "nodes", Doc: "Both machines become ready nodes, with the kubelet and the container runtime that they have.", Run: nodes},
			{Name: "nginx", Doc: "A web server is deployed on the worker, and a pod on the control plane reads its page through a service.", Run: nginx},
			{Name: "dns", Doc: "A pod finds a service by its name.", Run: dns},
			{Name: "nfs", Doc: "A pod reads and writes a volume that another machine serves by NFS.", Image: []platforms.Capability{"nfs-server"}, Run: nfs},
		},
		Sabotage: []harness.Sabotage{
			{
				Name: "kubelet-stopped", Subtest: "nodes",
				Break: `systemctl stop kubelet`, Undo: `systemctl start kubelet`, Message: `m0: the kubelet is inactive`,
			},
			{
				Name: "overlay-dropped", Subtest: "nginx",
				Break: dropUDP(8472), Undo: mendNetwork, Message: `pod client: .* i/o timeout`,
			},
			foreign,
			{
				Name: "name-server-dropped", Subtest: "dns",
				Break: dropUDP(53), Undo: mendNetwork, Message: `pod client: .* lookup web`,
			},
			{
				Name: "server-masked", Subtest: "nfs",
				Break:   `systemctl stop nfs-server; systemctl mask --runtime --quiet nfs-server`,
				Undo:    `systemctl unmask --runtime --quiet nfs-server`,
				Message: `nfs-server\.service is masked`,
			},
		},
	}
}

// kubeadmCgroupV1 is kubeadm where the machines have cgroup v1, which Kubernetes
// supports up to version 1.34.
func kubeadmCgroupV1() harness.Test {
	t := kubeadm()
	t.Name = "kubeadm." + kubernetes.Release + ".flannel.cgroupv1.base"
	t.Doc = "The same on machines whose control groups are those of version 1."
	t.Needs.UserData, t.Needs.BootTimeout = containers.CgroupV1Config, containers.CgroupV1BootTimeout
	t.Needs.Image = append(t.Needs.Image, "ignition")
	t.Needs.Platform = append(t.Needs.Platform, platforms.FirstBoot)
	t.Subtests = append([]harness.Subtest{
		{Name: "cgroups", Doc: "Every controller is mounted in version 1, and the kubelet keeps its pods there.", Run: cgroups},
	}, t.Subtests...)
	t.Sabotage = append([]harness.Sabotage{containers.Hybrid("cgroups")}, t.Sabotage...)
	return t
}

// mendNetwork undoes dropUDP.
const mendNetwork = `nft delete table inet sabotage`

// dropUDP is a script that drops packets to a port before anything sees them,
// also those that another machine sent, and those between pods.
func dropUDP(port int) string {
	return fmt.Sprintf(`nft 'add table inet sabotage
add chain inet sabotage drops { type filter hook prerouting priority -300; }
add rule inet sabotage drops udp dport %d drop'`, port)
}
