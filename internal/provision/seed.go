package provision

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"unicode/utf16"

	"gopkg.in/yaml.v3"
)

// MetaData is what cloud-init's NoCloud data source learns of a machine.
type MetaData struct {
	// InstanceID must change for cloud-init to take the machine for a new one.
	InstanceID string `yaml:"instance-id"`
	// Hostname may be empty.
	Hostname string `yaml:"local-hostname,omitempty"`
}

// MaxSeed bounds the user data of a seed, in bytes.
const MaxSeed = 16 << 20

// Seed makes the image of a disk with the NoCloud data source: a FAT16 volume
// labelled cidata with the files user-data and meta-data, without a partition
// table. Equal arguments make equal images, of at least 2 MiB.
//
// The format is that of Microsoft's "FAT: General Overview of On-Disk Format",
// version 1.03; label and file names are cloud-init's.
func Seed(userData []byte, m MetaData) ([]byte, error) {
	if m.InstanceID == "" {
		return nil, errors.New("make seed: the instance ID is empty")
	}
	if len(userData) > MaxSeed {
		return nil, fmt.Errorf("make seed: user data has %d bytes, more than %d", len(userData), MaxSeed)
	}
	metaData, err := yaml.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("make seed: encode meta-data: %w", err)
	}
	return fatImage("cidata", []fatFile{
		{name: "user-data", short: "USER-D~1", data: userData},
		{name: "meta-data", short: "META-D~1", data: metaData},
	}), nil
}

// fatFile is a file of the root directory. Its name has at most 13 characters.
type fatFile struct {
	name  string
	short string // alias in 8.3 form, without an extension
	data  []byte
}

const (
	fatSector      = 512 // bytes; a cluster is one sector
	fatReserved    = 1   // sectors in front of the tables: the boot sector
	fatTables      = 2
	fatRootEntries = 512
	fatEntrySize   = 32
	fatRootSectors = fatRootEntries * fatEntrySize / fatSector
	// fatMinClusters is above 4085, below which a volume counts as FAT12.
	fatMinClusters = 4096
	fatMedia       = 0xf8 // a fixed disk
	fatEndOfChain  = 0xffff
	fatDate        = 1<<5 | 1 // 1980-01-01
)

// fatImage makes a FAT16 volume of files that fit into it.
func fatImage(label string, files []fatFile) []byte {
	clusters := 0
	for _, f := range files {
		clusters += sectors(len(f.data))
	}
	clusters = max(clusters, fatMinClusters)
	tableSectors := sectors((clusters + 2) * 2)
	rootStart := fatReserved + fatTables*tableSectors
	dataStart := rootStart + fatRootSectors
	image := make([]byte, (dataStart+clusters)*fatSector)

	root := image[rootStart*fatSector : rootStart*fatSector : dataStart*fatSector]
	root = appendFatEntry(root, fmt.Sprintf("%-11s", label), 0x08, 0, 0)
	table := []uint16{0xff00 | fatMedia, fatEndOfChain}
	for _, f := range files {
		first := len(table)
		copy(image[(dataStart+first-2)*fatSector:], f.data)
		for i := range sectors(len(f.data)) {
			table = append(table, uint16(first+i+1))
		}
		if len(f.data) == 0 {
			first = 0
		} else {
			table[len(table)-1] = fatEndOfChain
		}
		short := fmt.Sprintf("%-11s", f.short)
		root = appendLongName(root, f.name, short)
		root = appendFatEntry(root, short, 0x20, first, len(f.data))
	}
	for i := range fatTables {
		at := (fatReserved + i*tableSectors) * fatSector
		for j, v := range table {
			binary.LittleEndian.PutUint16(image[at+2*j:], v)
		}
	}
	copy(image, fatBootSector(label, len(image)/fatSector, tableSectors, crc32.ChecksumIEEE(image)))
	return image
}

func sectors(size int) int { return (size + fatSector - 1) / fatSector }

// fatBootSector makes the first sector, with the BIOS parameter block.
func fatBootSector(label string, total, tableSectors int, serial uint32) []byte {
	var b bytes.Buffer
	b.WriteString("\xeb\x3c\x90MSWIN4.1") // jump, and the name that readers trust most
	small, large := uint16(total), uint32(0)
	if total > 0xffff {
		small, large = 0, uint32(total)
	}
	for _, v := range []any{
		uint16(fatSector), uint8(1), uint16(fatReserved), uint8(fatTables), uint16(fatRootEntries),
		small, uint8(fatMedia), uint16(tableSectors),
		uint16(63), uint16(255), uint32(0), large, // sectors per track, heads, hidden sectors
		uint8(0x80), uint8(0), uint8(0x29), serial, // drive, reserved, three fields follow
	} {
		// A bytes.Buffer takes every write of a fixed size.
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	fmt.Fprintf(&b, "%-11s%-8s", label, "FAT16")
	sector := make([]byte, fatSector)
	copy(sector, b.Bytes())
	sector[510], sector[511] = 0x55, 0xaa
	return sector
}

// appendFatEntry appends a directory entry under a name of 11 characters.
func appendFatEntry(dir []byte, name string, attributes byte, cluster, size int) []byte {
	entry := make([]byte, fatEntrySize)
	copy(entry, name)
	entry[11] = attributes
	binary.LittleEndian.PutUint16(entry[16:], fatDate) // created
	binary.LittleEndian.PutUint16(entry[18:], fatDate) // read
	binary.LittleEndian.PutUint16(entry[24:], fatDate) // written
	binary.LittleEndian.PutUint16(entry[26:], uint16(cluster))
	binary.LittleEndian.PutUint32(entry[28:], uint32(size))
	return append(dir, entry...)
}

// appendLongName appends the entry that gives the next one its long name.
func appendLongName(dir []byte, name, short string) []byte {
	units := append(utf16.Encode([]rune(name)), 0)
	for len(units) < 13 {
		units = append(units, 0xffff)
	}
	var sum byte
	for _, c := range []byte(short) {
		sum = sum>>1 + sum<<7 + c
	}
	entry := make([]byte, fatEntrySize)
	entry[0] = 0x41  // the first and the last entry of this name
	entry[11] = 0x0f // the attributes that mean: part of a long name
	entry[13] = sum
	for i, offset := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
		binary.LittleEndian.PutUint16(entry[offset:], units[i])
	}
	return append(dir, entry...)
}
