package qemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"seatrial/platforms"
)

// firmwareDirs are where distributions and administrators describe firmware, the former
// overridden by the latter (docs/interop/firmware.json of QEMU).
func firmwareDirs() []string { return []string{"/etc/qemu/firmware", "/usr/share/qemu/firmware"} }

// uefiFirmware is a firmware build in two flash devices: the code, and a template of the variables.
type uefiFirmware struct {
	Code, Vars flashFile
	SMM        bool // the code must be protected from the guest's system software
}

type flashFile struct {
	Filename string `json:"filename"`
	Format   string `json:"format"`
}

// descriptor is the part that matters of a file that describes firmware.
type descriptor struct {
	InterfaceTypes []string `json:"interface-types"`
	Mapping        struct {
		Device        string    `json:"device"`
		Mode          string    `json:"mode"`
		Executable    flashFile `json:"executable"`
		NVRAMTemplate flashFile `json:"nvram-template"`
	} `json:"mapping"`
	Targets []struct {
		Architecture string   `json:"architecture"`
		Machines     []string `json:"machines"`
	} `json:"targets"`
	Features []string `json:"features"`
}

// findUEFI returns the UEFI firmware for an architecture, with or without secure boot and
// enrolled keys. Files that descriptors name but the host lacks do not count. The first in the
// order of the file names wins.
func findUEFI(dirs []string, a arch, secure bool) (uefiFirmware, error) {
	files, err := descriptorFiles(dirs)
	if err != nil {
		return uefiFirmware{}, fmt.Errorf("find firmware: %w", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return uefiFirmware{}, fmt.Errorf("find firmware: %w", err)
		}
		var d descriptor
		if err := json.Unmarshal(data, &d); err != nil {
			return uefiFirmware{}, fmt.Errorf("find firmware: decode %s: %w", file, err)
		}
		if d.fits(a, secure) {
			smm := slices.Contains(d.Features, "requires-smm")
			return uefiFirmware{Code: d.Mapping.Executable, Vars: d.Mapping.NVRAMTemplate, SMM: smm}, nil
		}
	}
	what := "UEFI firmware for " + a.name
	if secure {
		what += " with secure boot"
	}
	return uefiFirmware{}, &MissingError{What: what, Install: "apt-get install " + a.firmwarePkg}
}

// descriptorFiles lists descriptors in the order of their names. Of several with the same name
// the one in the first directory counts; an empty one hides the others.
func descriptorFiles(dirs []string) ([]string, error) {
	byName := make(map[string]string)
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if _, overridden := byName[e.Name()]; path.Ext(e.Name()) == ".json" && !overridden {
				byName[e.Name()] = filepath.Join(dir, e.Name())
			}
		}
	}
	var files []string
	for _, file := range byName {
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		if info.Size() > 0 {
			files = append(files, file)
		}
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return files, nil
}

// fits reports whether the descriptor is of the wanted firmware, and its files are there.
func (d descriptor) fits(a arch, secure bool) bool {
	has := func(feature string) bool { return slices.Contains(d.Features, feature) }
	switch {
	case !slices.Contains(d.InterfaceTypes, "uefi"),
		d.Mapping.Device != "flash",
		d.Mapping.Mode != "" && d.Mapping.Mode != "split",
		secure != (has("secure-boot") && has("enrolled-keys")),
		!secure && has("secure-boot"):
		return false
	}
	for _, f := range []flashFile{d.Mapping.Executable, d.Mapping.NVRAMTemplate} {
		if info, err := os.Stat(f.Filename); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	for _, t := range d.Targets {
		if t.Architecture != a.qemuName {
			continue
		}
		for _, pattern := range t.Machines {
			if ok, err := path.Match(pattern, a.machine); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// firmwares finds all firmware of an architecture that the host has. What is missing has its
// reason in the second result.
func firmwares(dirs []string, a arch) (map[platforms.Firmware]uefiFirmware, map[platforms.Firmware]error) {
	found := make(map[platforms.Firmware]uefiFirmware)
	missing := make(map[platforms.Firmware]error)
	for _, fw := range a.firmware {
		if fw == platforms.BIOS {
			found[fw] = uefiFirmware{} // it comes with QEMU
			continue
		}
		u, err := findUEFI(dirs, a, fw == platforms.UEFISecure)
		if err != nil {
			missing[fw] = err
			continue
		}
		found[fw] = u
	}
	return found, missing
}
