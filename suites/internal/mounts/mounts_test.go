package mounts

import "testing"

func TestByPoint(t *testing.T) {
	mounts := ByPoint("proc /proc proc rw,nosuid 0 0\n/dev/vda /mnt/a\\040b\\134c ext4 ro 0 0\n/dev/vdb /proc ext4 ro 0 0\nbroken\n")
	if m := mounts[`/mnt/a b\c`]; m.FSType != "ext4" || !m.Has("ro") {
		t.Errorf("escaped mount point: got %v of %v", m, mounts)
	}
	if m := mounts["/proc"]; m.FSType != "ext4" {
		t.Errorf("of two mounts at one point the last counts, got %v", m)
	}
	if len(mounts) != 2 {
		t.Errorf("got %d mount points, want 2: %v", len(mounts), mounts)
	}
}
