package debian

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
)

// The disk: a BIOS boot partition (amd64 only), the EFI system partition and the
// root, whose number is the same everywhere because grub.cfg names it.
const (
	sectorSize = 512
	mib        = 1 << 20
	diskSize   = 10 << 30

	biosStart = 1 * mib
	espStart  = 2 * mib
	espSize   = 64 * mib
	rootStart = espStart + espSize
	rootSize  = diskSize - rootStart - mib // the last MiB holds the second table

	rootUUID = "5ea721a1-0000-4000-8000-000000000003"
	espUUID  = "5ea721a1-0000-4000-8000-000000000002"
	biosUUID = "5ea721a1-0000-4000-8000-000000000001"
	diskUUID = "5ea721a1-0000-4000-8000-000000000000"
)

// disk assembles the image's disk as a sparse raw file.
type disk struct {
	tools tools
	arch  architecture
	file  string
	work  string // a directory for temporary files
}

// partition creates the file with its partition table.
func (d disk) partition(ctx context.Context) error {
	f, err := os.Create(d.file)
	if err != nil {
		return fmt.Errorf("create disk: %w", err)
	}
	err = errors.Join(f.Truncate(diskSize), f.Close())
	if err != nil {
		return fmt.Errorf("create disk: %w", err)
	}
	args := []string{"sgdisk", "--set-alignment=1", "--disk-guid=" + diskUUID}
	add := func(number int, start, size int64, kind, label, guid string) {
		n := strconv.Itoa(number)
		args = append(args,
			fmt.Sprintf("--new=%s:%d:%d", n, start/sectorSize, (start+size)/sectorSize-1),
			"--typecode="+n+":"+kind, "--change-name="+n+":"+label, "--partition-guid="+n+":"+guid)
	}
	if d.arch.bios {
		add(1, biosStart, espStart-biosStart, "ef02", "BIOS", biosUUID)
	}
	add(2, espStart, espSize, "ef00", "EFI", espUUID)
	add(3, rootStart, rootSize, "8300", "ROOT", rootUUID)
	return d.tools.run(ctx, command{args: append(args, d.file)})
}

// makeRoot makes the root filesystem of a directory.
func (d disk) makeRoot(ctx context.Context, root string) error {
	err := d.tools.run(ctx, command{args: []string{
		"mke2fs", "-q", "-F", "-t", "ext4", "-L", "ROOT", "-U", rootUUID, "-m", "1", "-b", "4096",
		"-E", fmt.Sprintf("offset=%d,hash_seed=%s,lazy_itable_init=1,root_owner=0:0", rootStart, rootUUID),
		"-d", root, d.file, strconv.Itoa(rootSize / 4096),
	}})
	if err != nil {
		return fmt.Errorf("make root filesystem: %w", err)
	}
	return nil
}

// rootDevice names the root filesystem within the disk as libext2fs takes it.
func (d disk) rootDevice() string { return fmt.Sprintf("%s?offset=%d", d.file, rootStart) }

// makeESP makes the EFI system partition: the signed loaders of the boot
// packages, unpacked below boot, under the names that firmware looks for.
func (d disk) makeESP(ctx context.Context, boot string, config []byte) error {
	cfg := filepath.Join(d.work, "esp-grub.cfg")
	if err := os.WriteFile(cfg, config, 0o644); err != nil {
		return fmt.Errorf("make EFI system partition: %w", err)
	}
	image := fmt.Sprintf("%s@@%d", d.file, espStart)
	efi := d.arch.efi
	commands := [][]string{
		{"mkfs.vfat", "-F", "32", "-s", "1", "-n", "EFI", "-i", "5ea721a1", "--offset", strconv.Itoa(espStart / sectorSize), d.file, strconv.Itoa(espSize / 1024)},
		{"mmd", "-i", image, "::EFI", "::EFI/BOOT", "::EFI/debian"},
		{"mcopy", "-i", image, filepath.Join(boot, "usr/lib/shim", "shim"+efi+".efi.signed"), "::EFI/BOOT/" + path.Base(efiBootFile(d.arch))},
		{"mcopy", "-i", image, filepath.Join(boot, "usr/lib/grub", d.arch.grub, "grub"+efi+".efi.signed"), "::EFI/BOOT/grub" + efi + ".efi"},
		{"mcopy", "-i", image, cfg, "::EFI/debian/grub.cfg"},
	}
	for _, args := range commands {
		if err := d.tools.run(ctx, command{args: args}); err != nil {
			return fmt.Errorf("make EFI system partition: %w", err)
		}
	}
	return nil
}

