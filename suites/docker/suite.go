package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
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
		Name: "docker",
		Doc:  "Docker, its storage, its network, and what it keeps containers from.",
		Tests: []harness.Test{
			base(),
			btrfsStorage(),
			cgroupV1(),
			containerdRestart(),
			enableService(),
			libCompat(),
			network(),
			oldClient(),
			seccomp(),
			selinux(),
			userNamespaces(),
		},
	}
}

// needs shortens the lists of image capabilities.
func needs(cs ...platforms.Capability) []platforms.Capability { return cs }

// fixtures is what the platform of nearly all tests must have.
func fixtures() []platforms.Capability { return []platforms.Capability{platforms.Fixtures} }

// running is a machine with a daemon that runs, which takes half a minute to
// start under emulation. Tests that give it another configuration do without.
func running() platforms.MachineSpec {
	return platforms.MachineSpec{Prepare: "systemctl start docker.service"}
}

// pull serves the registry, and returns the name of the probe's image, which
// the machine has got.
func pull(ctx context.Context, t *harness.T) (image string) {
	return pullWith(ctx, t, func(map[string]any) {})
}

// pullWith is pull by a daemon whose configuration is changed. What the change
// does not touch stays as it was.
func pullWith(ctx context.Context, t *harness.T, change func(map[string]any)) (image string) {
	h, err := containers.Images(t.Arch())
	if err != nil {
		t.Fatalf("%v", err)
	}
	addr := t.Serve(ctx, registry.Port, h)
	m := t.Machine(0)
	config := map[string]any{}
	if was := m.MustRoot(ctx, "cat "+daemonConfig+" 2>/dev/null || true"); was != "" {
		if err := json.Unmarshal([]byte(was), &config); err != nil {
			t.Fatalf("%s: %v", daemonConfig, err)
		}
	}
	before := string(marshal(t, config))
	change(config)
	changed := string(marshal(t, config)) != before
	trusted, _ := config["insecure-registries"].([]any)
	known := slices.Contains(trusted, any(addr))
	if !known {
		config["insecure-registries"] = append(trusted, addr)
	}
	switch {
	case changed:
		m.Upload(ctx, daemonConfig, 0o644, marshal(t, config))
		m.MustRoot(ctx, restartScript)
	case !known:
		m.Upload(ctx, daemonConfig, 0o644, marshal(t, config))
		reload(ctx, t, addr)
	}
	image = addr + "/probe:latest"
	m.MustRoot(ctx, "docker pull -q "+image)
	return image
}

const daemonConfig = "/etc/docker/daemon.json"

// reload lets the daemon take up a registry, which it does without a new start.
func reload(ctx context.Context, t *harness.T, registry string) {
	m := t.Machine(0)
	m.MustRoot(ctx, "systemctl start docker.service && systemctl reload docker.service")
	t.WaitFor(ctx, "the daemon trusts "+registry, 10*time.Second, func(ctx context.Context) error {
		out, err := m.Output(ctx, harness.Root("docker info --format '{{json .RegistryConfig.IndexConfigs}}'"))
		if err == nil && !strings.Contains(out, `"`+registry+`"`) {
			err = fmt.Errorf("it knows of %s", out)
		}
		return err
	})
}

func marshal(t *harness.T, v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return data
}

// restartScript starts the daemon anew; a failure tells what it logged. It
// forgets earlier starts first: systemd refuses the fourth within a minute.
const restartScript = `systemctl reset-failed docker.service 2>/dev/null
systemctl restart docker.service || { journalctl -u docker.service -o cat --no-pager -n 20 >&2; exit 1; }`

// daemonInfo is the part of `docker info` that the tests look at.
type daemonInfo struct {
	Architecture    string
	CgroupDriver    string
	CgroupVersion   string
	DefaultRuntime  string
	DockerRootDir   string
	Driver          string
	DriverStatus    [][2]string
	OSType          string
	Runtimes        map[string]struct{ Path string }
	SecurityOptions []string
	ServerErrors    []string
	ServerVersion   string
}

// info asks the daemon about itself.
func info(ctx context.Context, t *harness.T) daemonInfo {
	var i daemonInfo
	out := t.Machine(0).MustRoot(ctx, "docker info --format '{{json .}}'")
	if err := json.Unmarshal([]byte(out), &i); err != nil {
		t.Fatalf("docker info: %v: %s", err, out)
	}
	return i
}

// securityOption returns the value of a key in the list of security options,
// whose entries are such as "name=seccomp,profile=default", and whether the
// option is there.
func (i daemonInfo) securityOption(name, key string) (string, bool) {
	for _, option := range i.SecurityOptions {
		fields := map[string]string{}
		for field := range strings.SplitSeq(option, ",") {
			k, v, _ := strings.Cut(field, "=")
			fields[k] = v
		}
		if fields["name"] == name {
			return fields[key], true
		}
	}
	return "", false
}

// container makes the command line that runs the probe in a container of its
// own.
func container(image, options string, command ...string) string {
	return "docker run --rm " + options + " " + image + " " + shellquote.Join(command...)
}

// withRuntime completes a sabotage that starts containers by a runtime which
// changes their configuration with a jq filter first.
func withRuntime(s harness.Sabotage, filter string) harness.Sabotage {
	s.Break = containers.WriteRuntime("runc", filter) +
		daemonSabotage(`.runtimes = {seatrial: {path: "`+containers.RuntimePath+`"}} | ."default-runtime" = "seatrial"`)
	s.Undo = mendDaemon + `; rm ` + containers.RuntimePath
	return s
}

// daemonSabotage changes the daemon's configuration with a jq filter.
func daemonSabotage(filter string) string {
	return `mkdir -p /etc/docker && touch ` + daemonConfig + ` && cp ` + daemonConfig + ` /etc/docker/daemon.seatrial
cat ` + daemonConfig + ` | jq -c -s '(.[0] // {}) | ` + filter + `' >/etc/docker/daemon.new && cp /etc/docker/daemon.new ` + daemonConfig + `
` + restartScript
}

// mendDaemon undoes daemonSabotage.
const mendDaemon = `cp /etc/docker/daemon.seatrial ` + daemonConfig + `; ` + restartScript
