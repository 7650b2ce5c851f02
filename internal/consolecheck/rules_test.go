package consolecheck

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scan returns the findings in a text.
func scan(cfg Config, text string) []Finding {
	var found []Finding
	cfg.FlushAfter = -1
	s := NewScanner(cfg, func(f Finding) { found = append(found, f) })
	_, _ = s.Write([]byte(text))
	s.Flush()
	return found
}

// sample is a line and what the table makes of it, as "severity rule: title".
type sample struct{ line, want string }

// samples has lines as kernels, systemd and firmware print them.
func samples() []sample {
	return slices.Concat(bootSamples(), kernelSamples(), storageSamples(), systemSamples())
}

func bootSamples() []sample {
	return []sample{
		{"grub rescue> ", "dead grub-rescue: GRUB rescue shell"},
		{"grub> ", "dead grub-shell: GRUB shell"},
		{"alloc magic is broken at 0x7ff3c0a0: 0", "fatal grub-magic: GRUB: alloc magic broken"},
		{"free magic broken at 0x7ff3c0a0", "fatal grub-magic: GRUB: free magic broken"},
		{"error: no such device: 9eb3a1e2-ab4a-4b8b-a0c8-b07c1a3c5a1e.", "warn grub-error: GRUB: no such device"},
		{"error: file `/boot/grub/x86_64-efi/normal.mod' not found.", "warn grub-error: GRUB: file `/boot/grub/x86_64-efi/normal.mod' not found"},
		{"error: unknown filesystem.", "warn grub-error: GRUB: unknown filesystem"},
		{"Verification failed: (0x1A) Security Violation", "fatal secure-boot-violation: secure boot refused the loader or kernel"},
		{"error: bad shim signature.", "fatal secure-boot-violation: secure boot refused the loader or kernel"},
		{`BdsDxe: failed to load Boot0001 "UEFI QEMU DVD-ROM" from PciRoot(0x0)/Pci(0x1F,0x2)/Sata(0x2,0xFFFF,0x0): Not Found`,
			"warn boot-option-failed: firmware: boot option failed: Boot0001"},
		{"Boot failed: not a bootable disk", "warn boot-option-failed: firmware: boot option failed: not a bootable disk"},
		{"No bootable device.", "dead no-boot-device: firmware: no bootable device"},
		{"BdsDxe: No bootable option or device was found.", "dead no-boot-device: firmware: no bootable device"},
		{"UEFI Interactive Shell v2.2", "dead uefi-shell-banner: UEFI shell"},
		{"Shell> ", "dead uefi-shell: UEFI shell"},
		{"!!!! X64 Exception Type - 0D(#GP - General Protection)  CPU Apic ID - 00000000 !!!!", "dead firmware-exception: firmware exception: 0D"},
		{"Synchronous Exception at 0x000000013BE5A000", "dead firmware-exception: firmware exception: Synchronous Exception"},
		{"EFI stub: ERROR: Failed to handle fs_proto", "fatal efi-stub-error: EFI stub: Failed to handle fs_proto"},
	}
}

