package basic

import "testing"

func TestResolvConfFaults(t *testing.T) {
	const real, stub = "/run/systemd/resolve/resolv.conf", "/run/systemd/resolve/stub-resolv.conf"
	link := func(target string) answers {
		return answers{"kind": said("symbolic link"), "target": said(target)}
	}
	for _, c := range []struct {
		name    string
		got     answers
		flatcar bool
		want    []string
	}{
		{"real servers", link(real), false, nil},
		{"stub", link(stub), false, nil},
		{"real servers on Flatcar", link(real), true, nil},
		{"stub on Flatcar", link(stub), true, []string{"want " + real}},
		{"file", answers{"kind": said("regular file"), "target": said("/etc/resolv.conf")}, false, []string{"regular file"}},
		{"dead", answers{"kind": said("symbolic link"), "target": failed(1, "")}, false, []string{"exit status 1"}},
		{"elsewhere", link("/etc/resolv.conf.dhclient"), false, []string{"resolv.conf.dhclient"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantFaults(t, resolvConfFaults(c.got, c.flatcar), c.want...) })
	}
}

func TestSymlinkFaults(t *testing.T) {
	good := answers{
		"/etc/coreos":             said("/etc/flatcar\ndirectory"),
		"/usr/bin/coreos-install": said("/usr/bin/flatcar-install\nregular file"),
		"/usr/lib/coreos":         said("/usr/lib/flatcar\ndirectory"),
		"/usr/share/coreos":       said("/usr/share/flatcar\ndirectory"),
	}
	checkFaults(t, symlinkFaults, []faultCase{
		{"all", good, nil},
		{"not a link", good.with("/etc/coreos", failed(1, "")), []string{"/etc/coreos"}},
		{"elsewhere", good.with("/usr/lib/coreos", said("/usr/lib/other\ndirectory")), []string{"/usr/lib/other"}},
		{"to a device", good.with("/usr/lib/coreos", said("/usr/lib/flatcar\ncharacter special file")), []string{"character special"}},
	})
}

func TestUpdateKeyFaults(t *testing.T) {
	checkFaults(t, updateKeyFaults, []faultCase{
		{"no file", answers{"key": failed(1, "od: No such file")}, []string{"cannot be read"}},
		{"empty", answers{"key": said("")}, []string{"cannot be read"}},
		{"unknown", answers{"key": said("616263")}, []string{"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}},
	})
}

func TestReadOnlyFaults(t *testing.T) {
	checkFaults(t, readOnlyFaults, []faultCase{
		{"usr", answers{"mounts": said("/dev/vda9 / ext4 rw 0 0\n/dev/mapper/usr /usr ext4 ro,relatime 0 0")}, nil},
		{"usr writable", answers{"mounts": said("/dev/vda9 / ext4 ro 0 0\n/dev/mapper/usr /usr ext4 rw 0 0")}, []string{"/usr is not mounted read-only"}},
		{"root", answers{"mounts": said("/dev/vda9 / ext4 ro 0 0")}, nil},
		{"root writable", answers{"mounts": said("/dev/vda9 / ext4 rw,errors=remount-ro 0 0")}, []string{"/ is not mounted read-only"}},
		{"nothing", answers{"mounts": said("")}, []string{"neither"}},
	})
}

func TestRandomUUIDFaults(t *testing.T) {
	checkFaults(t, randomUUIDFaults, []faultCase{
		{"random", answers{"guid": said("C9E0F1A2-3B4C-4D5E-8F60-718293A4B5C6")}, nil},
		{"image's", answers{"guid": said(imageGUID)}, []string{"still has the image's GUID"}},
		{"malformed", answers{"guid": said("dos")}, []string{"malformed"}},
		{"no disk", answers{"guid": failed(2, "")}, []string{"malformed"}},
	})
}

func TestMicrocodeFaults(t *testing.T) {
	checkFaults(t, microcodeFaults, []faultCase{
		{"both", answers{"firmware": said(`CONFIG_EXTRA_FIRMWARE="amd-ucode/microcode_amd.bin intel-ucode/06-03-02"`)}, nil},
		{"one", answers{"firmware": said(`CONFIG_EXTRA_FIRMWARE="intel-ucode/06-03-02"`)}, []string{"amd-ucode"}},
		{"none", answers{"firmware": failed(1, "")}, []string{"amd-ucode", "intel-ucode"}},
	})
}

func TestMachineIDFaults(t *testing.T) {
	checkFaults(t, machineIDFaults, []faultCase{
		{"an ID", answers{"id": said("0123456789abcdef0123456789abcdef")}, nil},
		{"empty", answers{"id": said("")}, []string{"not an ID"}},
		{"missing", answers{"id": failed(1, "cat: /etc/machine-id: No such file")}, []string{"No such file"}},
		{"uninitialized", answers{"id": said("uninitialized")}, []string{"uninitialized"}},
		{"blank", answers{"id": said("COREOS_BLANK_MACHINE_ID")}, []string{"COREOS_BLANK"}},
		{"zero", answers{"id": said("00000000000000000000000000000000")}, []string{"0000"}},
		{"upper case", answers{"id": said("0123456789ABCDEF0123456789ABCDEF")}, []string{"not an ID"}},
	})
}

func TestOSReleaseFaults(t *testing.T) {
	checkFaults(t, osReleaseFaults, []faultCase{
		{"Debian", answers{"file": said("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\nHOME_URL=\"https://www.debian.org/\"")}, nil},
		{"Flatcar", answers{"file": said("NAME=\"Flatcar Container Linux by Kinvolk\"\nID=flatcar\nID_LIKE=coreos\nVERSION_ID=4081.2.0\nBUILD_ID=2024-11-12\nPRETTY_NAME=\"Flatcar 4081.2.0\"\nANSI_COLOR=\"38;5;75\"")}, nil},
		{"rolling", answers{"file": said("# comment\n\nNAME=Arch\nID=arch\nPRETTY_NAME='Arch Linux'\nBUILD_ID=rolling")}, nil},
		{"empty", answers{"file": said("")}, []string{"no ID", "no NAME", "no PRETTY_NAME", "neither VERSION_ID nor BUILD_ID"}},
		{"missing", answers{"file": failed(1, "cat: No such file")}, []string{"cannot be read"}},
		{"malformed", answers{"file": said("NAME=a\nID=b\nPRETTY_NAME=c d\nVERSION_ID=1")}, []string{"not an assignment", "no PRETTY_NAME"}},
		{"illegal ID", answers{"file": said("NAME=a\nID=\"My OS\"\nPRETTY_NAME=c\nVERSION_ID=1")}, []string{"illegal"}},
	})
}
