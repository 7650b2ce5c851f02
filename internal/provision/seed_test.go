package provision

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"gopkg.in/yaml.v3"
)

// TestSeed reads the volume back by the rules of FAT16.
func TestSeed(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 513, 1 << 20, MaxSeed} {
		userData := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
		image, err := Seed(userData, MetaData{InstanceID: "i-1", Hostname: `a: "b"`})
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		label, files := readFAT16(t, image)
		if label != "cidata" {
			t.Errorf("%d bytes: label %q", size, label)
		}
		if !bytes.Equal(files["user-data"], userData) {
			t.Errorf("%d bytes: user-data comes back with %d", size, len(files["user-data"]))
		}
		var meta map[string]string
		if err := yaml.Unmarshal(files["meta-data"], &meta); err != nil {
			t.Fatal(err)
		}
		if len(files) != 2 || len(meta) != 2 || meta["instance-id"] != "i-1" || meta["local-hostname"] != `a: "b"` {
			t.Errorf("%d bytes: %d files, meta-data %v", size, len(files), meta)
		}
	}
}

// readFAT16 returns the label and the files of the root directory by their long
// names.
func readFAT16(t *testing.T, image []byte) (label string, files map[string][]byte) {
	t.Helper()
	u16 := func(at int) int { return int(binary.LittleEndian.Uint16(image[at:])) }
	u32 := func(at int) int { return int(binary.LittleEndian.Uint32(image[at:])) }
	sector, perCluster, reserved, tables, rootEntries := u16(11), int(image[13]), u16(14), int(image[16]), u16(17)
	total, tableSectors := u16(19), u16(22)
	if total == 0 {
		total = u32(32)
	}
	root := (reserved + tables*tableSectors) * sector
	data := root + rootEntries*32
	clusters := (total*sector - data) / sector / perCluster
	switch {
	case u16(510) != 0xaa55, total*sector != len(image), clusters < 4085, clusters > 65524, (clusters+2)*2 > tableSectors*sector:
		t.Fatalf("geometry: %d sectors, %d clusters, image of %d bytes", total, clusters, len(image))
	case !bytes.Equal(image[reserved*sector : root][:tableSectors*sector], image[reserved*sector+tableSectors*sector:root]):
		t.Fatal("the tables differ")
	}
	files = map[string][]byte{}
	name := ""
	for at := root; at < data && image[at] != 0; at += 32 {
		switch image[at+11] {
		case 0x08:
			label = strings.TrimRight(string(image[at:at+11]), " ")
			continue
		case 0x0f:
			var units []uint16
			for _, o := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
				if u := u16(at + o); u != 0 && u != 0xffff {
					units = append(units, uint16(u))
				}
			}
			name = string(utf16.Decode(units))
			continue
		}
		content := []byte{}
		for cluster := u16(at + 26); cluster >= 2 && cluster < 0xfff8; cluster = u16(reserved*sector + 2*cluster) {
			from := data + (cluster-2)*perCluster*sector
			content = append(content, image[from:from+perCluster*sector]...)
		}
		files[name] = content[:u32(at+28)]
	}
	return label, files
}

// TestSeedTools lets other implementations of FAT judge.
func TestSeedTools(t *testing.T) {
	for _, tool := range []string{"fsck.fat", "mtype"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed (packages dosfstools, mtools)", tool)
		}
	}
	userData := strings.Repeat("#cloud-config\n", 5000)
	image, err := Seed([]byte(userData), MetaData{InstanceID: "i-1"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "seed.img")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "fsck.fat", "-n", path).CombinedOutput(); err != nil {
		t.Errorf("fsck.fat: %v\n%s", err, out)
	}
	for file, want := range map[string]string{"user-data": userData, "meta-data": "instance-id: i-1\n"} {
		out, err := exec.CommandContext(ctx, "mtype", "-i", path, "::"+file).Output()
		if err != nil || string(out) != want {
			t.Errorf("mtype %s: %d bytes, %v", file, len(out), err)
		}
	}
}

func TestSeedErrors(t *testing.T) {
	if _, err := Seed(nil, MetaData{}); err == nil {
		t.Error("an empty instance ID was taken")
	}
	if _, err := Seed(make([]byte, MaxSeed+1), MetaData{InstanceID: "i"}); err == nil {
		t.Error("too much user data was taken")
	}
}