func kernelSamples() []sample {
	return []sample{
		{"[   41.211310] Kernel panic - not syncing: sysrq triggered crash", "dead kernel-panic: kernel panic: sysrq triggered crash"},
		{"[    9.1] Kernel panic - not syncing: Fatal exception in interrupt", "dead kernel-panic: kernel panic: Fatal exception in interrupt"},
		{"[    2.531] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", "dead kernel-panic: kernel panic: VFS: Unable to mount root fs"},
		{"[    2.531] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100", "dead kernel-panic: kernel panic: Attempted to kill init"},
		{"[   41.2] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---", ""},
		{"BUG: KASAN: slab-use-after-free in ext4_search_dir+0xf2/0x1c0", "fatal sanitizer: KASAN: slab-use-after-free in ext4_search_dir"},
		{"UBSAN: array-index-out-of-bounds in fs/ext4/namei.c:1234:5", "fatal sanitizer: UBSAN: array-index-out-of-bounds in fs/ext4/namei.c:LINE"},
		{"BUG: kernel NULL pointer dereference, address: 0000000000000010", "fatal null-dereference: BUG: unable to handle kernel NULL pointer dereference"},
		{"Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000", "fatal null-dereference: BUG: unable to handle kernel NULL pointer dereference"},
		{"BUG: unable to handle page fault for address: ffffeb1000000008", "fatal bad-kernel-access: BUG: unable to handle kernel paging request"},
		{"Unable to handle kernel paging request at virtual address ffff80000a5d3000", "fatal bad-kernel-access: BUG: unable to handle kernel paging request"},
		{"kernel BUG at fs/ext4/inode.c:2721!", "fatal kernel-bug-at: kernel BUG"},
		{"[    5.012345][  T411] general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP", "fatal bad-kernel-access: BUG: unable to handle kernel paging request"},
		{"segment-related general protection fault: fff8 [#6] PREEMPT SMP NOPTI", "fatal general-protection-fault: general protection fault"},
		{"traps: PANIC: double fault, error_code: 0x0", "fatal double-fault: kernel stack fault"},
		{"BUG: TASK stack guard page was hit at 000000003ea1b2c4 (stack is 0000000012ab34cd..00000000deadbeef)", "fatal double-fault: kernel stack fault"},
		{"Insufficient stack space to handle exception!", "fatal double-fault: kernel stack fault"},
		{"list_del corruption, ffffffffc0a5d0c0->next is LIST_POISON1 (dead000000000100)", "fatal list-corruption: list_del corruption next is LIST_POISON1"},
		{"invalid opcode: 0000 [#3] PREEMPT SMP NOPTI", "fatal undefined-instruction: undefined instruction"},
		{"Internal error: BRK handler: 00000000f2002460 [#1] SMP", "fatal kernel-breakpoint: kernel breakpoint"},
		{"divide error: 0000 [#2] PREEMPT SMP NOPTI", "fatal trap: divide error"},
		{"BUG kmalloc-64 (Tainted: G    B      OE     ): Poison overwritten", "fatal slab-bug: slab kmalloc-NUM: Poison overwritten"},
		{"BUG victims (Tainted: G    B      OE     ): Object already free", "fatal slab-double-free: slab victims: an object was freed twice"},
		{"BUG victims (Tainted: G    B      OE     ): Slab has 0 allocated objects but 1 are to be freed", "fatal slab-double-free: slab victims: an object was freed twice"},
		{"cache_from_obj: Wrong slab cache. victims but object is from kmalloc-64", "fatal slab-wrong-cache: slab victims: an object of another cache was freed"},
		{"skbuff: skb_over_panic: text:ffffffff81d2f3a0 len:200 put:100 head:ffff888004a1b000 data:ffff888004a1b000 tail:0xc8 end:0xc0 dev:<NULL>", "fatal skb-panic: skbuff: skb_over_panic"},
		{"Trying to vfree() bad address (0000000012345678)", "fatal bad-vfree: vfree: bad address"},
		{"unable to execute userspace code (SMEP?) (uid: 0)", "fatal user-execution: BUG: unable to execute userspace code"},
		{"BUG leaky (Not tainted): Objects remaining in leaky on __kmem_cache_shutdown()", "fatal slab-bug: slab leaky: Objects remaining in leaky"},
		{"refcount_t: underflow; use-after-free.", "fatal refcount: refcount: underflow; use-after-free"},
		{"usercopy: Kernel memory exposure attempt detected from SLUB object 'x' (offset 0, size 128)!", "fatal usercopy: usercopy: Kernel memory exposure attempt detected from SLUB object"},
		{"detected buffer overflow in strlcat", "fatal fortify: buffer overflow in strlcat"},
		{"sh: page allocation failure: order:8, mode:0x820(GFP_ATOMIC), nodemask=(null),cpuset=/,mems_allowed=0", "warn page-allocation: page allocation failure"},
		{"list_add double add: new=ffffffffc0a5d0c0, prev=ffffffffc0a5d0c0, next=ffffffffc0a5d0a0.", "fatal list-corruption: list_add double add"},
		{"BTRFS warning (device vdb): csum failed root 5 ino 257 off 4096 csum 0x12 expected csum 0x34 mirror 1", "fatal btrfs-error: btrfs: csum failed"},
		{"[  68.2] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [kworker/1:2:77]", "fatal soft-lockup: BUG: soft lockup"},
		{"NMI watchdog: Watchdog detected hard LOCKUP on cpu 3", "fatal hard-lockup: hard lockup"},
		{"BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 34s!", "fatal workqueue-lockup: BUG: workqueue lockup"},
		{"BUG: scheduling while atomic: swapper/0/0/0x00000002", "fatal kernel-bug: BUG: scheduling while atomic"},
		{"BUG: Bad page state in process kworker/u4:1  pfn:10a2b", "fatal bad-page: BUG: Bad page state"},
		{"list_del corruption. prev->next should be ffff8880041d1c38, but was 0000000000000000", "fatal list-corruption: list_del corruption prev->next should be"},
		{"mm/pgtable-generic.c:50: bad pmd 00000000f00d(0000)", "fatal bad-page-table: bad pmd"},
		{"[ 3.2] Internal error: Oops: 0000000096000004 [#1] SMP", "fatal internal-error: Internal error: Oops"},
		{"Internal error: synchronous external abort: 0000000096000410 [#1] SMP", "fatal internal-error: Internal error: synchronous external abort"},
		{"Oops: 0002 [#1] PREEMPT SMP NOPTI", "fatal oops: kernel oops"},
		{"WARNING: CPU: 0 PID: 1 at kernel/sched/core.c:9950 __might_sleep+0x5d/0x70", "fatal kernel-warning: WARNING in might_sleep"},
		{"INFO: task kworker/0:1:12 blocked for more than 120 seconds.", "fatal hung-task: INFO: task kworker hung"},
		{"rcu: INFO: rcu_preempt self-detected stall on CPU", "fatal rcu-stall: INFO: rcu detected stall"},
		{"rcu: INFO: rcu_sched detected stalls on CPUs/tasks:", "fatal rcu-stall: INFO: rcu detected stall"},
		{"rcu: INFO: rcu_sched detected expedited stalls on CPUs/tasks: { 1-... }", "fatal rcu-stall: INFO: rcu detected stall"},

		{"Out of memory: Killed process 812 (etcd) total-vm:10612260kB, anon-rss:3031664kB", "fatal oom-kill: out of memory: killed etcd"},
		{"Memory cgroup out of memory: Killed process 1044 (stress) total-vm:1kB", "warn oom-kill-cgroup: out of memory in a cgroup: killed stress"},
		{"dockerd invoked oom-killer: gfp_mask=0x1100cca, order=0, oom_score_adj=-500", "warn oom-killer: dockerd invoked oom-killer"},
		{"zfs: loading out-of-tree module taints kernel.", "warn kernel-taint: kernel tainted: zfs"},
		{"nvidia: module license 'NVIDIA' taints kernel.", "warn kernel-taint: kernel tainted: nvidia"},
		{"Disabling lock debugging due to kernel taint", "warn kernel-taint: kernel tainted: Disabling lock debugging"},
		{"[  224.245962] RIP: 0010:asm_exc_int3+0x0/0x40", "warn stale-code: a CPU is at a patch of the kernel's code"},
		{"[  224.245962]  ? exc_int3+0xa/0x120", ""},
		{"[  249.106939] Code: 83 c4 38 44 89 f8 5b 5d 41 5c e8 20 6f 96 00 <0f> 1f 44 00 00 65 4c 8b 3c 25", "warn stale-code: a CPU is at a patch of the kernel's code"},
		{"[  252.933964] Code: 83 c4 38 44 89 f8 5b 5d 41 5c e8 20 6f 96 00 <e9> 32 06 00 00 65 4c", "warn stale-code: a CPU is at a patch of the kernel's code"},
		{"[  224.245962] Code: 00 66 0f 1f 84 00 00 00 00 00 0f 01 ca fc 6a ff <e8> 35 08 00 00", ""},
		{"unregister_netdevice: waiting for lo to become free. Usage count = 1", "warn netdevice-reference: unregister_netdevice: waiting for lo to become free"},
		{"mce: [Hardware Error]: Machine check events logged", "warn hardware-error: hardware error: Machine check events logged"},
		{strings.Repeat("bond0: link status up for interface eth1, enabling it in 200 ms\n", 10), "fatal bond-flapping: bonding: link of eth1 comes up again and again"},
		{strings.Repeat("bond0: link status up for interface eth1, enabling it in 200 ms\n", 9), ""},
		{`audit: type=1326 audit(1624.9:5): auid=1000 uid=1000 gid=1000 ses=2 pid=931 comm="clone3-test" exe="/bin/x" sig=31 arch=c00000b7 syscall=435 compat=0 ip=0xffff code=0x80000000`,
			"warn seccomp-kill: seccomp killed clone3-test"},
		{`audit: type=1400 audit(1624985.123:45): avc:  denied  { read write } for  pid=812 comm="torcx-gen" name="x" dev="vda9" ino=12 scontext=system_u:system_r:kernel_t:s0 tcontext=system_u:object_r:unlabeled_t:s0 tclass=file permissive=0`,
			"fatal avc-denied: avc: denied { read write } comm=torcx-gen kernel_t -> unlabeled_t file"},
		{`audit[812]: AVC avc:  denied  { search } for  pid=812 comm="x" scontext=a:b:c_t:s0 tcontext=a:b:d_t:s0 tclass=dir permissive=1`,
			"warn avc-permissive: avc: denied { search } comm=x c_t -> d_t dir"},
	}
}

