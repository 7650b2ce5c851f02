package debian

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"seatrial/internal/image/cpio"
)

// Progress is told of each step as it begins (done 0), and as it goes on where
// that is known; total is 0 where it is not.
type Progress func(step string, done, total int)

// Options say how to build.
type Options struct {
	Arch     string // "amd64" or "arm64"
	StateDir string // keeps package indexes and packages between builds
	WorkDir  string // an empty directory, which the caller removes
	Progress Progress
	Log      io.Writer // output of the programs that are called
}

// Plan is what an image would be built of.
type Plan struct {
	// Key identifies recipe and package versions.
	Key string

	arch, host architecture
	recipe     recipe
	sources    []source
	target     []pkg
	targetAPT  apt
	bootPkgs   []pkg
}

// RecipeHash identifies the recipe in this program.
func RecipeHash() (string, error) {
	r, err := loadRecipe()
	if err != nil {
		return "", err
	}
	return r.hash()
}

type builder struct {
	Options
	tools tools
}

func newBuilder(o Options) builder {
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root",
		"DEBIAN_FRONTEND=noninteractive", "INITRD=No", "SOURCE_DATE_EPOCH=1767225600", "TMPDIR=" + o.WorkDir,
	}
	return builder{Options: o, tools: tools{log: &syncWriter{w: o.Log}, env: env}}
}

// Resolve asks the package archives what the image consists of today.
func Resolve(ctx context.Context, o Options) (*Plan, error) {
	b := newBuilder(o)
	b.Progress("resolve packages", 0, 0)
	p := &Plan{}
	var err error
	if p.arch, err = architectureByName(o.Arch); err != nil {
		return nil, err
	}
	if p.host, err = hostArchitecture(); err != nil {
		return nil, err
	}
	if p.recipe, err = loadRecipe(); err != nil {
		return nil, err
	}
	if p.sources, err = hostSources("/etc/apt"); err != nil {
		return nil, err
	}
	if p.targetAPT, p.target, err = b.resolve(ctx, p, p.arch); err != nil {
		return nil, err
	}
	boot, err := p.recipe.packages("boot-packages", p.arch.name)
	if err != nil {
		return nil, err
	}
	all, err := p.targetAPT.resolve(ctx, boot)
	if err != nil {
		return nil, err
	}
	for _, q := range all {
		if slices.Contains(boot, q.name) {
			p.bootPkgs = append(p.bootPkgs, q)
		}
	}
	return p, p.setKey()
}

func (b builder) resolve(ctx context.Context, p *Plan, a architecture) (apt, []pkg, error) {
	names, err := p.recipe.packages("packages", a.name)
	if err != nil {
		return apt{}, nil, err
	}
	mgr, err := newAPT(b.tools, a, filepath.Join(b.StateDir, a.name), p.sources)
	if err != nil {
		return apt{}, nil, err
	}
	if err := mgr.update(ctx); err != nil {
		return apt{}, nil, fmt.Errorf("fetch package indexes: %w", err)
	}
	pkgs, err := mgr.resolve(ctx, append([]string{"?essential", "apt"}, names...))
	return mgr, pkgs, err
}

func (p *Plan) setKey() error {
	hash, err := p.recipe.hash()
	if err != nil {
		return err
	}
	h := sha256.New()
	fmt.Fprintf(h, "recipe %s\narch %s\n", hash, p.arch.name)
	for _, q := range slices.Concat(p.target, p.bootPkgs) {
		fmt.Fprintln(h, q)
	}
	p.Key = hex.EncodeToString(h.Sum(nil))
	return nil
}

