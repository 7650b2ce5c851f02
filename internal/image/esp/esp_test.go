package esp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	machineAMD64 = 0x8664
	machineARM64 = 0xaa64
)

// pe returns the head of a PE file for a machine. Its header is in the second
// sector, so that the chain of clusters is followed.
func pe(machine uint16) []byte {
	b := make([]byte, 700)
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[60:], 600)
	copy(b[600:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[604:], machine)
	return b
}

// fat12 makes a volume of 64 sectors with clusters of one: the boot sector, one
// table, a root directory of one sector, EFI in cluster 2, EFI/BOOT in 3, and
// the files, of two clusters each, from 4 on.
func fat12(files map[string][]byte) []byte {
	le := binary.LittleEndian
	v := make([]byte, 64*512)
	le.PutUint16(v[11:], 512)
	v[13] = 1
	le.PutUint16(v[14:], 1)
	v[16] = 1
	le.PutUint16(v[17:], 16)
	le.PutUint16(v[19:], 64)
	le.PutUint16(v[22:], 1)
	v[510], v[511] = 0x55, 0xaa
	entry := func(at int, name string, attr byte, cluster uint16, size int) {
		copy(v[at:], name)
		v[at+11] = attr
		le.PutUint16(v[at+26:], cluster)
		le.PutUint32(v[at+28:], uint32(size))
	}
	const data = 3 * 512 // of cluster 2
	link := func(cluster, next int) {
		at := 512 + cluster + cluster/2
		le.PutUint16(v[at:], le.Uint16(v[at:])|uint16(next)<<(cluster%2*4))
	}
	entry(2*512, "A LABEL    ", attrVolume, 0, 0)
	entry(2*512+32, "EFI        ", attrDir, 2, 0)
	entry(data, "BOOT       ", attrDir, 3, 0)
	link(2, 0xfff)
	link(3, 0xfff)
	n := 0
	for name, content := range files {
		cluster := 4 + 2*n
		entry(data+512+32*n, name, 0x20, uint16(cluster), len(content))
		copy(v[data+(cluster-2)*512:][:1024], content)
		link(cluster, cluster+1)
		link(cluster+1, 0xfff)
		n++
	}
	return v
}

// gptDisk puts a volume into the only partition of a disk.
func gptDisk(volume []byte, sector int) []byte {
	le := binary.LittleEndian
	first := 8
	d := make([]byte, first*sector+len(volume)+sector)
	d[446+4] = mbrProtective
	d[510], d[511] = 0x55, 0xaa
	copy(d[sector:], "EFI PART")
	le.PutUint64(d[sector+72:], 2)
	le.PutUint32(d[sector+80:], 4)
	le.PutUint32(d[sector+84:], 128)
	e := d[2*sector+128:] // the second entry: the first is unused
	copy(e, espGUID)
	le.PutUint64(e[32:], uint64(first))
	le.PutUint64(e[40:], uint64(first+len(volume)/sector-1))
	copy(d[first*sector:], volume)
	return d
}

// mbrDisk is the same with the old kind of table.
func mbrDisk(volume []byte) []byte {
	le := binary.LittleEndian
	d := append(make([]byte, 4*512), volume...)
	d[446+4] = mbrESP
	le.PutUint32(d[446+8:], 4)
	le.PutUint32(d[446+12:], uint32(len(volume)/512))
	d[510], d[511] = 0x55, 0xaa
	return d
}

