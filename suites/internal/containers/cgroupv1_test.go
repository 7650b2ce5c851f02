package containers

import (
	"strings"
	"testing"
)

func TestCgroupV1Faults(t *testing.T) {
	const (
		mounts = `tmpfs /sys/fs/cgroup tmpfs ro,nosuid,size=4096k 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,nosuid,xattr,name=systemd 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0
cgroup /sys/fs/cgroup/blkio cgroup rw,blkio 0 0
cgroup /sys/fs/cgroup/devices cgroup rw,devices 0 0
cgroup /sys/fs/cgroup/freezer cgroup rw,freezer 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0
cgroup /sys/fs/cgroup/hugetlb cgroup rw,hugetlb 0 0
`
		cgroups = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t3\t1\t1\nhugetlb\t4\t1\t1\nrdma\t0\t1\t0\n"
	)
	for _, c := range []struct{ name, mounts, cgroups, want string }{
		{"version 1", mounts, cgroups, ""},
		{"hybrid", mounts + "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n", cgroups, "cgroup v2 is mounted at /sys/fs/cgroup/unified"},
		{"one is missing", strings.Replace(mounts, "rw,memory", "rw", 1), cgroups, "the cgroup v1 controller memory is not mounted"},
		{"one that the kernel has", strings.Replace(mounts, "rw,hugetlb", "rw", 1), cgroups, "the cgroup v1 controller hugetlb is not mounted"},
		{"not systemd's", strings.Replace(mounts, "name=systemd", "name=other", 1), cgroups, "the cgroup v1 controller name=systemd is not mounted"},
		{"version 2", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", cgroups, "cgroup v2 is mounted at /sys/fs/cgroup"},
	} {
		got := strings.Join(cgroupV1Faults(c.mounts, c.cgroups), "\n")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