func storageSamples() []sample {
	return []sample{
		{"sd 0:0:0:0: rejecting I/O to offline device", "fatal offline-device: rejecting I/O to offline device"},
		{"blk_update_request: I/O error, dev vda, sector 2048 op 0x0:(READ) flags 0x0", "fatal io-error: I/O error on vda"},
		{"Buffer I/O error on dev dm-0, logical block 0, async page read", "fatal io-error: I/O error on dm-NUM"},
		{"EXT4-fs warning (device vda9): ext4_end_bio:344: I/O error 10 writing to inode 12", "fatal io-error: I/O error on vda9"},
		{"blk_update_request: I/O error, dev sr0, sector 0 op 0x0:(READ)", ""},
		{"nvme nvme0: I/O 12 QID 4 timeout, aborting", "fatal nvme-timeout: nvme: I/O timeout"},
		{"EXT4-fs (vda9): Delayed block allocation failed for inode 12 at logical offset 0", "fatal ext4-delayed-allocation: ext4: delayed block allocation failed"},
		{"EXT4-fs (vda9): Remounting filesystem read-only", "fatal ext4-read-only: ext4: remounted read-only"},
		{"EXT4-fs error (device vda9): ext4_lookup:1785: inode #2: comm ls: iget: checksum invalid", "fatal ext4-error: ext4: error in ext4_lookup"},
		{"Aborting journal on device vda9-8.", "fatal ext4-error: ext4: error in Aborting journal"},
		{"/dev/vda9: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.", "fatal fsck-inconsistency: fsck: unexpected inconsistency"},
		{"BTRFS error (device vda9): bdev /dev/vda9 errs: wr 0, rd 1", "fatal btrfs-error: btrfs: errs"},
		{"BTRFS: error (device dm-0) in btrfs_commit_transaction:2418: errno=-5 IO failure", "fatal btrfs-error: btrfs: btrfs_commit_transaction"},
		{"XFS (vda9): Metadata CRC error detected at xfs_agf_read_verify", "fatal xfs-error: xfs: Metadata CRC error xfs_agf_read_verify"},
		{"device-mapper: verity: 254:0: data block 4242 is corrupted", "fatal verity-corruption: verity: data block is corrupted"},
		{"md/raid1:md127: Disk failure on vdb1, disabling device.", "warn raid-disk-failure: md: disk failure on vdb1"},
	}
}

