package docker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/internal/fixtures/registry"
	"seatrial/suites/internal/containers"
)

func base() harness.Test {
	t := harness.Test{
		Name:    "docker.base",
		Tags:    []string{harness.TagSlow},
		Doc:     "Docker runs containers, and limits, connects, and confines them as it is told.",
		Timeout: 3 * time.Minute,
		Needs:   harness.Needs{Image: needs("docker"), Platform: fixtures(), Spec: running()},
		Subtests: []harness.Subtest{
			{Name: "docker-info", Doc: "The daemon has the storage driver, cgroup driver, runtime and seccomp profile that a modern system wants.", Run: dockerInfo},
			{Name: "resources", Doc: "Limits of memory, CPU, processes, files and shared memory hold in the container.", Run: resources},
			{Name: "networks-reliably", Doc: "Each of a row of new containers reaches its gateway.", Run: networksReliably},
			{Name: "user-no-caps", Doc: "A process of another user than root has no capabilities and cannot read root's files.", Run: userNoCaps},
			{Name: "ownership", Doc: "A file keeps owner, group and mode from the registry into the container and into an export of it.", Run: ownership},
		},
	}
	t.Sabotage = []harness.Sabotage{
		{
			Name: "storage-driver-vfs", Subtest: "docker-info",
			Break: daemonSabotage(`."storage-driver" = "vfs"`), Undo: mendDaemon, Message: `storage driver is vfs`,
		},
		{
			Name: "seccomp-off", Subtest: "docker-info",
			Break: allowEverything + daemonSabotage(`."seccomp-profile" = "/etc/docker/allow.json"`), Undo: mendDaemon, Message: `seccomp profile`,
		},
		withRuntime(harness.Sabotage{Name: "memory-unlimited", Subtest: "resources", Message: `memory\.max is "max", want`},
			`del(.linux.resources.memory)`),
		{
			Name: "icmp-dropped", Subtest: "networks-reliably",
			Break: `iptables -I INPUT -i docker0 -p icmp -j DROP`, Undo: `iptables -D INPUT -i docker0 -p icmp -j DROP`, Message: `no answer from`,
		},
		withRuntime(harness.Sabotage{Name: "user-is-root", Subtest: "user-no-caps", Message: `CapEff is "[0-9a-f]*[1-9a-f]`},
			containers.AsRoot),
		{
			Name: "file-chowned", Subtest: "ownership",
			Break: chown("1:1"), Undo: chown("0:42"), Message: `"1 1 640 /etc/shadow"`,
		},
		{
			Name: "image-of-the-wrong-architecture", Subtest: "ownership",
			Serve: harness.Served{registry.Port: containers.ForeignImages}, Message: `exec format error`,
		},
	}
	return t
}

// allowEverything writes a seccomp profile that denies nothing.
const allowEverything = `mkdir -p /etc/docker && echo '{"defaultAction": "SCMP_ACT_ALLOW"}' >/etc/docker/allow.json
`

// chown changes a file in the layer of the probe's image that is there.
func chown(owner string) string {
	return `dir=$(docker image inspect --format '{{.GraphDriver.Data.UpperDir}}' "$(docker image ls --quiet '*/probe' | head -n 1)") && chown ` + owner + ` "$dir` + containers.ShadowFile + `"`
}

func dockerInfo(ctx context.Context, t *harness.T) {
	m := t.Machine(0)
	i := info(ctx, t)
	machine := m.Must(ctx, "uname -m")
	t.Report(infoFaults(i, machine))
	runtime := i.Runtimes[i.DefaultRuntime].Path
	if out, err := m.Output(ctx, harness.Root("command -v "+runtime)); err != nil || runtime == "" {
		t.Errorf("the default runtime %s is %q, which cannot be run: %s", i.DefaultRuntime, runtime, out)
	}
}

func infoFaults(i daemonInfo, machine string) []string {
	var faults []string
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for _, e := range i.ServerErrors {
		bad("the daemon reports: %s", e)
	}
	// Since version 29 the images are containerd's, whose snapshotter has
	// another name.
	major, err := strconv.Atoi(strings.Split(i.ServerVersion, ".")[0])
	if err != nil {
		bad("server version %q", i.ServerVersion)
	}
	if want := "overlay2"; i.Driver != want && (major < 29 || i.Driver != "overlayfs") {
		bad("the storage driver is %s, want %s", i.Driver, want)
	}
	if i.CgroupVersion == "2" && i.CgroupDriver != "systemd" {
		bad("the cgroup driver is %s; with cgroup v2 it must be systemd's, which owns the hierarchy", i.CgroupDriver)
	}
	if profile, ok := i.securityOption("seccomp", "profile"); !ok || profile != "default" && profile != "builtin" {
		bad("the seccomp profile is %q, want the builtin one: %v", profile, i.SecurityOptions)
	}
	if i.OSType != "linux" || i.Architecture != machine {
		bad("the daemon is one for %s on %s, and the machine is %s", i.OSType, i.Architecture, machine)
	}
	if i.DockerRootDir != "/var/lib/docker" {
		bad("the daemon keeps its data in %s", i.DockerRootDir)
	}
	return faults
}

