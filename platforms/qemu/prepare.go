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

// prepare makes the files of a machine and works out its command line.
func (c *Cluster) prepare(ctx context.Context, spec platforms.MachineSpec, nics []clusterhost.NIC) (clusterhost.Machine, error) {
	p := c.platform
	l := launch{
		arch: p.arch, accel: p.accel, emulator: p.emulator.path, name: spec.Name,
		cpus: orDefault(spec.CPUs, DefaultCPUs), memoryMiB: orDefault(spec.MemoryMiB, DefaultMemoryMiB),
		firmware: orDefault(spec.Firmware, p.arch.defaultFirmware()), tpm: spec.TPM, nics: nics,
	}
	l.uefi = p.firmware[l.firmware]
	files, logs := filepath.Join(c.disks, spec.Name), filepath.Join(c.spec.Dir, spec.Name)
	for dir, mode := range map[string]os.FileMode{files: 0o700, logs: 0o755} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return clusterhost.Machine{}, err
		}
	}
	if err := c.makeUserData(&l, spec, files, logs); err != nil {
		return clusterhost.Machine{}, err
	}
	if err := c.makeDisks(ctx, &l, spec, files); err != nil {
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

// makeDisks makes the machine's disks and its copy of the UEFI variables.
func (c *Cluster) makeDisks(ctx context.Context, l *launch, spec platforms.MachineSpec, dir string) error {
	p := c.platform
	group, ctx := errgroup.WithContext(ctx)
	l.disk = filepath.Join(dir, "disk.qcow2")
	group.Go(func() error {
		size := p.image.VirtualSize + int64(spec.GrowDiskMiB)*mib
		return p.images.overlay(ctx, l.disk, p.options.Image.Path, p.image.Format, size)
	})
	if l.firmware != platforms.BIOS {
		l.varsFile = filepath.Join(dir, "vars.qcow2")
		group.Go(func() error {
			return p.images.overlay(ctx, l.varsFile, l.uefi.Vars.Filename, l.uefi.Vars.Format, 0)
		})
	}
	for i, d := range spec.Disks {
		file := filepath.Join(dir, fmt.Sprintf("disk%d.qcow2", i+1))
		l.disks = append(l.disks, extraDisk{file: file, serial: d.Serial})
		group.Go(func() error { return p.images.empty(ctx, file, int64(d.SizeMiB)*mib) })
	}
	return group.Wait()
}

// makeUserData renders the user data into the file that QEMU hands to the guest, and leaves a copy
// without secrets beside the console's log. Ignition reads fw_cfg; what is for cloud-init comes on
// a NoCloud volume.
func (c *Cluster) makeUserData(l *launch, spec platforms.MachineSpec, dir, logs string) error {
	o := c.platform.options
	options := provision.Options{User: o.User, IgnitionMax: o.IgnitionMax, Ignition2: o.Ignition2, Vars: variables(spec.Name, l.nics)}
	if !spec.NoSSHKey {
		options.SSHKeys = []string{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(o.SSHKey.PublicKey())))}
	}
	rendered, err := provision.Render(spec.UserData, options)
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