// Build makes the image that a plan describes and writes it to out.
func (p *Plan) Build(ctx context.Context, o Options, out string) error {
	b := newBuilder(o)
	root := filepath.Join(b.WorkDir, "root")
	boot := filepath.Join(b.WorkDir, "boot")
	if err := b.populate(ctx, p, root, boot); err != nil {
		return err
	}
	d := disk{tools: b.tools, arch: p.arch, file: filepath.Join(b.WorkDir, "disk.raw"), work: b.WorkDir}
	b.Progress("make filesystems", 0, 0)
	if err := d.partition(ctx); err != nil {
		return err
	}
	config, err := fs.ReadFile(p.recipe.fsys, "esp-grub.cfg")
	if err != nil {
		return fmt.Errorf("make EFI system partition: %w", err)
	}
	if err := d.makeESP(ctx, boot, config); err != nil {
		return err
	}
	if p.arch.bios {
		if err := d.installBIOS(ctx, boot); err != nil {
			return err
		}
	}
	if err := d.makeRoot(ctx, root); err != nil {
		return err
	}
	b.Progress("label files", 0, 0)
	if err := labelAll(ctx, b.tools, root, d.rootDevice()); err != nil {
		return err
	}
	b.Progress("compress", 0, 0)
	return d.convert(ctx, out)
}

// populate fills root with the image's files and boot with those of the boot
// partitions. The packages of another architecture are fetched meanwhile.
func (b builder) populate(ctx context.Context, p *Plan, root, boot string) error {
	g, gctx := errgroup.WithContext(ctx)
	var debs []string
	g.Go(func() error {
		bootDebs, err := p.targetAPT.download(gctx, p.bootPkgs)
		if err != nil {
			return err
		}
		for _, deb := range bootDebs {
			if err := b.tools.run(gctx, command{args: []string{"dpkg-deb", "-x", deb, boot}}); err != nil {
				return err
			}
		}
		if p.arch.name == p.host.name {
			return nil
		}
		foreign := slices.DeleteFunc(slices.Clone(p.target), func(q pkg) bool { return q.arch != p.arch.name })
		debs, err = p.targetAPT.download(gctx, foreign)
		return err
	})
	var archive []cpio.Entry
	g.Go(func() error {
		if err := b.bootstrap(gctx, p, root); err != nil {
			return err
		}
		var err error
		archive, err = b.configure(gctx, p, root)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	kernel, err := kernelVersion(root)
	if err != nil {
		return err
	}
	toKernel := kernel
	if p.arch.name != p.host.name {
		if toKernel, err = b.change(ctx, p, root, kernel, debs); err != nil {
			return err
		}
	}
	b.Progress("make initramfs", 0, 0)
	if p.arch.name != p.host.name {
		i := initramfs{tools: b.tools, root: root, from: p.host, to: p.arch, fromKernel: kernel, toKernel: toKernel, work: b.WorkDir}
		if archive, err = i.translate(ctx, archive); err != nil {
			return err
		}
	}
	return finishBoot(root, toKernel, archive)
}

// bootstrap installs the packages for the host's architecture.
func (b builder) bootstrap(ctx context.Context, p *Plan, root string) error {
	names, err := p.recipe.packages("packages", p.host.name)
	if err != nil {
		return err
	}
	sources := filepath.Join(b.WorkDir, "sources.list")
	if err := os.WriteFile(sources, []byte(formatSources(p.sources)), 0o644); err != nil {
		return fmt.Errorf("install packages: %w", err)
	}
	args := []string{
		"mmdebstrap", "--mode=root", "--variant=apt", "--architectures=" + p.host.name,
		"--include=" + strings.Join(names, ","),
		`--aptopt=APT::Install-Recommends "false"`,
		"--dpkgopt=force-unsafe-io",
	}
	for _, dir := range excludedDirs() {
		args = append(args, "--dpkgopt=path-exclude="+dir+"*")
	}
	args = append(args, release, root, sources)
	b.Progress("install packages", 0, 0)
	if err := b.tools.run(ctx, command{args: args, isolated: true}); err != nil {
		return fmt.Errorf("install packages: %w", err)
	}
	return nil
}

// configure lays the recipe's files over the installed root, runs its script
// and makes the initramfs, all for the host's architecture.
func (b builder) configure(ctx context.Context, p *Plan, root string) ([]cpio.Entry, error) {
	b.Progress("configure", 0, 0)
	if err := p.recipe.overlay(root, map[string]string{"CONSOLE": p.arch.console}); err != nil {
		return nil, err
	}
	if err := b.setup(ctx, p.recipe, root); err != nil {
		return nil, fmt.Errorf("configure root: %w", err)
	}
	kernel, err := kernelVersion(root)
	if err != nil {
		return nil, err
	}
	const name = "/tmp/initramfs"
	err = b.chroot(ctx, root, "dracut", "--quiet", "--force", "--no-compress", "--kver", kernel, name)
	if err != nil {
		return nil, fmt.Errorf("make initramfs: %w", err)
	}
	full := filepath.Join(root, name)
	defer os.Remove(full)
	data, err := os.ReadFile(full)
	if err != nil {
		return nil, fmt.Errorf("make initramfs: %w", err)
	}
	return cpio.Read(bytes.NewReader(data))
}

// setup runs the recipe's script in the root. The script finds the policy
// modules in /tmp/selinux.
func (b builder) setup(ctx context.Context, r recipe, root string) error {
	modules, err := fs.Glob(r.fsys, "selinux/*.cil")
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "tmp/selinux")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, name := range append(modules, "setup.sh") {
		data, err := fs.ReadFile(r.fsys, name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), data, 0o755); err != nil {
			return err
		}
	}
	return b.chroot(ctx, root, "/tmp/selinux/setup.sh")
}

