package consolecheck

const kernelDocs = "https://docs.kernel.org/admin-guide/"

// crashRules are the kernel's reports of its own faults.
func crashRules() []Rule {
	return []Rule{
		{
			Name: "kernel-panic", Literals: []string{"Kernel panic - not syncing"},
			Pattern: `Kernel panic - not syncing: (VFS: Unable to mount root fs|Attempted to kill init|.*)`,
			Except:  `end Kernel panic`,
			Title:   "kernel panic: $1", Severity: Dead, Kernel: Consequence,
			Origin: kolaBoth, Reason: "The kernel has stopped.",
		},
		{
			Name: "sanitizer", Literals: []string{"BUG: K", "UBSAN: "},
			Pattern: `\b(?:BUG: )?(KASAN|KMSAN|KCSAN|KFENCE|UBSAN): ([\w ,-]+?) in (\S+)`,
			Title:   "$1: $2 in $3", Severity: Fatal, Kernel: Report,
			Origin: syzkaller, Reason: "A sanitizer saw the kernel misuse memory or undefined behavior.",
		},
		{
			Name: "null-dereference", Literals: []string{"NULL pointer dereference"},
			Pattern: `(?:BUG: (?:unable to handle )?|^Unable to handle )kernel NULL pointer dereference`,
			Title:   "BUG: unable to handle kernel NULL pointer dereference", Severity: Fatal, Kernel: ReportInFunc,
			Origin: syzkaller, Reason: "The kernel crashed; the words of amd64 and arm64 get one title.",
		},
		{
			Name: "user-execution", Literals: []string{"unable to execute userspace code", "kernel execution of user memory"},
			Pattern: `^unable to execute userspace code|^Unable to handle kernel execution of user memory`,
			Title:   "BUG: unable to execute userspace code", Severity: Fatal, Kernel: Report,
			Origin: syzkaller, Reason: "The kernel jumped to a program's memory, where no function of its own is.",
		},
		{
			Name: "bad-kernel-access", Literals: []string{"BUG: unable to handle", "Unable to handle kernel", "probably for non-canonical address"},
			Pattern: `BUG: unable to handle (?:kernel )?(?:page fault|paging request)|^Unable to handle kernel |^general protection fault, probably for non-canonical address`,
			Title:   "BUG: unable to handle kernel paging request", Severity: Fatal, Kernel: ReportInFunc,
			Origin: syzkaller, Reason: "The kernel crashed on an address that it may not use; the words of amd64 and arm64 get one title.",
		},
		{
			Name: "kernel-bug-at", Literals: []string{"kernel BUG at"}, Pattern: `kernel BUG at (\S+)`,
			Title: "kernel BUG", Severity: Fatal, Kernel: ReportInFunc,
			Origin: syzkaller, Reason: "An assertion of the kernel failed.",
		},
		{
			Name: "general-protection-fault", Literals: []string{"general protection fault"},
			Pattern: `^(?:segment-related )?general protection fault`,
			Title:   "general protection fault", Severity: Fatal, Kernel: ReportInFunc,
			Origin: syzkaller, Reason: "The kernel crashed on amd64, mostly on an address that no pointer can have.",
		},
		{
			Name: "double-fault", Literals: []string{"double fault", "stack guard page was hit", "Insufficient stack space"},
			Pattern: `PANIC: double fault|^double fault: |^BUG: \w+ stack guard page was hit|^Insufficient stack space to handle exception`,
			Title:   "kernel stack fault", Severity: Fatal, Kernel: ReportInFunc,
			Origin: syzkaller, Reason: "The kernel ran out of stack, or worse.",
		},
		{
			Name: "undefined-instruction", Literals: []string{"invalid opcode: 0000 [#", "Oops - Undefined instruction"},
			Pattern: `^invalid opcode: 0000 \[#|^Internal error: Oops - Undefined instruction`,
			Title:   "undefined instruction", Severity: Fatal, Kernel: ReportInFunc,
			Origin: syzkaller, Reason: "The kernel crashed on code that is none; the words of amd64 and arm64 get one title.",
		},
		{
			Name: "kernel-breakpoint", Literals: []string{"int3: 0000 [#", "Internal error: BRK handler"},
			Pattern: `^int3: 0000 \[#|^Internal error: BRK handler`,
			Title:   "kernel breakpoint", Severity: Fatal, Kernel: ReportInFunc,
			Origin: syzkaller, Reason: "The kernel ran into a breakpoint that nobody had set; the words of amd64 and arm64 get one title.",
		},
		{
			Name: "trap", Literals: []string{": 0000 [#"},
			Pattern: `^(divide error|stack segment|segment not present|alignment check|bounds|control protection|SIMD exception): 0000 \[#`,
			Title:   "$1", Severity: Fatal, Kernel: ReportInFunc,
			Origin: "https://docs.kernel.org/arch/x86/kernel-stacks.html",
			Reason: "An exception of amd64's CPU in the kernel; what has words of its own stands in other rules.",
		},
		{
			Name: "soft-lockup", Literals: []string{"soft lockup"}, Pattern: `BUG: soft lockup - CPU#\d+ stuck`,
			Title: "BUG: soft lockup", Severity: Fatal, Emulated: Warn, Kernel: ReportInFunc,
			Origin: kernelDocs + "lockup-watchdogs.html",
			Reason: "A CPU ran kernel code for over 20 s; on a slow emulated CPU that happens without a fault.",
		},
		{
			Name: "hard-lockup", Literals: []string{"hard LOCKUP"}, Pattern: `Watchdog detected hard LOCKUP`,
			Title: "hard lockup", Severity: Fatal, Emulated: Warn, Kernel: ReportInFunc,
			Origin: kernelDocs + "lockup-watchdogs.html", Reason: "A CPU took no interrupts for over 10 s.",
		},
		{
			Name: "workqueue-lockup", Literals: []string{"workqueue lockup"}, Pattern: `BUG: workqueue lockup`,
			Title: "BUG: workqueue lockup", Severity: Fatal, Emulated: Warn, Kernel: Report,
			Origin: "https://docs.kernel.org/core-api/workqueue.html", Reason: "Deferred work of the kernel makes no progress.",
		},
		{
			Name: "slab-double-free", Literals: []string{"Object already free", " objects but "},
			Pattern: `^BUG (\S+) \([^)]*\): (?:Object already free|Slab has \d+ allocated objects but \d+ are to be freed)$`,
			Title:   "slab $1: an object was freed twice", Severity: Fatal, Kernel: Report,
			Origin: "https://docs.kernel.org/mm/slub.html", Reason: "Which of its checks the allocator fails first depends on what else is in the slab.",
		},
		{
			Name: "slab-wrong-cache", Literals: []string{"cache_from_obj: Wrong slab cache"},
			Pattern: `^cache_from_obj: Wrong slab cache\. (\S+) but object is from `,
			Title:   "slab $1: an object of another cache was freed", Severity: Fatal, Kernel: Report,
			Origin: "https://docs.kernel.org/mm/slub.html",
			Reason: "The function that warns is inlined by one architecture's compiler, and whose the object is depends on the sizes of an architecture's caches.",
		},
		{
			Name: "bad-vfree", Literals: []string{"Trying to vfree() ", "Trying to vunmap() "},
			Pattern: `^Trying to (?:vfree|vunmap)\(\) (bad address|nonexistent vm area)`,
			Title:   "vfree: $1", Severity: Fatal, Kernel: Report,
			Origin: syzkaller, Reason: "Memory was given back that is none; one function warns of both kinds.",
		},
		{
			Name: "slab-bug", Literals: []string{"BUG "}, Pattern: `^BUG (\S+) \([^)]*\): (.+?)(?: on __kmem_cache_shutdown\(\))?$`,
			Title: "slab $1: $2", Severity: Fatal, Kernel: Report,
			Origin: "https://docs.kernel.org/mm/slub.html", Reason: "The allocator found an object that somebody overwrote or freed twice.",
		},
		{
			Name: "bad-page", Literals: []string{"BUG: Bad "}, Pattern: `^BUG: (Bad (?:page state|page map|page cache|rss-counter state))`,
			Title: "BUG: $1", Severity: Fatal, Kernel: Report,
			Origin: syzkaller, Reason: "The kernel's account of memory is wrong; which process noticed that is chance.",
		},
		{
			Name: "kernel-bug", Literals: []string{"BUG: "}, Pattern: `(?:^|: )BUG: ([^:]+)`,
			Title: "BUG: $1", Severity: Fatal, Kernel: Report,
			Origin: syzkaller, Reason: "The kernel found its own state broken (bad page state, scheduling while atomic ...).",
		},
		{
			Name: "list-corruption", Literals: []string{" corruption", "list_add double add"}, Pattern: `\b((?:list_(?:add|del)|slab|page_table_check) corruption|list_add double add)(?:[.,] (?:[0-9a-f]{8,}->)?(\w+ (?:is (?:NULL|LIST_POISON\d)|should be)|\w+->\w+ should be))?`,
			Title: "$1 $2", Severity: Fatal, Kernel: Report,
			Origin: syzkaller, Reason: "A data structure of the kernel was overwritten.",
		},
		{
			Name: "refcount", Literals: []string{"refcount_t: "}, Pattern: `^refcount_t: (.+?)\.?$`,
			Title: "refcount: $1", Severity: Fatal, Kernel: Report,
			Origin: syzkaller, Reason: "An object is counted wrong, and will leak or be used after it was freed.",
		},
		{
			Name: "usercopy", Literals: []string{"usercopy: Kernel memory "},
			Pattern: `^usercopy: (Kernel memory (?:exposure|overwrite) attempt detected (?:from|to) [\w ]+)`,
			Title:   "usercopy: $1", Severity: Fatal, Kernel: Report,
			Origin: syzkaller, Reason: "More was copied from or to user space than there is in an object.",
		},
		{
			Name: "skb-panic", Literals: []string{"skb_over_panic: ", "skb_under_panic: "},
			Pattern: `^skbuff: (skb_(?:over|under)_panic): `,
			Title:   "skbuff: $1", Severity: Fatal, Kernel: Report,
			Origin: syzkaller, Reason: "A packet was written past an end of its buffer; both ends are reported by one function.",
		},
		{
			Name: "fortify", Literals: []string{"detected buffer overflow in"}, Pattern: `^detected buffer overflow in (\w+)`,
			Title: "buffer overflow in $1", Severity: Fatal, Kernel: Report,
			Origin: "https://docs.kernel.org/security/self-protection.html", Reason: "A function of strings would have written past the end of an object.",
		},
		{
			Name: "bad-page-table", Literals: []string{"mm/pgtable-generic.c:"}, Pattern: `mm/pgtable-generic\.c:\d+: (bad (?:p.d|pte))`,
			Title: "$1", Severity: Fatal, Kernel: Report,
			Origin: kola, Reason: "Page tables are corrupt.",
		},
		{
			Name: "internal-error", Literals: []string{"Internal error: "}, Pattern: `^Internal error: (Oops(?: - [\w ]+)?|[\w ]+)`,
			Title: "Internal error: $1", Severity: Fatal, Kernel: ReportInFunc,
			Origin: syzkaller, Reason: "The form of an oops on arm64.",
		},
		{
			Name: "oops", Literals: []string{"Oops: "}, Pattern: `\bOops: `,
			Title: "kernel oops", Severity: Fatal, Kernel: ReportInFunc,
			Origin: kolaBoth, Reason: "The kernel crashed and lives on in an unknown state.",
		},
		{
			Name: "kernel-warning", Literals: []string{"WARNING: CPU: "},
			Pattern: `WARNING: CPU: \d+ PID: \d+ at (?:[\w./-]+:\d+ )?_*(\w+)`,
			Title:   "WARNING in $1", Severity: Fatal, Emulated: Warn, Kernel: Report,
			Origin: kolaBoth,
			Reason: "Something happened that the kernel's authors thought impossible; some such assumptions are about time.",
		},
		{
			Name: "hung-task", Literals: []string{"blocked for more than"},
			Pattern: `INFO: task ([^/:\s]+)\S* blocked for more than \d+ seconds`,
			Title:   "INFO: task $1 hung", Severity: Fatal, Emulated: Warn, Kernel: Report,
			Origin: kernelDocs + "sysctl/kernel.html#hung-task-timeout-secs",
			Reason: "A process (a kworker by that name only, not its number) made no progress for minutes; on a slow emulated machine that happens without a fault.",
		},
		{
			Name: "rcu-stall", Literals: []string{"detected stall", "detected expedited stall", "self-detected stall"},
			Pattern: `(?:INFO: |rcu: )?\w+ (?:self-)?detected (?:expedited )?stalls? on CPU`,
			Title:   "INFO: rcu detected stall", Severity: Fatal, Emulated: Warn, Kernel: ReportInFunc,
			Origin: "https://docs.kernel.org/RCU/stallwarn.html",
			Reason: "A CPU let no grace period pass for over 20 s; an emulated CPU may just not have been scheduled.",
		},
	}
}