// limits are asked for with the options, and found at the paths by a process in
// the container. The values are those of cgroup v2; cpu.weight is what 512
// shares are by runc's formula, 1+(shares-2)*9999/262142. The two limits of files
// are equal, since the program in the container, which is written in Go, raises one to the other.
const limitOptions = "--memory 64m --memory-swap 64m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0" +
	" --pids-limit 20 --shm-size 8m --ulimit nofile=200:200 --oom-score-adj 500 --read-only --security-opt no-new-privileges"

func cgroupLimits() map[string]string {
	return map[string]string{
		"memory.max": "67108864", "memory.swap.max": "0", "memory.low": "33554432", "cpu.max": "50000 100000", "cpu.weight": "20",
		"cpuset.cpus": "0", "pids.max": "20",
	}
}

func resources(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	if v := info(ctx, t).CgroupVersion; v != "2" {
		t.Skipf("the machine has cgroup v%s; this test knows the files of v2", v)
	}
	m := t.Machine(0)
	m.MustRoot(ctx, "docker rm -f limited >/dev/null 2>&1; docker run -d --name limited "+limitOptions+" "+image+" sleep 3600")
	want := cgroupLimits()
	names := slices.Sorted(maps.Keys(want))
	// The files of PID 1, which docker run started: an exec's process has others.
	// They are read at once, since an exec takes long where it is emulated.
	out := m.MustRoot(ctx, "docker exec limited df /dev/shm && docker exec limited cat /proc/1/oom_score_adj /sys/fs/cgroup/"+
		strings.Join(names, " /sys/fs/cgroup/")+" /proc/1/status /proc/1/limits")
	names = slices.Concat([]string{"size of /dev/shm", "oom_score_adj"}, names)
	lines := strings.SplitN(out, "\n", len(names)+1)
	want["size of /dev/shm"], want["oom_score_adj"] = "8388608", "500"
	t.Report(containers.Differences(want, containers.Zip(names, lines)))
	t.Report(containers.Differences(map[string]string{"NoNewPrivs": "1"}, containers.StatusFields(out)))
	if files := lineWith(out, "Max open files"); !slices.Equal(strings.Fields(files), []string{"Max", "open", "files", "200", "200", "files"}) {
		t.Errorf("the limit of open files is %q, want 200", files)
	}
	if out, err := m.Output(ctx, harness.Root("docker exec limited touch /file")); err == nil {
		t.Errorf("a read-only container can be written to: %s", out)
	} else if !strings.Contains(err.Error(), "read-only file system") {
		t.Errorf("write to a read-only container: %v", err)
	}
	m.MustRoot(ctx, "docker rm -f limited")
}

// lineWith returns the first line that begins with a prefix.
func lineWith(text, prefix string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
	return ""
}

// containersInARow is how many new containers must reach their gateway, one
// after the other.
const containersInARow = 20

func networksReliably(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	out := t.Machine(0).MustRoot(ctx, fmt.Sprintf(`gateway=$(ip -4 -o address show dev docker0 | sed 's/.* inet \([0-9.]*\).*/\1/') || exit
n=0
while [ $n -lt %d ]; do
	n=$((n + 1))
	said=$(docker run --rm %s ping "$gateway" 2>&1) || { echo "container $n: $said" >&2; exit 1; }
done
echo $n`, containersInARow, image))
	if out != strconv.Itoa(containersInARow) {
		t.Errorf("%d containers were started one after the other: %s", containersInARow, out)
	}
}

func userNoCaps(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	m := t.Machine(0)
	containers.CheckUser(ctx, t, func(command ...string) string { return container(image, "--user 1000:1000", command...) })
	// Root has capabilities, and can: else the image proves nothing.
	if got := m.MustRoot(ctx, container(image, "", "cat", containers.SecretFile)); got != "secret" {
		t.Errorf("root reads %q in %s", got, containers.SecretFile)
	}
}

func ownership(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	m := t.Machine(0)
	const want = "0 42 640 " + containers.ShadowFile
	if got := m.MustRoot(ctx, container(image, "", "stat", containers.ShadowFile)); got != want {
		t.Errorf("in a container, owner, group and mode of %s are %q, want %q", containers.ShadowFile, got, want)
	}
	out := m.MustRoot(ctx, `docker rm -f exported >/dev/null 2>&1
docker create --name exported `+image+` >/dev/null && docker export exported | tar --numeric-owner -tvf - etc/shadow && docker rm exported >/dev/null`)
	if fields := strings.Fields(out); len(fields) < 2 || fields[0] != "-rw-r-----" || fields[1] != "0/42" {
		t.Errorf("in an export, %s is %q, want -rw-r----- and 0/42", containers.ShadowFile, out)
	}
}
