package debian

import (
	"encoding/binary"
	"testing"
)

func TestPatchBIOS(t *testing.T) {
	boot := make([]byte, sectorSize)
	core := make([]byte, 3*sectorSize+1)
	if err := patchBIOS(boot, core); err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	if got := le.Uint64(boot[0x5c:]); got != 2048 {
		t.Errorf("boot.img loads sector %d, want that of the BIOS boot partition, 2048", got)
	}
	if boot[0x66] != 0x90 || boot[0x67] != 0x90 {
		t.Error("the drive check is still there")
	}
	// The first sector of core.img loads the other two whole ones and the piece.
	if start, count, segment := le.Uint64(core[500:]), le.Uint16(core[508:]), le.Uint16(core[510:]); start != 2049 || count != 3 || segment != 0x820 {
		t.Errorf("block list is %d+%d at %#x, want 2049+3 at 0x820", start, count, segment)
	}
	for name, bad := range map[string][2][]byte{
		"short boot.img": {boot[:100], core},
		"short core.img": {boot, core[:sectorSize]},
		"huge core.img":  {boot, make([]byte, 2*mib)},
	} {
		if err := patchBIOS(bad[0], bad[1]); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestLayout(t *testing.T) {
	if rootStart%mib != 0 || rootSize%4096 != 0 || rootStart+rootSize+33*sectorSize > diskSize {
		t.Errorf("root of %d bytes at %d does not fit a disk of %d", int64(rootSize), int64(rootStart), int64(diskSize))
	}
}
