package qemu

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatrial/internal/clusterhost"
	"seatrial/platforms"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func testLaunch(t *testing.T, name string) launch {
	t.Helper()
	a, err := archOf(name)
	if err != nil {
		t.Fatal(err)
	}
	return launch{
		arch: a, accel: AccelTCG, emulator: "/usr/bin/" + a.binary, name: "m0",
		cpus: DefaultCPUs, memoryMiB: DefaultMemoryMiB, firmware: a.defaultFirmware(),
		uefi: uefiFirmware{
			Code: flashFile{"/fw/code.fd", "raw"}, Vars: flashFile{"/fw/vars.fd", "raw"},
		},
		varsFile: "/disks/vars.qcow2", disk: "/disks/disk.qcow2", ignition: "/disks/user-data",
		nics: []clusterhost.NIC{{ID: "nic0", Network: "net0", MAC: "02:00:00:00:00:01", IPv4: netip.MustParseAddr("10.77.0.11")}},
	}
}

// The command lines are kept as files, an argument with its value a line.
func TestArgs(t *testing.T) {
	for name, l := range map[string]launch{
		"amd64": testLaunch(t, "amd64"),
		"arm64": testLaunch(t, "arm64"),
		"arm64-fork": func() launch {
			l := testLaunch(t, "arm64")
			l.ram, l.incoming, l.varsFile, l.flash = "/template/ram", true, "", "/template/flash"
			return l
		}(),
		"arm64-kvm": func() launch {
			l := testLaunch(t, "arm64")
			l.accel = AccelKVM
			return l
		}(),
		"amd64-full": func() launch {
			l := testLaunch(t, "amd64")
			l.accel, l.cpus, l.memoryMiB = AccelKVM, 4, 4096
			l.firmware, l.uefi.SMM = platforms.UEFISecure, true
			l.tpm = true
			l.disks = []extraDisk{{"/disks/a,b.qcow2", "first"}, {"/disks/c.qcow2", "second"}}
			l.ignition, l.seed = "", "/disks/seed.img"
			l.nics = append(l.nics, clusterhost.NIC{ID: "nic1", MAC: "02:00:00:00:00:02"})
			return l
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for i, arg := range l.args() {
				if i > 0 {
					b.WriteString(map[bool]string{true: "\n", false: " "}[strings.HasPrefix(arg, "-")])
				}
				b.WriteString(arg)
			}
			golden(t, "args-"+name+".txt", b.String()+"\n")
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestParseVersion(t *testing.T) {
	for _, tt := range []struct {
		text string
		want version
		ok   bool
	}{
		{"QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright", version{7, 2}, true},
		{"QEMU emulator version 10.0.2", version{10, 0}, true},
		{"QEMU emulator version 9.1rc2", version{9, 1}, true},
		{"QEMU emulator version x.y", version{}, false},
		{"GNU bash, version 5.2.15", version{}, false},
		{"", version{}, false},
	} {
		got, err := parseVersion(tt.text)
		if got != tt.want && tt.ok || (err == nil) != tt.ok {
			t.Errorf("%q: got %v, %v", tt.text, got, err)
		}
	}
	if !(version{6, 2}).less(minQEMU()) || (version{7, 2}).less(minQEMU()) || (version{10, 0}).less(minQEMU()) {
		t.Error("versions are compared wrongly")
	}
}

func TestLosesCode(t *testing.T) {
	for _, tt := range []struct {
		arch string
		qemu version
		want bool
	}{{"amd64", version{7, 2}, true}, {"amd64", version{8, 0}, true}, {"amd64", version{8, 1}, false}, {"arm64", version{7, 2}, false}} {
		if got := (arch{name: tt.arch}).losesCode(tt.qemu); got != tt.want {
			t.Errorf("%s on QEMU %s: %v", tt.arch, tt.qemu, got)
		}
	}
}

func TestOverhead(t *testing.T) {
	for name, want := range map[string]int{"amd64": 366, "arm64": 494} {
		p := &Platform{arch: testLaunch(t, name).arch, accel: AccelTCG}
		if got := p.overheadMiB(); got != want {
			t.Errorf("%s takes %d MiB", name, got)
		}
	}
}