// efiBootFile is where firmware looks for the loader of removable media.
func efiBootFile(a architecture) string {
	names := map[string]string{"x64": "BOOTX64.EFI", "aa64": "BOOTAA64.EFI"}
	return "EFI/BOOT/" + names[a.efi]
}

// installBIOS writes GRUB for PC BIOS: its first sector into the partition
// table's, the rest into the BIOS boot partition.
func (d disk) installBIOS(ctx context.Context, boot string) error {
	dir := filepath.Join(boot, "usr/lib/grub/i386-pc")
	core := filepath.Join(d.work, "core.img")
	err := d.tools.run(ctx, command{args: []string{
		"grub-mkimage", "-O", "i386-pc", "-d", dir, "-p", "(,gpt3)/boot/grub", "-o", core,
		"biosdisk", "part_gpt", "ext2", "normal", "configfile", "linux", "test", "echo",
	}})
	if err != nil {
		return fmt.Errorf("install GRUB for BIOS: %w", err)
	}
	first, err := os.ReadFile(filepath.Join(dir, "boot.img"))
	if err != nil {
		return fmt.Errorf("install GRUB for BIOS: %w", err)
	}
	rest, err := os.ReadFile(core)
	if err != nil {
		return fmt.Errorf("install GRUB for BIOS: %w", err)
	}
	if err := patchBIOS(first, rest); err != nil {
		return fmt.Errorf("install GRUB for BIOS: %w", err)
	}
	f, err := os.OpenFile(d.file, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("install GRUB for BIOS: %w", err)
	}
	_, err1 := f.WriteAt(first[:partitionTable], 0)
	_, err2 := f.WriteAt(rest, biosStart)
	if err := errors.Join(err1, err2, f.Close()); err != nil {
		return fmt.Errorf("install GRUB for BIOS: %w", err)
	}
	return nil
}

// Offsets within GRUB's boot.img and the first sector of its core.img
// (include/grub/i386/pc/boot.h and grub-core/boot/i386/pc/diskboot.S).
const (
	partitionTable  = 440 // where the boot code ends and the disk's signature begins
	kernelSector    = 0x5c
	driveCheck      = 0x66
	firstBlockList  = sectorSize - 12
	coreLoadSegment = 0x820
)

// patchBIOS links boot.img to core.img, which lies at the beginning of the BIOS
// boot partition.
func patchBIOS(boot, core []byte) error {
	if len(boot) != sectorSize || len(core) < 2*sectorSize || len(core) > espStart-biosStart {
		return fmt.Errorf("unexpected sizes %d and %d of boot.img and core.img", len(boot), len(core))
	}
	sector := uint64(biosStart / sectorSize)
	binary.LittleEndian.PutUint64(boot[kernelSector:], sector)
	// Two NOPs: the drive number that the BIOS hands over is right.
	copy(boot[driveCheck:], []byte{0x90, 0x90})
	rest := (len(core) - 1) / sectorSize
	binary.LittleEndian.PutUint64(core[firstBlockList:], sector+1)
	binary.LittleEndian.PutUint16(core[firstBlockList+8:], uint16(rest))
	binary.LittleEndian.PutUint16(core[firstBlockList+10:], coreLoadSegment)
	return nil
}

// convert writes the finished disk as a compressed qcow2 image.
func (d disk) convert(ctx context.Context, out string) error {
	return d.tools.run(ctx, command{args: []string{
		"qemu-img", "convert", "-O", "qcow2", "-c", "-o", "compression_type=zstd", "-m", "4", d.file, out,
	}})
}
