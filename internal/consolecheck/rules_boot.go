package consolecheck

const (
	kola      = "kola (flatcar/mantle) consoleChecks"
	kolaBoth  = "kola (flatcar/mantle and coreos-assembler) consoleChecks"
	assembler = "kola (coreos-assembler) consoleChecks"
	edk2      = "https://github.com/tianocore/edk2 (MdeModulePkg/Universal/BdsDxe)"
	syzkaller = "https://github.com/google/syzkaller/blob/master/pkg/report/linux.go"
)

// bootRules are about what runs before the kernel.
func bootRules() []Rule {
	return []Rule{
		{
			Name: "grub-rescue", Literals: []string{"grub rescue>"}, Pattern: `^grub rescue>`,
			Title: "GRUB rescue shell", Severity: Dead, ConsoleOnly: true, Prompt: true,
			Origin: "https://www.gnu.org/software/grub/manual/grub/html_node/GRUB-only-offers-a-rescue-shell.html",
			Reason: "GRUB did not find its own modules and waits for a person.",
		},
		{
			Name: "grub-shell", Literals: []string{"grub>"}, Pattern: `^grub>`,
			Title: "GRUB shell", Severity: Dead, ConsoleOnly: true, Prompt: true,
			Origin: "https://www.gnu.org/software/grub/manual/grub/html_node/Command_002dline-interface.html",
			Reason: "GRUB found no configuration and waits for a person.",
		},
		{
			Name: "grub-magic", Literals: []string{" broken"}, Pattern: `(alloc|free) magic (?:is )?broken`,
			Title: "GRUB: $1 magic broken", Severity: Fatal, ConsoleOnly: true,
			Origin: kolaBoth, Reason: "GRUB's heap is corrupt; what it loads cannot be trusted.",
		},
		{
			Name: "grub-error", Literals: []string{"error: "},
			Pattern: `^error: (no such (?:device|partition|disk)|unknown filesystem|(?:disk|file|symbol) .* not found|` +
				`attempt to read or write outside of (?:disk|partition)|invalid arch-.* magic|you need to load the kernel first)`,
			Title: "GRUB: $1", Severity: Warn, ConsoleOnly: true,
			Origin: "https://www.gnu.org/software/grub/manual/grub/html_node/Troubleshooting.html",
			Reason: "GRUB may go on with another entry; if not, its shell is a finding of its own.",
		},
		{
			Name: "secure-boot-violation", Literals: []string{"Security Violation", "bad shim signature", "Access Denied", "invalid signature"},
			Pattern: `Verification failed: .*Security Violation|bad shim signature|BdsDxe: failed to (?:load|start) .*: Access Denied|has invalid signature`,
			Title:   "secure boot refused the loader or kernel", Severity: Fatal, ConsoleOnly: true,
			Origin: "https://github.com/rhboot/shim", Reason: "The image is not signed for the keys of the firmware.",
		},
		{
			Name: "boot-option-failed", Literals: []string{"BdsDxe: failed to", "Boot failed: "},
			Pattern: `BdsDxe: failed to (?:load|start) (Boot[0-9A-F]{4})|Boot failed: (.*)`,
			Title:   "firmware: boot option failed: $1$2", Severity: Warn, ConsoleOnly: true,
			Origin: edk2, Reason: "The firmware goes on with the next option; this names the one that did not work.",
		},
		{
			Name: "no-boot-device", Literals: []string{"No bootable device", "No bootable option or device was found"},
			Pattern: `No bootable (?:device|option or device was found)`,
			Title:   "firmware: no bootable device", Severity: Dead, ConsoleOnly: true,
			Origin: edk2 + ", https://github.com/qemu/seabios (src/boot.c)",
			Reason: "The disk has nothing that the firmware can start.",
		},
		{
			Name: "uefi-shell-banner", Literals: []string{"UEFI Interactive Shell"}, Pattern: `^UEFI Interactive Shell`,
			Title: "UEFI shell", Severity: Dead, ConsoleOnly: true,
			Origin: edk2, Reason: "The firmware found nothing to start and waits for a person.",
		},
		{
			Name: "uefi-shell", Literals: []string{"Shell>"}, Pattern: `^Shell>`,
			Title: "UEFI shell", Severity: Dead, ConsoleOnly: true, Prompt: true,
			Origin: edk2, Reason: "The firmware found nothing to start and waits for a person.",
		},
		{
			Name: "firmware-exception", Literals: []string{"Exception Type - ", "Synchronous Exception at"},
			Pattern: `!!!! \w+ Exception Type - (\w+)|^(Synchronous Exception) at`,
			Title:   "firmware exception: $1$2", Severity: Dead, ConsoleOnly: true,
			Origin: "https://github.com/tianocore/edk2 (UefiCpuPkg, ArmPkg: CpuExceptionHandlerLib)",
			Reason: "The firmware, or a boot loader within it, crashed and stops.",
		},
		{
			Name: "efi-stub-error", Literals: []string{"EFI stub: ERROR"}, Pattern: `EFI stub: ERROR: (.*)`,
			Title: "EFI stub: $1", Severity: Fatal, ConsoleOnly: true,
			Origin: "https://github.com/torvalds/linux/tree/master/drivers/firmware/efi/libstub",
			Reason: "The kernel could not take over from the firmware as it should.",
		},
	}
}
