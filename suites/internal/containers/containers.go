// Package containers is what the tests of container runtimes share: the Images
// that they run, and how what the probe prints in a container is judged.
package containers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"seatrial/harness"
	"seatrial/internal/fixtures/registry"
)

// SecretFile is a file of the probe's image that only root may reach.
const SecretFile = "/root/secret"

// ShadowFile belongs to a group of its own: 42 is Debian's "shadow".
const ShadowFile = "/etc/shadow"

// Images is a registry with "probe:latest" for an architecture.
func Images(arch string) (http.Handler, error) {
	probe, err := registry.Probe("probe:latest", arch,
		registry.File{Path: "root/secret", Mode: 0o600, Content: []byte("secret\n")},
		registry.File{Path: "etc/shadow", Mode: 0o640, GID: 42, Content: []byte("root:*:19000::::::\n")})
	if err != nil {
		return nil, err
	}
	return registry.New(probe)
}

// ForeignImages are those of the other architecture.
func ForeignImages(arch string) (http.Handler, error) {
	if arch == "amd64" {
		return Images("arm64")
	}
	return Images("amd64")
}

// StatusFields reads files such as /proc/self/status: "Key:\tvalue".
func StatusFields(out string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.Join(strings.Fields(value), " ")
	}
	return fields
}

// Differences lists, in the order of their names, the values that are not as
// wanted.
func Differences(want, got map[string]string) []string {
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			faults = append(faults, fmt.Sprintf("%s is %q, want %q", name, got[name], want[name]))
		}
	}
	return faults
}

// Zip makes a map of names and values; what has no partner is left out.
func Zip(names, values []string) map[string]string {
	m := map[string]string{}
	for i := range min(len(names), len(values)) {
		m[names[i]] = values[i]
	}
	return m
}

// ProfileFaults compares what the probe's "syscalls" printed with a seccomp
// profile and without one. Each of the denied calls must fail with EPERM where
// there is a profile; one that fails so even without tells nothing about it.
func ProfileFaults(denied []string, withProfile, without string) []string {
	var confined, free map[string]string
	if err := json.Unmarshal([]byte(withProfile), &confined); err != nil {
		return []string{fmt.Sprintf("the probe printed %q: %v", withProfile, err)}
	}
	if err := json.Unmarshal([]byte(without), &free); err != nil {
		return []string{fmt.Sprintf("the probe printed %q: %v", without, err)}
	}
	var faults []string
	bad := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for _, name := range denied {
		switch {
		case confined[name] == "" || free[name] == "":
			bad("the probe did not try %s", name)
		case confined[name] != "EPERM":
			bad("%s (%s without a profile) is not denied by seccomp: it ended with %s", name, free[name], confined[name])
		case free[name] == "EPERM":
			bad("%s is denied without a profile, too", name)
		}
	}
	if got := confined["mkdir"]; got != "ok" {
		bad("mkdir, which nothing denies, ended with %s", got)
	}
	return faults
}

// ArchCalls lists the system calls that only one architecture has, and that no
// profile lets through.
func ArchCalls(arch string) []string {
	return map[string][]string{"amd64": {"sysfs", "uselib", "ustat"}, "arm64": {"nfsservctl"}}[arch]
}

// CheckUser finds out whether a process of user 1000 in a container has no
// capabilities and cannot read root's files; run makes the command line that
// runs a command as that user.
func CheckUser(ctx context.Context, t *harness.T, run func(command ...string) string) {
	m := t.Machine(0)
	t.Report(Differences(unprivileged(), StatusFields(m.MustRoot(ctx, run("cat", "/proc/self/status")))))
	if out, err := m.Output(ctx, harness.Root(run("cat", SecretFile))); err == nil {
		t.Errorf("a user can read root's %s: %q", SecretFile, out)
	} else if !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("a user reads root's %s: %v", SecretFile, err)
	}
}

// unprivileged is what the status of a process of user 1000 must say.
func unprivileged() map[string]string {
	const none = "0000000000000000"
	return map[string]string{
		"Uid": "1000 1000 1000 1000", "Gid": "1000 1000 1000 1000",
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapAmb": none,
	}
}

// RuntimePath is where WriteRuntime puts a runtime.
const RuntimePath = "/usr/local/bin/seatrial-runtime"

// AsRoot is a filter for WriteRuntime that gives the process the user and the
// capabilities of root.
const AsRoot = `.process.user.uid = 0 | .process.capabilities.effective = .process.capabilities.bounding` +
	` | .process.capabilities.permitted = .process.capabilities.bounding`

// WriteRuntime is a script of sabotage: it makes a runtime that calls another
// one, and changes the configuration of each container with a jq filter first.
func WriteRuntime(runtime, filter string) string {
	return `cat >` + RuntimePath + ` <<'END'
#!/bin/sh
bundle=
last=
for arg; do
	[ "$last" = --bundle ] && bundle=$arg
	last=$arg
done
if [ -n "$bundle" ] && [ -e "$bundle/config.json" ]; then
	jq -c '` + filter + `' "$bundle/config.json" >"$bundle/config.new" && mv "$bundle/config.new" "$bundle/config.json"
fi
exec ` + runtime + ` "$@"
END
chmod 0755 ` + RuntimePath + `
`
}
