package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"seatrial/harness"
	"seatrial/harness/event"
	"seatrial/internal/image"
	"seatrial/platforms"
	"seatrial/platforms/qemu"
)

// targets are the places where a command runs guests, with what they boot.
type targets struct {
	platforms []platforms.Platform
	images    []event.Image
}

// Close releases the platforms.
func (t *targets) Close() error {
	var errs []error
	for _, p := range t.platforms {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// openTargets finds the images, and opens a platform for each architecture.
// What dead runs left behind is removed first.
func (a *app) openTargets(ctx context.Context, f *targetFlags) (*targets, error) {
	t := &targets{}
	key, err := newSSHKey()
	if err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	for _, arch := range f.archs {
		chosen, err := f.imageFor(arch)
		if err != nil {
			return nil, err
		}
		img, err := a.findImage(ctx, arch, chosen)
		if err != nil {
			return nil, err
		}
		p, err := qemu.New(ctx, a.qemuOptions(arch, f.accel, img, key, exe))
		if err != nil {
			return nil, err
		}
		if why := p.AccelReason(); why != "" {
			fmt.Fprintf(a.env.Stderr, "seatrial: %s\n", why)
		}
		if f.start == string(harness.StartFork) && !p.Capabilities().Has[platforms.Fork] {
			return nil, errors.Join(usagef("--start fork: machines of %s for %s cannot be forked", p.Capabilities().Platform, arch), p.Close())
		}
		t.platforms = append(t.platforms, p)
		t.images = append(t.images, event.Image{
			Name: img.Name, Arch: arch, Path: img.Path, SHA256: strings.TrimPrefix(img.Digest, "sha256:"),
		})
	}
	removed, err := t.platforms[0].Sweep(ctx, platforms.SweepOptions{})
	for _, r := range removed {
		a.log.Info("removed what a dead run left", "kind", r.Kind, "name", r.Name, "why", r.Why)
	}
	return t, err
}

func (a *app) qemuOptions(arch, accel string, img platforms.Image, key ssh.Signer, exe string) qemu.Options {
	return qemu.Options{
		Arch: arch, Accel: accel, Image: img, SSHKey: key, IgnitionMax: ignitionMax,
		StateDir: a.stateDir("qemu"), CacheDir: a.cacheDir("host"), TemplateDir: a.cacheDir("templates"), RuntimeDir: a.runtimeDir(),
		HostExe: exe, Log: a.log,
	}
}

// ignitionMax is the highest Ignition spec that is given to images: that of
// the reference image's Ignition. Newer configs are lowered to it where nothing
// is lost.
const ignitionMax = "3.3.0"

// newSSHKey makes the key by which a run logs in to its machines.
func newSSHKey() (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make an SSH key: %w", err)
	}
	return ssh.NewSignerFromKey(private)
}

// findImage returns the image that the user chose, or the reference image,
// after a look that it is one and of the right architecture.
func (a *app) findImage(ctx context.Context, arch, chosen string) (platforms.Image, error) {
	if chosen == "" {
		r, err := image.Reference(ctx, a.buildOptions(arch))
		if err != nil {
			return platforms.Image{}, err
		}
		return platforms.Image{Name: "reference", Path: r.Path, Digest: "sha256:" + r.SHA256}, nil
	}
	source, digest, _ := strings.Cut(chosen, "#sha256:")
	path, err := a.fetch(ctx, source, digest)
	if err != nil {
		return platforms.Image{}, err
	}
	info, err := image.Inspect(path)
	if err != nil {
		return platforms.Image{}, imageError(chosen, err)
	}
	if info.Arch != "" && info.Arch != arch {
		return platforms.Image{}, usagef("image %s: it is an image for %s, and --arch asks for %s", chosen, info.Arch, arch)
	}
	sum, err := image.Digest(ctx, a.cacheDir("images"), path)
	if err != nil {
		return platforms.Image{}, imageError(chosen, err)
	}
	return platforms.Image{Name: filepath.Base(path), Path: path, Digest: "sha256:" + sum}, nil
}