func systemSamples() []sample {
	return []sample{
		{"Press Enter for emergency shell or wait 5 minutes for reboot.", "dead emergency-shell: emergency shell"},
		{"         Starting Emergency Shell...", "dead emergency-shell: emergency shell"},
		{"\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39memergency.service\x1b[0m - Emergency Shell.", "dead emergency-shell: emergency shell"},
		{"You are in emergency mode. After logging in, type \"journalctl -xb\" to view", "dead emergency-shell: emergency shell"},
		{"Entering emergency mode. Exit the shell to continue.", "dead emergency-shell: emergency shell"},
		{"Cannot open access to console, the root account is locked.", "dead emergency-shell: emergency shell"},
		{"[    4.0] dracut: Refusing to continue", "dead dracut-stopped: dracut: Refusing to continue"},
		{"[    4.0] dracut: FATAL: No or empty root= argument", "dead dracut-stopped: dracut: FATAL: No or empty root= argument"},
		{"[  132.1] dracut-initqueue[412]: Warning: dracut-initqueue: timeout, still waiting for following initqueue hooks:", "warn dracut-timeout: dracut: initqueue timeout"},
		{"(initramfs) ", "dead initramfs-prompt: initramfs shell"},
		{"ALERT!  LABEL=root does not exist.  Dropping to a shell!", "dead initramfs-no-root: initramfs: root device not found"},
		{"systemd[1]: Failed to switch root: Specified switch root path '/sysroot' does not seem to be an OS tree.", "fatal switch-root-failed: failed to switch root: Specified switch root path '/sysroot' does not seem to be an OS tree."},
		{"[   12.2] ignition[763]: Ignition failed: failed to create files: context deadline exceeded", "fatal ignition-failed: Ignition failed: failed to create files: context deadline exceeded"},
		{"ignition[133]: failed to fetch config: resource requires networking", ""},
		{"ignition[412]: failed to fetch config: context canceled", "fatal ignition-failed: Ignition failed: context canceled"},
		{"systemd[1]: initrd-cleanup.service: Main process exited, code=killed, status=15/TERM", "fatal initrd-cleanup-killed: initrd-cleanup.service killed"},
		{"[    1.2] systemd[1]: Freezing execution.", "dead systemd-freeze: systemd froze"},
		{"systemd[1]: Failed to isolate default target, freezing.", "fatal default-target: failed to isolate the default target"},
		{"systemd[1]: sysinit.target: Found ordering cycle on swap.target/start", "fatal ordering-cycle: ordering cycle: swap.target/start"},
		{"systemd[1]: sysinit.target: Job swap.target/start deleted to break ordering cycle starting with sysinit.target/start", "fatal ordering-cycle: ordering cycle: swap.target/start"},
		{"[ SKIP ] Ordering cycle found, skipping swap.target", "fatal ordering-cycle: ordering cycle: swap.target"},
		{"systemd[350]: /usr/lib/systemd/system-generators/torcx-generator failed with exit status 1.", "fatal generator-failed: generator failed: /usr/lib/systemd/system-generators/torcx-generator"},
		{"[DEPEND] Dependency failed for Local File Systems.", "fatal dependency-failed: Dependency failed for Local File Systems"},
		{"\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mbroken.service\x1b[0m - A broken one.", "fatal unit-failed: Failed to start broken.service - A broken one"},
		{"[FAILED] Failed to start CoreOS Static Network Agent.", "fatal unit-failed: Failed to start CoreOS Static Network Agent"},
		{"[FAILED] Failed to mount data.mount - /data.", "fatal mount-failed: Failed to mount data.mount - /data"},
		{"[ TIME ] Timed out waiting for device dev-vdb.device - /dev/vdb.", "warn device-timeout: timed out waiting for device dev-vdb.device - /dev/vdb"},
		{"\x1b[0;1;31m TIME \x1b[0m] Timed out waiting for device \x1b[0;1;\u2026e\x1b[0m - /dev/disk/by-label/absent.",
			"warn device-timeout: timed out waiting for device ...e - /dev/disk/by-label/absent"},
		{"systemd[1]: systemd-udevd.service: Watchdog timeout (limit 3min)!", "fatal service-watchdog: systemd-udevd.service: watchdog timeout"},

		{"[   17.2] etcd[812]: segfault at 8 ip 00007f01 sp 00007ffd error 4 in libc.so.6", "fatal segfault: program crashed: etcd"},
		{"traps: bash[77] general protection fault ip:7f01 sp:7ff error:0 in libc.so.6", "fatal program-trap: program crashed: bash: general protection fault"},
		{"traps: bash[77] trap invalid opcode ip:7f01 sp:7ff error:0 in libc.so.6", "fatal illegal-instruction: program crashed: bash: illegal instruction"},
		{"bash[77]: unhandled exception: Unknown/Uncategorized, ESR 0x0000000002000000, undefined instruction in bash[400000+7f000]", "fatal illegal-instruction: program crashed: bash: illegal instruction"},
		{"bash[77]: unhandled exception: DABT (lower EL), ESR 0x0000000092000046, level 2 translation fault in bash[400000+7f000]", "fatal segfault: program crashed: bash"},
		{"systemd[1]: foo.service: Main process exited, code=killed, status=11/SEGV", "fatal segfault: program crashed:"},
		{"flanneld[99]: unhandled level 2 translation fault (11) at 0x00000008, esr 0x92000006", "fatal segfault: program crashed: flanneld"},
		{"systemd-coredump[900]: Process 812 (etcd) of user 0 dumped core.", "fatal core-dump: core dump etcd"},
		{"Aborted (core dumped)", "fatal core-dump: core dump"},
		{"dockerd[12]: panic: runtime error: invalid memory address or nil pointer dereference", "fatal go-panic: Go panic: runtime error: invalid memory address or nil pointer dereference"},
	}
}