func TestProbe(t *testing.T) {
	amd64 := map[string][]byte{"BOOTX64 EFI": pe(machineAMD64)}
	arm64 := map[string][]byte{"BOOTAA64EFI": pe(machineARM64)}
	both := map[string][]byte{"BOOTX64 EFI": pe(machineAMD64), "BOOTAA64EFI": pe(machineARM64)}
	wrong := map[string][]byte{"BOOTX64 EFI": pe(machineARM64)}
	text := map[string][]byte{"BOOTX64 EFI": []byte("#!/bin/sh\n")}
	cut := gptDisk(fat12(amd64), 512)
	data := gptDisk(fat12(amd64), 512)
	copy(data[2*512+128:], "a data partition")
	const end = 8*512 + 64*512
	for _, tc := range []struct {
		name string
		disk []byte
		want Disk
	}{
		{"amd64", gptDisk(fat12(amd64), 512), Disk{"gpt", end, "amd64"}},
		{"arm64", gptDisk(fat12(arm64), 512), Disk{"gpt", end, "arm64"}},
		{"both", gptDisk(fat12(both), 512), Disk{"gpt", end, ""}},
		{"wrong machine", gptDisk(fat12(wrong), 512), Disk{"gpt", end, ""}},
		{"no PE file", gptDisk(fat12(text), 512), Disk{"gpt", end, ""}},
		{"empty ESP", gptDisk(fat12(nil), 512), Disk{"gpt", end, ""}},
		{"no file system", gptDisk(make([]byte, 64*512), 512), Disk{"gpt", end, ""}},
		{"no ESP", data, Disk{"gpt", end, ""}},
		{"sectors of 4096", gptDisk(fat12(arm64), 4096), Disk{"gpt", 8*4096 + 64*512, "arm64"}},
		{"MBR", mbrDisk(fat12(amd64)), Disk{"mbr", 4*512 + 64*512, "amd64"}},
		{"no partitions", fat12(amd64), Disk{"mbr", 0, ""}},
		{"noise", bytes.Repeat([]byte("noise"), 1<<10), Disk{}},
		{"empty", nil, Disk{}},
		{"partition beyond the end", cut[:len(cut)-2*512], Disk{"gpt", end, ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Probe(bytes.NewReader(tc.disk), int64(len(tc.disk)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Probe (-want +got):\n%s", diff)
			}
		})
	}
}

// TestProbeRealVolumes reads what the usual tools make, in all three widths.
func TestProbeRealVolumes(t *testing.T) {
	for _, tc := range []struct {
		name   string
		mib    int
		format []string
		file   string
		want   string
	}{
		{"FAT12", 1, []string{"-c", "1"}, "BOOTX64.EFI", "amd64"},
		{"FAT16", 16, []string{"-c", "1"}, "bootaa64.efi", "arm64"},
		{"FAT32", 40, []string{"-F"}, "BOOTAA64.EFI", "arm64"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			disk, loader := filepath.Join(dir, "disk.raw"), filepath.Join(dir, tc.file)
			size := int64(tc.mib+2) << 20
			machine := uint16(machineAMD64)
			if tc.want == "arm64" {
				machine = machineARM64
			}
			if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, size), os.WriteFile(loader, pe(machine), 0o600)); err != nil {
				t.Fatal(err)
			}
			at := disk + "@@1M"
			run(t, "sgdisk", "--new=1:2048:+"+fmt.Sprint(tc.mib)+"M", "--typecode=1:ef00", disk)
			run(t, "mformat", append(append([]string{"-i", at}, tc.format...), "-T", fmt.Sprint(tc.mib*2048), "-h", "64", "-s", "32", "::")...)
			run(t, "mmd", "-i", at, "::/EFI", "::/EFI/a long name to pass over", "::/EFI/BOOT")
			run(t, "mcopy", "-i", at, loader, "::/EFI/BOOT/")
			f, err := os.Open(disk)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, err := Probe(f, size)
			if err != nil || got.Arch != tc.want || got.Table != "gpt" {
				t.Errorf("Probe() = %+v, %v, want %s", got, err, tc.want)
			}
		})
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	exe, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: there is no real volume to read", name)
	}
	if out, err := exec.CommandContext(t.Context(), exe, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func TestProbeReadError(t *testing.T) {
	broken := errors.New("broken disk")
	if _, err := Probe(brokenDisk{broken}, 1<<20); !errors.Is(err, broken) {
		t.Errorf("Probe() = %v, want %v", err, broken)
	}
}

type brokenDisk struct{ err error }

func (b brokenDisk) ReadAt([]byte, int64) (int, error) { return 0, b.err }

func FuzzProbe(f *testing.F) {
	amd64 := fat12(map[string][]byte{"BOOTX64 EFI": pe(machineAMD64)})
	f.Add(gptDisk(amd64, 512))
	f.Add(gptDisk(amd64, 4096))
	f.Add(mbrDisk(amd64))
	f.Fuzz(func(t *testing.T, disk []byte) {
		got, err := Probe(bytes.NewReader(disk), int64(len(disk)))
		if err != nil || got.End < 0 {
			t.Errorf("Probe() = %+v, %v", got, err)
		}
	})
}
