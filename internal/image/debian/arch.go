package debian

import (
	"debug/elf"
	"fmt"
	"runtime"
)

// architecture is what differs between the architectures of the image.
type architecture struct {
	name    string // Debian's and Go's
	triplet string // multiarch directory name
	machine elf.Machine
	console string // kernel arguments that choose the serial console
	emu     string // static user-mode emulator
	efi     string // suffix of EFI file names
	grub    string // directory of the signed EFI loader below /usr/lib/grub
	bios    bool
}

func architectures() []architecture {
	return []architecture{
		{
			name: "amd64", triplet: "x86_64-linux-gnu", machine: elf.EM_X86_64,
			console: "console=ttyS0,115200n8", emu: "qemu-x86_64-static",
			efi: "x64", grub: "x86_64-efi-signed", bios: true,
		},
		{
			name: "arm64", triplet: "aarch64-linux-gnu", machine: elf.EM_AARCH64,
			console: "console=ttyAMA0,115200n8", emu: "qemu-aarch64-static",
			efi: "aa64", grub: "arm64-efi-signed",
		},
	}
}

// CheckArch returns an error for an architecture that there is no image for.
func CheckArch(name string) error {
	_, err := architectureByName(name)
	return err
}

func architectureByName(name string) (architecture, error) {
	for _, a := range architectures() {
		if a.name == name {
			return a, nil
		}
	}
	return architecture{}, fmt.Errorf("architecture %q: the reference image exists for amd64 and arm64", name)
}

func hostArchitecture() (architecture, error) { return architectureByName(runtime.GOARCH) }
