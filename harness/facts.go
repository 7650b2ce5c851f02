package harness

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kballard/go-shellquote"

	"seatrial/platforms"
)

// Facts is what a booted image says of itself.
type Facts struct {
	OSRelease map[string]string `json:"os_release"`
	Has       platforms.Set     `json:"has"`
}

// FactsCache keeps the facts of images by digest, one file each, so that a
// test which an image cannot run is skipped without a boot.
type FactsCache struct {
	Dir string // made when the first facts are saved
	// Host names this host and its processor; the speed of guests is kept under
	// it. Without a name, it is measured in each run.
	Host string
}

// Load returns the facts of the image with the given digest, if they are known
// to this version of the probe.
func (c FactsCache) Load(digest string) (Facts, bool) {
	var f Facts
	data, err := os.ReadFile(c.path(digest))
	if err != nil || json.Unmarshal(data, &f) != nil || f.Has == nil {
		return Facts{}, false
	}
	return f, true
}

// Save keeps the facts of the image with the given digest.
func (c FactsCache) Save(digest string, f Facts) error { return c.save(c.path(digest), f) }

func (c FactsCache) save(path string, content any) error {
	data, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return fmt.Errorf("save facts: %w", err)
	}
	if err := os.MkdirAll(c.Dir, 0o777); err != nil {
		return fmt.Errorf("save facts: %w", err)
	}
	tmp, err := os.CreateTemp(c.Dir, "tmp-*")
	if err != nil {
		return fmt.Errorf("save facts: %w", err)
	}
	_, err = tmp.Write(append(data, '\n'))
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("save facts: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}

// path depends on the probe, too: what another version asked is not known.
func (c FactsCache) path(digest string) string {
	sum := sha256.Sum256([]byte(digest + "\n" + probeScript()))
	return filepath.Join(c.Dir, fmt.Sprintf("%x.json", sum[:16]))
}

// imageCapabilities names what an image may have, each with the shell test
// that finds it out. The tests run as root and print nothing.
func imageCapabilities() map[platforms.Capability]string {
	return map[platforms.Capability]string{
		"audit":             "command -v auditctl",
		"bash":              "test -x /bin/bash",
		"btrfs":             "command -v mkfs.btrfs",
		"cni-plugins":       "test -x /opt/cni/bin/bridge -o -x /usr/lib/cni/bridge",
		"cloud-init":        "command -v cloud-init || command -v coreos-cloudinit",
		"containerd":        "command -v containerd",
		"coreos-cloudinit":  "command -v coreos-cloudinit",
		"coreos-symlinks":   "test -e /usr/share/coreos -o -e /usr/share/flatcar",
		"cryptsetup":        "command -v cryptsetup",
		"curl":              "command -v curl",
		"dbus":              "test -S /run/dbus/system_bus_socket",
		"docker":            "command -v dockerd",
		"etcd":              "command -v etcd",
		"flatcar":           ". /etc/os-release; test \"$ID\" = flatcar",
		"gpt-root":          "command -v lsblk",
		"ignition":          "test -e /etc/.ignition-result.json -o -e /run/ignition.env -o -n \"$(ls /usr/lib/dracut/modules.d/*ignition* 2>/dev/null)\"",
		"kernel-config":     "test -e /proc/config.gz -o -e /boot/config-$(uname -r)",
		"mdadm":             "command -v mdadm",
		"networkd":          "systemctl is-enabled systemd-networkd",
		"podman":            "command -v podman",
		"rkt":               "command -v rkt",
		"nftables":          "command -v nft",
		"overlay-etc":       "findmnt -n -t overlay /etc",
		"polkit":            "command -v pkaction && command -v gdbus || command -v pkaction && command -v busctl",
		"readonly-usr":      "findmnt -n -O ro /usr",
		"resolved":          "systemctl is-enabled systemd-resolved",
		"selinux":           "test -d /sys/fs/selinux && test -e /etc/selinux/config",
		"semodule":          "command -v semodule && command -v matchpathcon",
		"systemd":           "test -d /run/systemd/system",
		"systemd-sysext":    "command -v systemd-sysext",
		"time-sync":         "systemctl is-enabled systemd-timesyncd || systemctl is-enabled chronyd || systemctl is-enabled chrony || systemctl is-enabled ntpd",
		"timesyncd":         "systemctl is-enabled systemd-timesyncd",
		"tmpfiles":          "command -v systemd-tmpfiles",
		"update-engine":     "command -v update_engine_client",
		"wireguard":         "command -v wg",
		"xfs":               "command -v mkfs.xfs",
		"journal-remote":    "test -x /usr/lib/systemd/systemd-journal-remote -o -x /lib/systemd/systemd-journal-remote",
		"verity-usr":        "veritysetup status usr",
		"useradd":           "command -v useradd",
		"coreos-metadata":   "test -e /usr/lib/systemd/system/coreos-metadata.service",
		"locksmith":         "command -v locksmithctl",
		"tpm2-tools":        "command -v tpm2_pcrread",
		"nfs-server":        "command -v exportfs",
		"systemd-sysusers":  "command -v systemd-sysusers",
		"machine-id-commit": "systemctl cat systemd-machine-id-commit.service",
	}
}

// probeScript prints the capabilities that the guest has and its os-release.
func probeScript() string {
	var b strings.Builder
	tests := imageCapabilities()
	for _, c := range sortedKeys(tests) {
		fmt.Fprintf(&b, "(%s) >/dev/null 2>&1 && echo has %s\n", tests[c], c)
	}
	b.WriteString("sed 's/^/os /' /etc/os-release 2>/dev/null || sed 's/^/os /' /usr/lib/os-release\necho end\n")
	return b.String()
}

func sortedKeys(m map[platforms.Capability]string) []platforms.Capability {
	keys := make([]platforms.Capability, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// probe asks a booted guest for its facts.
func probe(ctx context.Context, m platforms.Machine) (Facts, error) {
	res, err := m.Exec(ctx, platforms.Command{Line: "sudo -n sh -s", Stdin: strings.NewReader(probeScript())})
	if err != nil {
		return Facts{}, fmt.Errorf("probe the image: %w", err)
	}
	f := Facts{OSRelease: map[string]string{}, Has: platforms.Set{}}
	complete := false
	lines := bufio.NewScanner(strings.NewReader(string(res.Stdout)))
	for lines.Scan() {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		switch kind {
		case "has":
			f.Has[platforms.Capability(rest)] = true
		case "os":
			if words, err := shellquote.Split(rest); err == nil && len(words) == 1 {
				key, value, _ := strings.Cut(words[0], "=")
				f.OSRelease[key] = value
			}
		case "end":
			complete = true
		}
	}
	if !complete {
		return Facts{}, fmt.Errorf("probe the image: script ended early with status %d: %s", res.ExitCode, tail(string(res.Stderr), 500))
	}
	return f, nil
}
