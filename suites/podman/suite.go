// Package podman is the suite of tests of Podman, which runs containers without
// a daemon. The images are those of package containers, from a registry that
// the harness serves.
package podman

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/kballard/go-shellquote"

	"seatrial/harness"
	"seatrial/internal/fixtures/registry"
	"seatrial/platforms"
	"seatrial/suites/internal/containers"
)

// Suite returns the suite.
func Suite() harness.Suite {
	return harness.Suite{
		Name:  "podman",
		Doc:   "Podman: what it keeps containers from, its network, and a container's life.",
		Tests: []harness.Test{base(), network(), workflow()},
	}
}

func needs() harness.Needs {
	return harness.Needs{
		Image:    []platforms.Capability{"podman"},
		Platform: []platforms.Capability{platforms.Fixtures},
	}
}

// pull serves the registry, and returns the name of the probe's image, which
// the machine has got.
func pull(ctx context.Context, t *harness.T) (image string) {
	h, err := containers.Images(t.Arch())
	if err != nil {
		t.Fatalf("%v", err)
	}
	image = t.Serve(ctx, registry.Port, h) + "/probe:latest"
	t.Machine(0).MustRoot(ctx, "podman pull -q --tls-verify=false "+image)
	return image
}

// container makes the command line that runs the probe in a container of its
// own.
func container(image, options string, command ...string) string {
	return "podman run --rm " + options + " " + image + " " + shellquote.Join(command...)
}

func base() harness.Test {
	return harness.Test{
		Name:    "podman.base",
		Doc:     "Podman runs containers, and limits and confines them as it is told.",
		Timeout: 2 * time.Minute,
		Needs:   needs(),
		Subtests: []harness.Subtest{
			{Name: "info", Doc: "The storage driver is overlay, the runtime is there, and the cgroup manager fits the version.", Run: podmanInfo},
			{Name: "resources", Doc: "Limits of memory, processes and shared memory hold in the container.", Run: resources},
			{Name: "user-no-caps", Doc: "A process of another user than root has no capabilities and cannot read root's files.", Run: userNoCaps},
			{Name: "seccomp", Doc: "The default seccomp profile denies the system calls that it must.", Run: seccomp},
		},
		Sabotage: []harness.Sabotage{
			{
				Name: "storage-driver-vfs", Subtest: "info",
				Break: `printf '[storage]\ndriver = "vfs"\nrunroot = "/run/seatrial-vfs"\ngraphroot = "/var/lib/seatrial-vfs"\n' >/etc/containers/storage.conf.seatrial
[ ! -e /etc/containers/storage.conf ] || mv /etc/containers/storage.conf /etc/containers/storage.conf.was
mv /etc/containers/storage.conf.seatrial /etc/containers/storage.conf`,
				Undo: `rm /etc/containers/storage.conf
[ ! -e /etc/containers/storage.conf.was ] || mv /etc/containers/storage.conf.was /etc/containers/storage.conf`,
				Message: `storage driver is vfs`,
			},
			withRuntime(harness.Sabotage{Name: "memory-unlimited", Subtest: "resources", Message: `memory\.max is "max", want`}, `del(.linux.resources.memory)`),
			withRuntime(harness.Sabotage{Name: "user-is-root", Subtest: "user-no-caps", Message: `CapEff is "[0-9a-f]*[1-9a-f]`}, containers.AsRoot),
			withRuntime(harness.Sabotage{Name: "no-seccomp", Subtest: "seccomp", Message: `move_pages .* is not denied`}, `del(.linux.seccomp)`),
			{
				Name: "image-of-the-wrong-architecture", Subtest: "user-no-caps",
				Serve: harness.Served{registry.Port: containers.ForeignImages}, Message: `exec format error|Exec format error`,
			},
		},
	}
}