// chroot runs a program in the root, with a /proc and in namespaces of its own.
func (b builder) chroot(ctx context.Context, root string, args ...string) error {
	script := `root=$1; shift; mount -t proc proc "$root/proc" && exec chroot "$root" "$@"`
	all := append([]string{"sh", "-c", script, "sh", root, "env", "TMPDIR=/tmp"}, args...)
	return b.tools.run(ctx, command{args: all, isolated: true})
}

// change puts the packages of the image's architecture in the place of the
// host's and returns the version of their kernel.
func (b builder) change(ctx context.Context, p *Plan, root, oldKernel string, debs []string) (string, error) {
	const step = "change architecture"
	b.Progress(step, 0, len(debs))
	if err := os.RemoveAll(filepath.Join(root, modulesDir(oldKernel))); err != nil {
		return "", fmt.Errorf("%s: %w", step, err)
	}
	t := newTransplant(b.tools, root, p.host, p.arch)
	if err := t.run(ctx, debs, func(done, total int) { b.Progress(step, done, total) }); err != nil {
		return "", fmt.Errorf("%s: %w", step, err)
	}
	kernel, err := kernelVersion(root)
	if err != nil {
		return "", err
	}
	if err := b.tools.run(ctx, command{args: []string{"depmod", "-b", root, kernel}}); err != nil {
		return "", err
	}
	if err := checkMachine(root, p.arch.machine); err != nil {
		return "", fmt.Errorf("%s: %w", step, err)
	}
	// The one program of the other architecture that has to run; it is linked
	// statically.
	if err := b.tools.run(ctx, command{args: []string{p.arch.emu, filepath.Join(root, "sbin/ldconfig"), "-r", root}}); err != nil {
		return "", fmt.Errorf("%s: %w", step, err)
	}
	return kernel, nil
}

// kernelVersion names the one kernel in a root.
func kernelVersion(root string) (string, error) {
	entries, err := os.ReadDir(filepath.Join(root, "usr/lib/modules"))
	if err != nil {
		return "", fmt.Errorf("find kernel: %w", err)
	}
	if len(entries) != 1 {
		return "", fmt.Errorf("find kernel: %d kernels are installed, 1 is expected", len(entries))
	}
	return entries[0].Name(), nil
}

// finishBoot writes the initramfs, and the names by which GRUB finds it and the
// kernel.
func finishBoot(root, kernel string, archive []cpio.Entry) error {
	boot := filepath.Join(root, "boot")
	if err := writeInitramfs(filepath.Join(boot, "initrd.img-"+kernel), archive); err != nil {
		return err
	}
	for _, name := range []string{"vmlinuz", "initrd.img"} {
		link := filepath.Join(boot, name)
		if err := os.RemoveAll(link); err != nil {
			return fmt.Errorf("link kernel: %w", err)
		}
		if err := os.Symlink(name+"-"+kernel, link); err != nil {
			return fmt.Errorf("link kernel: %w", err)
		}
	}
	return nil
}
