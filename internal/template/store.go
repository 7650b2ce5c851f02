package template

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockSuffix    = ".lock"
	partialSuffix = ".partial"
	usedFile      = "used"
)

// ErrNone is wrapped by the error of Use when there is no template that can be trusted.
var ErrNone = errors.New("there is no such template")

// Store is a directory of templates. Any number of processes may use the same one.
type Store struct {
	Dir string
	// Limit is the space that templates may take together, in bytes. Beyond it, those that were not
	// used for the longest time are removed when one is made.
	Limit int64
	// MaxAge is how long a template is used.
	MaxAge time.Duration
}

// Lease is a template in use: as long as it is held, the template is not removed.
type Lease struct {
	Dir  string
	lock *os.File
}

// Close ends the use.
func (l *Lease) Close() error { return l.lock.Close() }

// Has reports whether there is a template.
func (s Store) Has(key string) bool {
	_, err := s.look(key)
	return err == nil
}

// look reads the manifest of a template that can be trusted without a look at the content.
func (s Store) look(key string) (manifest, error) {
	m, err := readManifest(s.path(key))
	if err == nil {
		err = m.current(key, s.MaxAge)
	}
	if err == nil {
		err = m.unchanged(s.path(key))
	}
	if err != nil {
		return manifest{}, fmt.Errorf("%w: %w", ErrNone, err)
	}
	return m, nil
}

// Use takes a template and decodes its facts. The caller closes the lease.
func (s Store) Use(ctx context.Context, key string, facts any) (*Lease, error) {
	if !s.Has(key) {
		return nil, ErrNone // and no lock file is made for it
	}
	lock, err := s.lock(ctx, key, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	m, err := s.look(key)
	if err == nil {
		err = json.Unmarshal(m.Facts, facts)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	now := time.Now()
	_ = os.Chtimes(filepath.Join(s.path(key), usedFile), now, now) // at worst it is removed too early
	return &Lease{Dir: s.path(key), lock: lock}, nil
}

// Make makes a template unless there is one. fill puts its files into an empty directory and
// returns the facts about them; the directory then gets another name. title names the template to
// people. Who comes second waits for the first.
func (s Store) Make(ctx context.Context, key, title string, fill func(ctx context.Context, dir string) (facts any, err error)) error {
	if !validKey.MatchString(key) {
		return fmt.Errorf("%q is no key of a template", key)
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	lock, err := s.lock(ctx, key, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer lock.Close()
	if s.revive(ctx, key) == nil {
		return nil
	}
	partial := s.path(key) + partialSuffix
	if err := errors.Join(remove(s.path(key)), os.RemoveAll(partial), os.Mkdir(partial, 0o700)); err != nil {
		return err
	}
	if err := s.fill(ctx, key, title, partial, fill); err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	return s.evict(key)
}

// revive returns nil if there is a template that can be trusted, if need be after a look at all of
// its content. The caller holds the lock alone.
func (s Store) revive(ctx context.Context, key string) error {
	dir := s.path(key)
	m, err := readManifest(dir)
	if err == nil {
		err = m.current(key, s.MaxAge)
	}
	if err != nil || m.unchanged(dir) == nil {
		return err
	}
	if err := m.verify(ctx, dir); err != nil {
		return err
	}
	if m.Files, err = stampAll(dir, m.Files); err != nil {
		return err
	}
	return m.write(dir)
}

func (s Store) fill(ctx context.Context, key, title, dir string, fill func(context.Context, string) (any, error)) error {
	facts, err := fill(ctx, dir)
	if err != nil {
		return err
	}
	m := manifest{Format: format, Key: key, Title: title, Created: time.Now().UTC()}
	if m.Facts, err = json.Marshal(facts); err != nil {
		return err
	}
	if m.Files, err = record(ctx, dir); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, usedFile), nil, 0o600); err != nil {
		return err
	}
	if err := m.write(dir); err != nil {
		return err
	}
	return os.Rename(dir, s.path(key))
}

// evict removes templates that were not used for the longest time until all fit the limit. Those in
// use stay, and so does the one of the key.
func (s Store) evict(key string) error {
	entries, err := s.List()
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b Entry) int { return a.Used.Compare(b.Used) })
	var total int64
	for _, e := range entries {
		total += e.Bytes
	}
	for _, e := range entries {
		if total <= s.Limit {
			break
		}
		if e.Key == key {
			continue
		}
		removed, err := s.drop(e, false)
		if err != nil {
			return err
		}
		if removed {
			total -= e.Bytes
		}
	}
	return nil
}

// drop removes a template with its lock file, unless it is in use.
func (s Store) drop(e Entry, dryRun bool) (bool, error) {
	lock, err := s.tryLock(e.Key, unix.LOCK_EX)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Close()
	if dryRun {
		return true, nil
	}
	return true, errors.Join(remove(e.Dir), os.Remove(lock.Name()))
}

// remove removes a directory so that what is left of it after an interruption is no template.
func remove(dir string) error {
	if err := os.Remove(filepath.Join(dir, manifestFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(dir)
}

// validKey is what a key looks like: a digest in hexadecimal digits.
var validKey = regexp.MustCompile(`^[0-9a-f]{16,64}$`)

func (s Store) path(key string) string { return filepath.Join(s.Dir, key) }

// lockPoll is how often a lock that another holds is tried.
const lockPoll = 50 * time.Millisecond

// lock takes the lock of a key.
func (s Store) lock(ctx context.Context, key string, how int) (*os.File, error) {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		f, err := s.tryLock(key, how)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return f, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for template %s: %w", key, context.Cause(ctx))
		}
	}
}

// tryLock takes the lock if it is free; else the error wraps EWOULDBLOCK.
func (s Store) tryLock(key string, how int) (*os.File, error) {
	path := s.path(key) + lockSuffix
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	// Who held it before may have removed the file.
	held, err := f.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = os.Stat(path); err == nil && os.SameFile(held, there) {
			return f, nil
		}
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = unix.EWOULDBLOCK // it is another file now
	}
	return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
}

// keyOf returns the key that a name in the store belongs to.
func keyOf(name string) (key string, ok bool) {
	key = strings.TrimSuffix(strings.TrimSuffix(name, lockSuffix), partialSuffix)
	return key, validKey.MatchString(key)
}