func TestRules(t *testing.T) {
	used := map[string]bool{}
	for _, tt := range samples() {
		var got []string
		for _, f := range scan(Config{}, tt.line+"\n") {
			used[f.Rule] = true
			got = append(got, f.Severity.String()+" "+f.Rule+": "+f.Title)
		}
		if s := strings.Join(got, "; "); s != tt.want {
			t.Errorf("%.120q:\n got %q\nwant %q", tt.line, s, tt.want)
		}
	}
	for _, r := range Rules() {
		if !used[r.Name] {
			t.Errorf("rule %s has no sample", r.Name)
		}
	}
}

// The table's rows are complete, and the filter cannot hide a sample.
func TestTable(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Fatal(err)
	}
	for _, r := range Rules() {
		switch {
		case !regexp.MustCompile(`^[a-z][a-z0-9-]+$`).MatchString(r.Name):
			t.Errorf("rule %q: a name is lower case words, digits and dashes", r.Name)
		case r.Origin == "" || !strings.HasSuffix(r.Reason, "."):
			t.Errorf("rule %s: an origin or a reason in whole sentences is missing", r.Name)
		case r.Emulated >= r.Severity && r.Emulated != 0:
			t.Errorf("rule %s: emulation makes it no less severe", r.Name)
		case r.Prompt && strings.Contains(r.Title, "$"):
			t.Errorf("rule %s: the title of a prompt has groups", r.Name)
		}
	}
}

