package consolecheck

// storageRules are about disks and file systems.
func storageRules() []Rule {
	return []Rule{
		{
			Name: "offline-device", Literals: []string{"rejecting I/O to offline device"}, Pattern: `rejecting I/O to offline device`,
			Title: "rejecting I/O to offline device", Severity: Fatal,
			Origin: kolaBoth, Reason: "A disk went away under the guest.",
		},
		{
			Name: "io-error", Literals: []string{"I/O error"},
			Pattern: `\bI/O error, dev ([\w-]+)|Buffer I/O error on (?:device|dev) ([\w-]+)|EXT4-fs warning \(device ([^)]+)\): .*I/O error`,
			Except:  `\bsr0\b`,
			Title:   "I/O error on $1$2$3", Severity: Fatal,
			Origin: kola, Reason: "Reads or writes fail; only an empty CD drive (sr0) may, and only in its own lines.",
		},
		{
			Name: "nvme-timeout", Literals: []string{"nvme "}, Pattern: `nvme \w+: I/O .*QID \d+.* timeout`,
			Title: "nvme: I/O timeout", Severity: Fatal, Emulated: Warn,
			Origin: "https://github.com/torvalds/linux/blob/master/drivers/nvme/host/pci.c", Reason: "The disk does not answer in time.",
		},
		{
			Name: "ext4-delayed-allocation", Literals: []string{"Delayed block allocation failed"},
			Pattern: `EXT4-fs \([^)]*\): Delayed block allocation failed`,
			Title:   "ext4: delayed block allocation failed", Severity: Fatal,
			Origin: kolaBoth, Reason: "Data that a program had written is lost.",
		},
		{
			Name: "ext4-read-only", Literals: []string{"Remounting filesystem read-only"},
			Pattern: `EXT4-fs \([^)]*\): Remounting filesystem read-only`,
			Title:   "ext4: remounted read-only", Severity: Fatal,
			Origin: kola, Reason: "The file system saw an error and stopped writing.",
		},
		{
			Name: "ext4-error", Literals: []string{"EXT4-fs error", "Aborting journal on device"},
			Pattern: `EXT4-fs error \(device [^)]*\)(?: in |: )(\w+)|(Aborting journal) on device`,
			Title:   "ext4: error in $1$2", Severity: Fatal,
			Origin: kola, Reason: "The file system is damaged.",
		},
		{
			Name: "fsck-inconsistency", Literals: []string{"UNEXPECTED INCONSISTENCY"}, Pattern: `UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY`,
			Title: "fsck: unexpected inconsistency", Severity: Fatal,
			Origin: kola, Reason: "The file system is damaged beyond what fsck repairs by itself.",
		},
		{
			Name: "btrfs-error", Literals: []string{"BTRFS"},
			Pattern: `BTRFS:? (?:error|critical|alert|emergency)(?: \(device [^)]*\))?(?: in |: )(?:bdev \S+ (errs)|([^\d/=,(:]*[a-z_]))|BTRFS warning \(device [^)]*\): (csum failed)`,
			Title:   "btrfs: $1$2$3", Severity: Fatal,
			Origin: "https://btrfs.readthedocs.io/en/latest/trouble-index.html", Reason: "The file system is damaged or gives up.",
		},
		{
			Name: "xfs-error", Literals: []string{"XFS ("},
			Pattern: `XFS \([^)]*\): (Corruption|Metadata corruption|Metadata CRC error|Internal error|log I/O error|Log I/O Error|Filesystem has been shut down)(?: detected at (\w+))?`,
			Title:   "xfs: $1 $2", Severity: Fatal,
			Origin: "https://docs.kernel.org/admin-guide/xfs.html", Reason: "The file system is damaged or gives up.",
		},
		{
			Name: "verity-corruption", Literals: []string{"device-mapper: verity: "},
			Pattern: `device-mapper: verity: \d+:\d+: (data|metadata) block \d+ is corrupted`,
			Title:   "verity: $1 block is corrupted", Severity: Fatal,
			Origin: kola, Reason: "The protected partition is not what was signed.",
		},
		{
			Name: "raid-disk-failure", Literals: []string{"Disk failure on"}, Pattern: `md/raid\S* Disk failure on (\w+)`,
			Title: "md: disk failure on $1", Severity: Warn,
			Origin: "https://docs.kernel.org/admin-guide/md.html", Reason: "An array lost a disk, which a test may intend.",
		},
	}
}
