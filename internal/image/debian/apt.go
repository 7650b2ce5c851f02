package debian

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// apt is a package manager of its own, apart from the host's: it shares the
// host's transport settings (proxies) and keyrings, and nothing else. It answers
// what would be installed, and downloads packages, for any architecture.
type apt struct {
	tools tools
	arch  architecture
	dir   string
}

// pkg is one version of a package.
type pkg struct{ name, version, arch string }

func (p pkg) String() string { return p.name + " " + p.version + " " + p.arch }

// newAPT prepares an apt in dir, which may hold the state of an earlier one.
func newAPT(t tools, arch architecture, dir string, sources []source) (apt, error) {
	for _, sub := range []string{"lists/partial", "cache/archives/partial", "etc"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return apt{}, fmt.Errorf("prepare apt: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "status"), nil, 0o644); err != nil {
		return apt{}, fmt.Errorf("prepare apt: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc", "sources.list"), []byte(formatSources(sources)), 0o644); err != nil {
		return apt{}, fmt.Errorf("prepare apt: %w", err)
	}
	return apt{tools: t, arch: arch, dir: dir}, nil
}

func (a apt) args(args ...string) []string {
	opts := []string{
		"APT::Architecture=" + a.arch.name,
		"APT::Architectures=" + a.arch.name,
		"APT::Install-Recommends=false",
		"APT::Sandbox::User=root",
		"Dir::Etc::SourceList=" + filepath.Join(a.dir, "etc", "sources.list"),
		"Dir::Etc::SourceParts=/dev/null",
		"Dir::Etc::Preferences=/dev/null",
		"Dir::Etc::PreferencesParts=/dev/null",
		"Dir::State=" + a.dir,
		"Dir::State::lists=" + filepath.Join(a.dir, "lists"),
		"Dir::State::status=" + filepath.Join(a.dir, "status"),
		"Dir::Cache=" + filepath.Join(a.dir, "cache"),
		"DPkg::Post-Invoke::=",
		"APT::Update::Post-Invoke::=",
	}
	out := []string{"apt-get", "--yes", "--quiet"}
	for _, o := range opts {
		out = append(out, "-o", o)
	}
	return append(out, args...)
}

// update fetches the package indexes, if they have changed.
func (a apt) update(ctx context.Context) error {
	return a.tools.run(ctx, command{args: a.args("-o", "APT::Update::Error-Mode=any", "update")})
}

// resolve tells what an installation of these packages would consist of, in
// sorted order, from the indexes at hand.
func (a apt) resolve(ctx context.Context, names []string) ([]pkg, error) {
	out, err := a.tools.output(ctx, a.args(append([]string{"--simulate", "install"}, names...)...)...)
	if err != nil {
		return nil, fmt.Errorf("resolve packages: %w", err)
	}
	pkgs, err := parseSimulation(string(out))
	if err != nil {
		return nil, fmt.Errorf("resolve packages: %w", err)
	}
	return pkgs, nil
}

// parseSimulation reads the lines "Inst NAME (VERSION ORIGIN [ARCH])" of a
// simulated installation.
func parseSimulation(out string) ([]pkg, error) {
	var pkgs []pkg
	for line := range strings.Lines(out) {
		rest, ok := strings.CutPrefix(line, "Inst ")
		if !ok {
			continue
		}
		name, rest, ok1 := strings.Cut(rest, " (")
		version, rest, ok2 := strings.Cut(rest, " ")
		_, rest, ok3 := strings.Cut(rest, "[")
		arch, _, ok4 := strings.Cut(rest, "]")
		if !ok1 || !ok2 || !ok3 || !ok4 {
			return nil, fmt.Errorf("unexpected line %q", strings.TrimSpace(line))
		}
		pkgs = append(pkgs, pkg{name: name, version: version, arch: arch})
	}
	slices.SortFunc(pkgs, func(a, b pkg) int { return strings.Compare(a.String(), b.String()) })
	return pkgs, nil
}

// download fetches exactly these versions and returns their files in the same
// order.
func (a apt) download(ctx context.Context, pkgs []pkg) ([]string, error) {
	if len(pkgs) == 0 {
		return nil, nil
	}
	args := []string{"install", "--download-only", "--no-install-recommends"}
	for _, p := range pkgs {
		args = append(args, p.name+"="+p.version)
	}
	if err := a.tools.run(ctx, command{args: a.args(args...)}); err != nil {
		return nil, fmt.Errorf("download packages: %w", err)
	}
	files := make([]string, len(pkgs))
	for i, p := range pkgs {
		files[i] = filepath.Join(a.dir, "cache", "archives", p.fileName())
		if _, err := os.Stat(files[i]); err != nil {
			return nil, fmt.Errorf("download packages: %w", err)
		}
	}
	return files, nil
}

// fileName is the name under which apt keeps the package.
func (p pkg) fileName() string {
	return p.name + "_" + strings.ReplaceAll(p.version, ":", "%3a") + "_" + p.arch + ".deb"
}