// Lines of sound systems, some of them close to a rule.
func TestNoFindings(t *testing.T) {
	for _, line := range []string{
		"",
		"[    0.000000] Linux version 6.1.0-18-amd64 (debian-kernel@lists.debian.org)",
		"[    0.000000] Command line: panic=10 oops=panic root=/dev/vda1",
		"[    1.0] Kernel command line: console=ttyS0 panic=-1",
		"[    0.3] watchdog: Delayed init of the lockup detector failed: -19",
		"[  OK  ] Listening on systemd-coredump.socket - Process Core Dump Socket.",
		"[  OK  ] Reached target local-fs.target - Local File Systems.",
		"[    5.0] EXT4-fs (vda1): mounted filesystem with ordered data mode. Quota mode: none.",
		"[    5.0] EXT4-fs (vda1): re-mounted. Quota mode: none.",
		"[    5.0] BTRFS info (device vda9): using crc32c (crc32c-intel) checksum algorithm",
		"[    2.0] systemd[1]: Queued start job for default target multi-user.target.",
		"rcu: INFO: rcu_preempt is fine",
		"GRUB loading.",
		"Booting from Hard Disk...",
		"user@host:~$ grub> is what it prints",
		"error: an ordinary program's error",
		"ignition[412]: Ignition finished successfully",
		"CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.1.0-18-amd64 #1",
		"don't panic",
	} {
		for _, f := range scan(Config{}, line+"\n") {
			t.Errorf("%q: %s %s", line, f.Rule, f.Title)
		}
	}
}

