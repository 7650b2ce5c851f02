package consolecheck

const (
	systemd   = "https://www.freedesktop.org/software/systemd/man/latest/systemd.html"
	dracut    = "https://dracut-ng.github.io/dracut-ng/"
	initramfs = "https://manpages.debian.org/stable/initramfs-tools-core/initramfs-tools.7.en.html"
)

// systemRules are about the initramfs, Ignition and systemd.
func systemRules() []Rule {
	return []Rule{
		{
			Name:     "emergency-shell",
			Literals: []string{"mergency", "rescue mode", "Cannot open access to console"},
			Pattern: `Press Enter for emergency shell|Start(?:ing|ed) (?:emergency\.service - )?Emergency Shell|` +
				`You are in (?:emergency|rescue) mode|Entering emergency mode|Reached target (?:emergency\.target - )?Emergency Mode|` +
				`Cannot open access to console, the root account is locked`,
			Title: "emergency shell", Severity: Dead,
			Origin: kolaBoth, Reason: "The boot ended in a shell that waits for a person.",
		},
		{
			Name: "dracut-stopped", Literals: []string{"dracut: "}, Pattern: `dracut: (Refusing to continue|FATAL: .*)`,
			Title: "dracut: $1", Severity: Dead,
			Origin: assembler, Reason: "The initramfs has given up.",
		},
		{
			Name: "dracut-timeout", Literals: []string{"dracut-initqueue"},
			Pattern: `Warning: dracut-initqueue: (?:timeout|starting timeout scripts)|dracut-initqueue\S*: Warning: Could not boot`,
			Title:   "dracut: initqueue timeout", Severity: Warn,
			Origin: dracut, Reason: "A device that the initramfs needs has not come yet.",
		},
		{
			Name: "initramfs-prompt", Literals: []string{"(initramfs)"}, Pattern: `^\(initramfs\)`,
			Title: "initramfs shell", Severity: Dead, ConsoleOnly: true, Prompt: true,
			Origin: initramfs, Reason: "The boot ended in a shell that waits for a person.",
		},
		{
			Name: "initramfs-no-root", Literals: []string{"does not exist.  Dropping to a shell", "Gave up waiting for root"},
			Pattern: `ALERT!\s+(\S+) does not exist\.\s+Dropping to a shell|Gave up waiting for root`,
			Title:   "initramfs: root device not found", Severity: Dead, ConsoleOnly: true,
			Origin: initramfs, Reason: "The root file system's device has not come.",
		},
		{
			Name: "switch-root-failed", Literals: []string{"Failed to switch root"}, Pattern: `Failed to switch root: (.*)`,
			Title: "failed to switch root: $1", Severity: Fatal,
			Origin: systemd, Reason: "The initramfs could not start the system.",
		},
		{
			Name: "ignition-failed", Literals: []string{"gnition"},
			Pattern: `ignition\[\d+\]: (?:Ignition failed|CRITICAL *|failed to fetch config): (.*)`,
			Except:  `resource requires networking`, // said by the stage before there is a network; a later one fetches
			Title:   "Ignition failed: $1", Severity: Fatal,
			Origin: kolaBoth, Reason: "The machine is not what its config asked for.",
		},
		{
			Name: "initrd-cleanup-killed", Literals: []string{"initrd-cleanup.service"},
			Pattern: `initrd-cleanup\.service: Main process exited, code=killed, status=15/TERM`,
			Title:   "initrd-cleanup.service killed", Severity: Fatal,
			Origin: kolaBoth, Reason: "The switch to the root file system raced with its own clean-up.",
		},
		{
			Name: "systemd-freeze", Literals: []string{"Freezing execution"}, Pattern: `systemd\[1\]: Freezing execution`,
			Title: "systemd froze", Severity: Dead,
			Origin: kola, Reason: "The init process has stopped.",
		},
		{
			Name: "default-target", Literals: []string{"Failed to isolate default target"}, Pattern: `Failed to isolate default target`,
			Title: "failed to isolate the default target", Severity: Fatal,
			Origin: kola, Reason: "systemd does not know what to start.",
		},
		{
			Name: "ordering-cycle", Literals: []string{"rdering cycle"},
			Pattern: `(?:Ordering cycle found, skipping|Found ordering cycle on) (\S+)|Job (\S+) deleted to break ordering cycle`,
			Title:   "ordering cycle: $1$2", Severity: Fatal,
			Origin: kolaBoth, Reason: "systemd leaves out a unit, and not always the same one.",
		},
		{
			Name: "generator-failed", Literals: []string{"/system-generators/"},
			Pattern: `(/\S*/system-generators/\S+) (?:failed with exit status|terminated by signal|failed due to unknown reason)`,
			Title:   "generator failed: $1", Severity: Fatal,
			Origin: assembler, Reason: "Units that the generator should have made are missing.",
		},
		{
			Name: "dependency-failed", Literals: []string{"Dependency failed for"}, Pattern: `Dependency failed for (.+?)\.?$`,
			Title: "Dependency failed for $1", Severity: Fatal,
			Origin: kola, Reason: "A unit was not started because of another one.",
		},
		{
			Name: "unit-failed", Literals: []string{"Failed to start "}, Pattern: `Failed to start (.+?)\.?$`,
			Title: "Failed to start $1", Severity: Fatal,
			Origin: kola, Reason: "A unit that belongs to the system does not work.",
		},
		{
			Name: "mount-failed", Literals: []string{"Failed to mount ", "Failed to listen on ", "Failed to activate swap "},
			Pattern: `(?:\[FAILED\]|systemd\[1\]:) (Failed to (?:mount|listen on|activate swap) .+?)\.?$`,
			Title:   "$1", Severity: Fatal,
			Origin: systemd, Reason: "As for a service, in the words for other types of units.",
		},
		{
			Name: "device-timeout", Literals: []string{"Timed out waiting for device"}, Pattern: `Timed out waiting for device (.+?)\.?$`,
			Title: "timed out waiting for device $1", Severity: Warn,
			Origin: systemd, Reason: "The device is missing, or the machine too slow; units that need it fail.",
		},
		{
			Name: "service-watchdog", Literals: []string{"Watchdog timeout"}, Pattern: `(\S+\.service): Watchdog timeout`,
			Title: "$1: watchdog timeout", Severity: Fatal, Emulated: Warn,
			Origin: "https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html#WatchdogSec=",
			Reason: "A service hangs, or the machine is too slow for it.",
		},
	}
}

