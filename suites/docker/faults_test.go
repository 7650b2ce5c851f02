package docker

import (
	"strings"
	"testing"
)

func good() daemonInfo {
	return daemonInfo{
		Architecture: "x86_64", CgroupDriver: "systemd", CgroupVersion: "2", DockerRootDir: "/var/lib/docker", Driver: "overlay2", OSType: "linux",
		SecurityOptions: []string{"name=apparmor", "name=seccomp,profile=default", "name=cgroupns"}, ServerVersion: "20.10.24+dfsg1",
	}
}

func TestInfoFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*daemonInfo)
		want   string // "" for none
	}{
		{"good", func(*daemonInfo) {}, ""},
		{"containerd's images", func(i *daemonInfo) { i.ServerVersion, i.Driver = "29.0.1", "overlayfs" }, ""},
		{"cgroup v1", func(i *daemonInfo) { i.CgroupVersion, i.CgroupDriver = "1", "cgroupfs" }, ""},
		{"newer name of the profile", func(i *daemonInfo) { i.SecurityOptions = []string{"name=seccomp,profile=builtin"} }, ""},
		{"slow storage", func(i *daemonInfo) { i.Driver = "vfs" }, "storage driver is vfs"},
		{"old daemon, new driver", func(i *daemonInfo) { i.Driver = "overlayfs" }, "storage driver is overlayfs"},
		{"two masters of cgroups", func(i *daemonInfo) { i.CgroupDriver = "cgroupfs" }, "cgroup driver is cgroupfs"},
		{"no seccomp", func(i *daemonInfo) { i.SecurityOptions = []string{"name=cgroupns"} }, `seccomp profile is ""`},
		{"another profile", func(i *daemonInfo) { i.SecurityOptions = []string{"name=seccomp,profile=/allow.json"} }, `seccomp profile is "/allow.json"`},
		{"another architecture", func(i *daemonInfo) { i.Architecture = "aarch64" }, "aarch64, and the machine is x86_64"},
		{"another directory", func(i *daemonInfo) { i.DockerRootDir = "/data" }, "/data"},
		{"errors", func(i *daemonInfo) { i.ServerErrors = []string{"no daemon"} }, "no daemon"},
		{"no version", func(i *daemonInfo) { i.ServerVersion = "" }, "server version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := good()
			c.change(&i)
			got := strings.Join(infoFaults(i, "x86_64"), "\n")
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
func TestLabelFaults(t *testing.T) {
	const one, two = "system_u:system_r:container_t:s0:c1,c2", "system_u:system_r:container_t:s0:c3,c4"
	for _, c := range []struct {
		name, one, two, want string
	}{
		{"apart", one, two, ""},
		{"the same", one, one, "two containers have the same label"},
		{"not confined", "system_u:system_r:unconfined_t:s0", two, "unconfined_t"},
		{"no categories", "system_u:system_r:container_t:s0", two, "two categories"},
		{"no label", "kernel", two, `"kernel"`},
	} {
		if got := strings.Join(labelFaults(c.one, c.two), "\n"); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
