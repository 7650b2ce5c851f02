package debian

import (
	"os/exec"
	"path/filepath"
)

// Tool is a program of the host that a build calls.
type Tool struct{ Name, Package string }

// Missing returns the programs that the host lacks for an architecture's image.
func Missing(arch string) []Tool {
	var missing []Tool
	for _, t := range required(arch) {
		if _, err := lookTool(t.Name); err != nil {
			missing = append(missing, t)
		}
	}
	return missing
}

// lookTool finds a program in the path and in the administrators' directories,
// which the path of ordinary users lacks.
func lookTool(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, name))
	}
	return path, err
}

func required(arch string) []Tool {
	all := []Tool{
		{"apt-get", "apt"},
		{"debugfs", "e2fsprogs"},
		{"depmod", "kmod"},
		{"dpkg-deb", "dpkg"},
		{"mcopy", "mtools"},
		{"mke2fs", "e2fsprogs"},
		{"mkfs.vfat", "dosfstools"},
		{"mmd", "mtools"},
		{"mmdebstrap", "mmdebstrap"},
		{"qemu-img", "qemu-utils"},
		{"sgdisk", "gdisk"},
		{"unshare", "util-linux"},
	}
	a, err := architectureByName(arch)
	if err != nil {
		return all
	}
	if a.bios {
		all = append(all, Tool{"grub-mkimage", "grub-common"})
	}
	if host, err := hostArchitecture(); err == nil && host.name != a.name {
		all = append(all, Tool{a.emu, "qemu-user-static"})
	}
	return all
}
