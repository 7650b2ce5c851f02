package runstore

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"syscall"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
)

// ArtifactDir is the directory for what attempt n of a planned cell leaves
// behind on a machine: artifacts/<platform>-<arch>/<test>/<n>/<machine> in the
// run directory, names made safe. With machine "" it is the directory above,
// for what belongs to no machine. It is not created.
func (s *Store) ArtifactDir(c event.Cell, n int, machine string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stale {
		s.places = rollup.NewPlaces(maps.Keys(s.cells))
		s.stale = false
	}
	dir := filepath.Join(s.dir, filepath.FromSlash(s.places.ArtifactDir(c, n)))
	if machine == "" {
		return dir
	}
	return filepath.Join(dir, rollup.SafeName(machine))
}

// WriteFile writes a file of the run directory as the function of the same
// name does.
func (s *Store) WriteFile(name string, write func(io.Writer) error) error {
	return WriteFile(filepath.Join(s.dir, name), write)
}

// WriteFile replaces a file whole: a reader, also one after a crash, finds the
// old content or the new one.
func WriteFile(path string, write func(io.Writer) error) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(tmp.Name()))
		}
	}()
	w := bufio.NewWriterSize(tmp, 64<<10)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// replaceLink makes link point to target, replacing a link that is there.
func replaceLink(target, link string) error {
	if info, err := os.Lstat(link); err == nil && info.Mode()&os.ModeSymlink == 0 {
		return fmt.Errorf("link to the latest run: %s is in the way: move it", link)
	}
	tmp := filepath.Join(filepath.Dir(link), "."+filepath.Base(link)+"-"+NewID())
	if err := os.Symlink(target, tmp); err != nil {
		return fmt.Errorf("link to the latest run: %w", err)
	}
	if err := os.Rename(tmp, link); err != nil {
		return errors.Join(fmt.Errorf("link to the latest run: %w", err), os.Remove(tmp))
	}
	return nil
}

// lock takes the lock of a stream. It is given up when the file is closed,
// also by the death of the process.
func lock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w: %s", ErrLocked, file.Name())
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return nil
}

// syncDir makes the entries of a directory last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
