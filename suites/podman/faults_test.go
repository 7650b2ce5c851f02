package podman

import (
	"encoding/json"
	"strings"
	"testing"
)

// printed is the part of what Podman 4.3 prints that the test reads.
const printed = `{"host": {"arch": "amd64", "cgroupManager": "systemd", "cgroupVersion": "v2", "ociRuntime": {"name": "crun", "path": "/usr/bin/crun"},
	"security": {"seccompEnabled": true, "rootless": false}}, "store": {"graphDriverName": "overlay"}}`

func TestInfoFaults(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"good", "", "", ""},
		{"slow storage", "overlay", "vfs", "storage driver is vfs"},
		{"two masters of cgroups", "systemd", "cgroupfs", "cgroup manager is cgroupfs"},
		{"no runtime", "/usr/bin/crun", "", "no runtime"},
		{"no seccomp", "true", "false", "seccomp is not enabled"},
		{"another architecture", "amd64", "arm64", "arm64"},
	} {
		var i podmanFacts
		if err := json.Unmarshal([]byte(strings.Replace(printed, c.from, c.to, 1)), &i); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(infoFaults(i, "amd64"), "\n"); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
