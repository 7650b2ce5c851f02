package qemu

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// minFreeMiB is the space for disks without which nothing is started. A boot of the reference image
// writes 100 to 300 MiB. A disk that fills up later ends the machine that writes to it.
const minFreeMiB = 512

// checkSpace returns an error that wraps ENOSPC if a directory, which need not be there yet, has less
// than so much space.
func checkSpace(dir string, needMiB uint64) error {
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	if parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
		return checkSpace(parent, needMiB)
	}
	if err != nil {
		return fmt.Errorf("space of %s: %w", dir, err)
	}
	if free := st.Bavail * uint64(st.Bsize) >> 20; free < needMiB {
		return fmt.Errorf("%w for the disks of machines: %s has %d MiB and needs %d; remove something, or put XDG_STATE_HOME elsewhere",
			unix.ENOSPC, dir, free, needMiB)
	}
	return nil
}
