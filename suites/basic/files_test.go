package basic

import (
	"slices"
	"strings"
	"testing"
)

func TestStateFaults(t *testing.T) {
	good := answers{"space": said("Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda3 8000000 2000000 6000000 26% /")}
	for _, dir := range stateDirs() {
		good[dir] = said("")
	}
	checkFaults(t, stateFaults, []faultCase{
		{"good", good, nil},
		{"read-only", good.with("/var", failed(1, "mktemp: Read-only file system")), []string{"/var cannot be written"}},
		{"nearly full", good.with("space", said("/dev/vda3 100 94 6 94% /\n/dev/vdb 100 95 5 95% /mnt/a b")), []string{"/mnt/a b is 95 % full"}},
	})
}

const goodMounts = `sysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0
proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0
udev /dev devtmpfs rw,nosuid,relatime,size=479168k,nr_inodes=119792,mode=755,inode64 0 0
devpts /dev/pts devpts rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=000 0 0
tmpfs /run tmpfs rw,nosuid,nodev,size=99916k,mode=755,inode64 0 0
tmpfs /dev/shm tmpfs rw,nosuid,nodev,inode64 0 0`

func TestRuntimeMountFaults(t *testing.T) {
	good := answers{"mounts": said(goodMounts), "modes": said("1777 /dev/shm\n1777 /tmp\n1777 /var/tmp")}
	checkFaults(t, runtimeMountFaults, []faultCase{
		{"good", good, nil},
		{"with suid", good.with("mounts", said(strings.Replace(goodMounts, "/run tmpfs rw,nosuid", "/run tmpfs rw", 1))), []string{"/run is mounted without nosuid: rw,nodev"}},
		{"run on disk", good.with("mounts", said(strings.Replace(goodMounts, "/run tmpfs", "/run ext4", 1))), []string{`/run is of type "ext4"`}},
		{"no run", good.with("mounts", said(strings.Replace(goodMounts, "/run", "/runs", 1))), []string{`/run is of type ""`}},
		{"not sticky", good.with("modes", said("1777 /dev/shm\n777 /tmp\n1777 /var/tmp")), []string{"/tmp has mode 777"}},
	})
}

func TestPermissionFaults(t *testing.T) {
	const good = "644 root /etc/passwd\n644 root /etc/group\n640 root /etc/shadow\n640 root /etc/gshadow\n440 root /etc/sudoers\n" +
		"700 root /root\n600 root /etc/ssh/ssh_host_ed25519_key"
	with := func(old, replaced string) answers {
		return answers{"files": failed(1, strings.Replace(good, old, replaced, 1))}
	}
	checkFaults(t, permissionFaults, []faultCase{
		{"good", with("", ""), nil},
		{"world-readable root directory", with("700 root /root", "755 root /root"), nil},
		{"shadow readable", with("640 root /etc/shadow", "644 root /etc/shadow"), []string{"/etc/shadow has mode 644"}},
		{"shadow of a user", with("640 root /etc/shadow", "640 core /etc/shadow"), []string{"belongs to core"}},
		{"passwd writable", with("644 root /etc/passwd", "664 root /etc/passwd"), []string{"/etc/passwd has mode 664"}},
		{"key readable", with("600 root /etc/ssh", "604 root /etc/ssh"), []string{"ssh_host_ed25519_key has mode 604"}},
		{"setuid is no fault of these bits", with("700 root /root", "4700 root /root"), nil},
		{"no shadow", with("640 root /etc/shadow\n", ""), []string{"/etc/shadow does not exist"}},
	})
}

func TestFileRuleFaults(t *testing.T) {
	r := fileRule{fault: "odd file", known: []string{"/usr/bin/su"}}
	for _, c := range []struct {
		name  string
		found answer
		want  []string
	}{
		{"nothing", said(""), nil},
		{"known", said("/usr/bin/su"), nil},
		{"unknown", said("/usr/bin/su\n/opt/a b\n/usr/bin/susu"), []string{`odd file: "/opt/a b"`, `odd file: "/usr/bin/susu"`}},
		{"failed", failed(1, "find: I/O error"), []string{"search failed"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantFaults(t, r.faults(c.found), c.want...) })
	}
}

func TestFilesystemSubtestsAreKolas(t *testing.T) {
	want := []string{"deadlinks", "suid", "sgid", "writablefiles", "writabledirs", "stickydirs", "blacklist"}
	var got []string
	for _, c := range filesystemChecks() {
		got = append(got, c.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("subtests are %v, want %v", got, want)
	}
}
