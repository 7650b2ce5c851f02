package template

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"seatrial/platforms"
)

// Entry describes what the store holds for a key.
type Entry struct {
	Key, Dir string
	Title    string // for people; empty if it is not known
	Bytes    int64  // on the disk
	Created  time.Time
	Used     time.Time
	Problem  string // why it is not used; empty for a template that is
}

// List describes the templates, also those that are being made.
func (s Store) List() ([]Entry, error) {
	names, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, n := range names {
		key, ok := keyOf(n.Name())
		if !ok || !n.IsDir() {
			continue
		}
		e := Entry{Key: key, Dir: filepath.Join(s.Dir, n.Name())}
		e.Bytes = diskUsage(e.Dir)
		if strings.HasSuffix(n.Name(), partialSuffix) {
			e.Problem = "half made"
			if info, err := n.Info(); err == nil {
				e.Created = info.ModTime()
			}
		} else {
			s.describe(&e)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// describe adds what a template says of itself.
func (s Store) describe(e *Entry) {
	m, err := readManifest(e.Dir)
	if err == nil {
		e.Title, e.Created = m.Title, m.Created
		err = m.current(e.Key, s.MaxAge)
	}
	if err == nil {
		err = m.unchanged(e.Dir)
	}
	if err != nil {
		e.Problem = err.Error()
	}
	if info, err := os.Stat(filepath.Join(e.Dir, usedFile)); err == nil {
		e.Used = info.ModTime()
	}
}

// diskUsage is the space that the files of a directory take.
func diskUsage(dir string) int64 {
	var total int64
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0 // it is gone
	}
	for _, e := range entries {
		var st syscall.Stat_t
		if syscall.Lstat(filepath.Join(dir, e.Name()), &st) == nil {
			const unit = 512 // of st_blocks, by stat(2)
			total += st.Blocks * unit
		}
	}
	return total
}

// Sweep removes what is of no use: what dead processes left half made, and templates that are out
// of date or damaged.
func (s Store) Sweep(dryRun bool) ([]platforms.Removed, error) {
	return s.removeIf(dryRun, func(e Entry) string { return e.Problem })
}

// Clear removes all templates that are not in use.
func (s Store) Clear(dryRun bool) ([]platforms.Removed, error) {
	return s.removeIf(dryRun, func(Entry) string { return "templates can be made again" })
}

// removeIf removes the entries for which why has a reason. What is locked stays.
func (s Store) removeIf(dryRun bool, why func(Entry) string) ([]platforms.Removed, error) {
	entries, err := s.List()
	if err != nil {
		return nil, err
	}
	var removed []platforms.Removed
	for _, e := range entries {
		reason := why(e)
		if reason == "" {
			continue
		}
		done, err := s.drop(e, dryRun)
		if err != nil {
			return removed, err
		}
		if done {
			removed = append(removed, platforms.Removed{Kind: "template", Name: e.Dir, Why: reason})
		}
	}
	return removed, s.sweepLocks(dryRun)
}

// sweepLocks removes lock files without a template.
func (s Store) sweepLocks(dryRun bool) error {
	locks, err := filepath.Glob(filepath.Join(s.Dir, "*"+lockSuffix))
	if err != nil || dryRun {
		return err
	}
	var errs []error
	for _, path := range locks {
		key, ok := keyOf(filepath.Base(path))
		if !ok {
			continue
		}
		lock, err := s.tryLock(key, unix.LOCK_EX)
		if err != nil {
			continue // it is in use
		}
		_, whole := os.Stat(s.path(key))
		_, half := os.Stat(s.path(key) + partialSuffix)
		if whole != nil && half != nil {
			errs = append(errs, os.Remove(path))
		}
		errs = append(errs, lock.Close())
	}
	return errors.Join(errs...)
}
