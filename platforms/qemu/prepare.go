package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"seatrial/internal/clusterhost"
	"seatrial/internal/provision"
	"seatrial/platforms"
)

const mib = 1 << 20

// source is where a machine's memory and disks come from: nowhere and the image, for most.
type source struct {
	dir      string // for the machine's disks
	ram      string // see launch
	template string // directory of the template that is forked; empty for none
}

// launch is what a machine of the spec is, without its files and interfaces.
func (p *Platform) launch(spec platforms.MachineSpec) launch {
	l := launch{
		arch: p.arch, accel: p.accel, emulator: p.emulator.path, name: spec.Name,
		cpus: orDefault(spec.CPUs, DefaultCPUs), memoryMiB: orDefault(spec.MemoryMiB, DefaultMemoryMiB),
		firmware: orDefault(spec.Firmware, p.arch.defaultFirmware()), tpm: spec.TPM,
	}
	l.uefi = p.firmware[l.firmware]
	return l
}

// prepare makes the files of a machine and works out its command line.
func (c *Cluster) prepare(ctx context.Context, spec platforms.MachineSpec, nics []clusterhost.NIC, from source) (clusterhost.Machine, error) {
	p := c.platform
	l := p.launch(spec)
	l.nics, l.ram, l.incoming = nics, from.ram, from.template != ""
	files, logs := from.dir, filepath.Join(c.spec.Dir, spec.Name)
	for dir, mode := range map[string]os.FileMode{files: 0o700, logs: 0o755} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return clusterhost.Machine{}, err
		}
	}
	if err := c.makeUserData(&l, spec, files, logs); err != nil {
		return clusterhost.Machine{}, err
	}
	if err := c.makeDisks(ctx, &l, spec, from); err != nil {
		return clusterhost.Machine{}, err
	}
	machine := clusterhost.Machine{Name: spec.Name, Dir: logs}
	if spec.TPM {
		state := filepath.Join(files, "tpm")
		if err := os.MkdirAll(state, 0o700); err != nil {
			return clusterhost.Machine{}, err
		}
		machine.Processes = append(machine.Processes, swtpm(p.swtpm, state))
	}
	machine.Processes = append(machine.Processes, clusterhost.Process{Name: "qemu", Argv: l.args()})
	return machine, nil
}

func orDefault[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// check refuses what the platform cannot do.
func (p *Platform) check(spec platforms.MachineSpec) error {
	if spec.Name == "" {
		return errors.New("a machine needs a name")
	}
	if err := p.lacking[spec.Firmware]; err != nil {
		return fmt.Errorf("firmware %s: %w: %w", spec.Firmware, platforms.ErrUnsupported, err)
	}
	if _, ok := p.firmware[spec.Firmware]; !ok && spec.Firmware != "" {
		return fmt.Errorf("firmware %s on %s: %w", spec.Firmware, p.arch.name, platforms.ErrUnsupported)
	}
	if spec.TPM && p.swtpm == "" {
		return fmt.Errorf("tpm: %w: %w", platforms.ErrUnsupported, &MissingError{What: "swtpm", Install: "apt-get install swtpm"})
	}
	return nil
}

// makeDisks makes the machine's disks and its copy of the UEFI variables. Those of a fork are
// overlays on what its template has.
func (c *Cluster) makeDisks(ctx context.Context, l *launch, spec platforms.MachineSpec, from source) error {
	p := c.platform
	group, ctx := errgroup.WithContext(ctx)
	add := func(name string, fresh func(file string) error) string {
		file := filepath.Join(from.dir, name)
		group.Go(func() error {
			if from.template != "" {
				return p.images.overlay(ctx, file, filepath.Join(from.template, name), "qcow2", 0)
			}
			return fresh(file)
		})
		return file
	}
	l.disk = add("disk.qcow2", func(file string) error {
		size := p.image.VirtualSize + int64(spec.GrowDiskMiB)*mib
		return p.images.overlay(ctx, file, p.options.Image.Path, p.image.Format, size)
	})
	switch {
	case l.firmware == platforms.BIOS:
	case from.template != "" && p.arch.flashInState():
		l.flash = filepath.Join(from.template, flashFileName)
	default:
		l.varsFile = add("vars.qcow2", func(file string) error {
			return p.images.overlay(ctx, file, l.uefi.Vars.Filename, l.uefi.Vars.Format, 0)
		})
	}
	for i, d := range spec.Disks {
		file := add(fmt.Sprintf("disk%d.qcow2", i+1), func(file string) error {
			return p.images.empty(ctx, file, int64(d.SizeMiB)*mib)
		})
		l.disks = append(l.disks, extraDisk{file: file, serial: d.Serial})
	}
	return group.Wait()
}

// makeUserData renders the user data into the file that QEMU hands to the guest, and leaves a copy
// without secrets beside the console's log. Ignition reads fw_cfg; what is for cloud-init comes on
// a NoCloud volume.
func (c *Cluster) makeUserData(l *launch, spec platforms.MachineSpec, dir, logs string) error {
	rendered, err := c.platform.render(spec, c.login.key, variables(spec.Name, l.nics))
	if err != nil || rendered.Kind == provision.Empty {
		return err
	}
	if err := os.WriteFile(filepath.Join(logs, "user-data"), provision.Blank(rendered.Data), 0o644); err != nil {
		return err
	}
	if rendered.Kind == provision.Ignition {
		l.ignition = filepath.Join(dir, "user-data")
		return os.WriteFile(l.ignition, rendered.Data, 0o600)
	}
	volume, err := provision.Seed(rendered.Data, provision.MetaData{InstanceID: spec.Name, Hostname: spec.Name})
	if err != nil {
		return err
	}
	l.seed = filepath.Join(dir, "seed.img")
	return os.WriteFile(l.seed, volume, 0o600)
}

// render makes what the guest is given of the user data; without a key, it gets none.
func (p *Platform) render(spec platforms.MachineSpec, key ssh.Signer, vars map[string]string) (provision.Rendered, error) {
	o := provision.Options{User: p.options.User, IgnitionMax: p.options.IgnitionMax, Ignition2: p.options.Ignition2, Vars: vars}
	if key != nil && !spec.NoSSHKey {
		o.SSHKeys = []string{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))}
	}
	return provision.Render(spec.UserData, o)
}

// variables are those that user data may refer to. All addresses are private here.
func variables(name string, nics []clusterhost.NIC) map[string]string {
	vars := map[string]string{provision.VarHostname: name}
	if len(nics) == 0 {
		return vars
	}
	if a := nics[0].IPv4; a.IsValid() {
		vars[provision.VarPrivateIPv4], vars[provision.VarPublicIPv4] = a.String(), a.String()
	}
	if a := nics[0].IPv6; a.IsValid() {
		vars[provision.VarPrivateIPv6], vars[provision.VarPublicIPv6] = a.String(), a.String()
	}
	return vars
}