// crashed is how the kernel begins to say that a program crashed.
const crashed = `(?:traps: )?([\w./@:-]+)\[\d+\]:? `

// programRules are about programs that crash.
func programRules() []Rule {
	return []Rule{
		{
			Name: "illegal-instruction", Literals: []string{"trap invalid opcode", "undefined instruction"},
			Pattern: crashed + `(?:trap invalid opcode|unhandled exception: .*undefined instruction)`,
			Title:   "program crashed: $1: illegal instruction", Severity: Fatal,
			Origin: kolaBoth, Reason: "A program was built for another CPU, or jumped into the void.",
		},
		{
			Name: "program-trap", Literals: []string{"trap divide error", "trap int3", "general protection fault"},
			Pattern: crashed + `(?:trap )?(divide error|int3|general protection fault)`,
			Title:   "program crashed: $1: $2", Severity: Fatal,
			Origin: kolaBoth, Reason: "A program did what its CPU does not do.",
		},
		{
			Name: "segfault", Literals: []string{"segfault at", "SIGSEGV", "=11/SEGV", "unhandled "},
			Pattern: crashed + `(?:segfault at|unhandled (?:level \d|exception))|SIGSEGV|=11/SEGV`,
			Title:   "program crashed: $1", Severity: Fatal,
			Origin: kolaBoth, Reason: "A program touched memory that is not its own.",
		},
		{
			Name: "core-dump", Literals: []string{"ore dump", "dumped core"},
			Pattern: `Process \d+ \(([^)]*)\) of user \d+ dumped core|[Cc]ore dump`,
			Title:   "core dump $1", Severity: Fatal,
			Origin: kolaBoth, Reason: "A program crashed.",
		},
		{
			Name: "go-panic", Literals: []string{"panic: "}, Pattern: `\bpanic: (.*)`,
			Title: "Go panic: $1", Severity: Fatal,
			Origin: kolaBoth, Reason: "A program written in Go crashed (docker, containerd, Ignition ...).",
		},
	}
}