func TestValidate(t *testing.T) {
	ok := Rule{Name: "x", Literals: []string{"abcd"}, Pattern: "abcd", Severity: Warn}
	tests := []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"exemption", func(c *Config) { c.Exempt = []string{"unit-fail"} }, `exempt "unit-fail"`},
		{"exemption with text", func(c *Config) { c.Exempt = []string{"unit-fail:x"} }, `exempt "unit-fail"`},
		{"name", func(c *Config) { c.Extra[0].Name = "" }, "without a name"},
		{"name taken", func(c *Config) { c.Extra[0].Name = "oops" }, "another one"},
		{"pattern", func(c *Config) { c.Extra[0].Pattern = "(" }, "missing closing"},
		{"exception", func(c *Config) { c.Extra[0].Except = "(" }, "missing closing"},
		{"no literal", func(c *Config) { c.Extra[0].Literals = nil }, "no literals"},
		{"short literal", func(c *Config) { c.Extra[0].Literals = []string{"abc"} }, "shorter"},
		{"severity", func(c *Config) { c.Extra[0].Severity = 0 }, "no severity"},
		{"prompt", func(c *Config) { c.Extra[0].Prompt = true }, "begins with ^"},
	}
	for _, tt := range tests {
		cfg := Config{Extra: []Rule{ok}}
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		tt.edit(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
		scan(cfg, "a text\n") // works without what is wrong
	}
}

func TestConfig(t *testing.T) {
	const hung = "INFO: task dd:12 blocked for more than 120 seconds.\n"
	const units = "Failed to start a.service.\nFailed to start b.service.\n"
	extra := Rule{Name: "my-unit", Literals: []string{"b.service"}, Pattern: `b\.service`, Title: "mine", Severity: Warn}
	tests := []struct {
		name string
		cfg  Config
		text string
		want []string
	}{
		{"kvm", Config{Accel: "kvm"}, hung, []string{"fatal hung-task"}},
		{"tcg", Config{Accel: "tcg"}, hung, []string{"warn hung-task"}},
		{"tcg and a panic", Config{Accel: "tcg"}, "Kernel panic - not syncing: x\n", []string{"dead kernel-panic"}},
		{"exempt", Config{Exempt: []string{"unit-failed"}}, units, nil},
		{"partly exempt", Config{Exempt: []string{"unit-failed:a.serv"}}, units, []string{"fatal unit-failed"}},
		{"exempt prompt", Config{Exempt: []string{"grub-rescue"}}, "grub rescue> ", nil},
		{"extra first", Config{Extra: []Rule{extra}}, units, []string{"fatal unit-failed", "warn my-unit"}},
		{"a journal has no dead", Config{Source: Journal}, "2026-11-23T01:51:12.123456+0000 host kernel: Kernel panic - not syncing: x\n",
			[]string{"fatal kernel-panic"}},
		{"a journal has no prompts", Config{Source: Journal}, "2026-11-23T01:51:12.123456+0000 host echo[1]: grub> \ngrub> ", nil},
	}
	for _, tt := range tests {
		var got []string
		for _, f := range scan(tt.cfg, tt.text) {
			got = append(got, f.Severity.String()+" "+f.Rule)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