// StaleCode names the rule for what a guest shows that hangs because its emulator
// goes on running code that the kernel has changed.
const StaleCode = "stale-code"

// kernelRules are what else the kernel says about the machine's health.
func kernelRules() []Rule {
	return []Rule{
		{
			Name: "oom-kill", Literals: []string{"Out of memory: Kill"}, Pattern: `Out of memory: Kill(?:ed)? process \d+ \(([^)]*)\)`,
			Title: "out of memory: killed $1", Severity: Fatal,
			Origin: assembler, Reason: "The machine ran out of memory and lost a process.",
		},
		{
			Name: "oom-kill-cgroup", Literals: []string{"cgroup out of memory: Kill"},
			Pattern: `Memory cgroup out of memory: Kill(?:ed)? process \d+ \(([^)]*)\)`,
			Title:   "out of memory in a cgroup: killed $1", Severity: Warn,
			Origin: "https://docs.kernel.org/admin-guide/cgroup-v2.html#memory", Reason: "A limit worked as configured, which a test may intend.",
		},
		{
			Name: "oom-killer", Literals: []string{"invoked oom-killer"}, Pattern: `(\S+) invoked oom-killer`,
			Title: "$1 invoked oom-killer", Severity: Warn,
			Origin: assembler, Reason: "The same line stands for the machine and for a cgroup; the line about the killed process tells which.",
		},
		{
			Name: "page-allocation", Literals: []string{"page allocation failure", "vmalloc error"}, Pattern: `^\S+: (page allocation failure|vmalloc error): `,
			Title: "$1", Severity: Warn, Kernel: Report,
			Origin: "https://docs.kernel.org/core-api/memory-allocation.html",
			Reason: "The kernel got no memory in the piece that it wanted; most callers can live with that.",
		},
		{
			Name: "kernel-taint", Literals: []string{"taint"},
			Pattern: `(\S+): loading out-of-tree module taints kernel|(\S+): module verification failed: .*tainting kernel|` +
				`(\S+): module license '.*' taints kernel|(Disabling lock debugging) due to kernel taint`,
			Title: "kernel tainted: $1$2$3$4", Severity: Warn,
			Origin: kernelDocs + "tainted-kernels.html", Reason: "What the kernel does from here on may be the fault of what tainted it.",
		},
		{
			Name: StaleCode, Literals: []string{"exc_int3+0x", "<0f> 1f 44 00 00", "<e9> "},
			Pattern: `^RIP: 0010:(?:asm_)?exc_int3\+0x|^Code: .* <(?:0f> 1f 44 00 00|e9> )`,
			Title:   "a CPU is at a patch of the kernel's code", Severity: Warn, Kernel: Report,
			Origin: "https://gitlab.com/qemu-project/qemu/-/commit/deba78709ae8",
			Reason: "The kernel patches jumps and no-operations behind a breakpoint of a moment; an emulator that translated that and keeps it has the CPU take it for ever.",
		},
		{
			Name: "netdevice-reference", Literals: []string{"unregister_netdevice: waiting for"},
			Pattern: `unregister_netdevice: waiting for ([a-zA-Z-]+)\S* to become free`,
			Title:   "unregister_netdevice: waiting for $1 to become free", Severity: Warn,
			Origin: syzkaller, Reason: "A reference to a network device leaked; removing network namespaces hangs.",
		},
		{
			Name: "hardware-error", Literals: []string{"[Hardware Error]"}, Pattern: `\[Hardware Error\]: (.*)`,
			Title: "hardware error: $1", Severity: Warn,
			Origin: "https://docs.kernel.org/arch/x86/x86_64/machinecheck.html", Reason: "The machine under the guest may be faulty.",
		},
		{
			Name: "bond-flapping", Literals: []string{"link status up for interface"},
			Pattern: `link status up for interface ([^,]+), enabling it in \d+ ms`,
			Title:   "bonding: link of $1 comes up again and again", Severity: Fatal, Times: 10,
			Origin: kolaBoth, Reason: "A bonded interface whose link does not stay up; a few times are normal while it settles.",
		},
		{
			Name: "seccomp-kill", Literals: []string{"type=1326", "SECCOMP auid"},
			Pattern: `(?:type=1326|SECCOMP auid).* comm="([^"]*)".* sig=[1-9]\d*.* syscall=(\d+)`,
			Title:   "seccomp killed $1", Severity: Warn,
			Origin: "https://docs.kernel.org/userspace-api/seccomp_filter.html",
			Reason: "A filter does not know a system call that this architecture's library makes.",
		},
		{
			Name: "avc-permissive", Literals: []string{"permissive=1"}, Pattern: avcPattern + `.*permissive=1`,
			Title: avcTitle, Severity: Warn,
			Origin: kola, Reason: "SELinux only reports here, but would deny when enforcing.",
		},
		{
			Name: "avc-denied", Literals: []string{"avc: "}, Pattern: avcPattern,
			Title: avcTitle, Severity: Fatal,
			Origin: kola, Reason: "The policy does not fit what the system does.",
		},
	}
}

// The fields of an access vector cache message; see
// https://github.com/SELinuxProject/selinux-notebook (auditing).
const (
	avcPattern = `avc:\s+denied\s+\{ ([^}]*) \}(?:.* comm="([^"]*)")?(?:.* scontext=[^:]+:[^:]+:([^:\s]+))?` +
		`(?:.* tcontext=[^:]+:[^:]+:([^:\s]+))?(?:.* tclass=(\w+))?`
	avcTitle = "avc: denied { $1 } comm=$2 $3 -> $4 $5"
)