// withRuntime completes a sabotage that starts containers by a runtime which
// changes their configuration with a jq filter first.
func withRuntime(s harness.Sabotage, filter string) harness.Sabotage {
	s.Break = containers.WriteRuntime("crun", filter) + `printf '[engine]\nruntime = "` + containers.RuntimePath + `"\n' >/etc/containers/containers.conf`
	s.Undo = `rm /etc/containers/containers.conf ` + containers.RuntimePath
	return s
}

func podmanInfo(ctx context.Context, t *harness.T) {
	m := t.Machine(0)
	out := m.MustRoot(ctx, "podman info --format json")
	var i podmanFacts
	if err := json.Unmarshal([]byte(out), &i); err != nil {
		t.Fatalf("podman info: %v: %s", err, out)
	}
	t.Report(infoFaults(i, t.Arch()))
	if i.Host.OCIRuntime.Path != "" && m.Status(ctx, "test -x "+i.Host.OCIRuntime.Path) != 0 {
		t.Errorf("the runtime %s cannot be run", i.Host.OCIRuntime.Path)
	}
}

// podmanFacts is the part of `podman info` that the test looks at.
type podmanFacts struct {
	Host struct {
		Arch           string
		CgroupManager  string
		CgroupsVersion string `json:"cgroupVersion"`
		OCIRuntime     struct{ Name, Path string }
		Security       struct {
			SECCOMPEnabled bool `json:"seccompEnabled"`
			Rootless       bool
		}
	}
	Store struct {
		GraphDriverName string
	}
}

func infoFaults(i podmanFacts, arch string) []string {
	var faults []string
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if i.Store.GraphDriverName != "overlay" {
		bad("the storage driver is %s, want overlay", i.Store.GraphDriverName)
	}
	if i.Host.CgroupsVersion == "v2" && i.Host.CgroupManager != "systemd" {
		bad("the cgroup manager is %s; with cgroup v2 it must be systemd", i.Host.CgroupManager)
	}
	if i.Host.OCIRuntime.Name == "" || i.Host.OCIRuntime.Path == "" {
		bad("there is no runtime: %+v", i.Host.OCIRuntime)
	}
	if !i.Host.Security.SECCOMPEnabled {
		bad("seccomp is not enabled")
	}
	if i.Host.Security.Rootless {
		bad("root's podman calls itself rootless")
	}
	if i.Host.Arch != arch {
		bad("podman is one for %s, and the machine is %s", i.Host.Arch, arch)
	}
	return faults
}

func resources(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	out := t.Machine(0).MustRoot(ctx, container(image, "--memory 64m --memory-swap 64m --pids-limit 20 --shm-size 8m",
		"cat", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.swap.max", "/sys/fs/cgroup/pids.max"))
	t.Report(containers.Differences(map[string]string{"memory.max": "67108864", "memory.swap.max": "0", "pids.max": "20"},
		containers.Zip([]string{"memory.max", "memory.swap.max", "pids.max"}, strings.Split(out, "\n"))))
	if size := t.Machine(0).MustRoot(ctx, container(image, "--shm-size 8m", "df", "/dev/shm")); size != "8388608" {
		t.Errorf("/dev/shm has %s bytes, want 8388608", size)
	}
}

func userNoCaps(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	containers.CheckUser(ctx, t, func(command ...string) string { return container(image, "--user 1000:1000", command...) })
}

func seccomp(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	m := t.Machine(0)
	confined := m.MustRoot(ctx, container(image, "", "syscalls"))
	free := m.MustRoot(ctx, container(image, "--security-opt seccomp=unconfined", "syscalls"))
	t.Logf("with the profile: %s, without: %s", confined, free)
	t.Report(containers.ProfileFaults(append(containers.ArchCalls(t.Arch()), deniedCalls()...), confined, free))
}

// deniedCalls lists the calls of the probe that Podman's default profile denies
// on every architecture. It lets more through than Docker's.
func deniedCalls() []string { return []string{"move_pages", "userfaultfd"} }
