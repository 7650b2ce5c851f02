package clusterhost

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Files in the directory of a host.
const (
	lockFile    = "lock"
	controlFile = "control"
	specFile    = "spec.json"
	logFile     = "host.log"
	processFile = "processes"
	listenerFmt = "listener-%d"
)

// maxSocketPath is what sun_path of unix(7) holds, less its terminator.
const maxSocketPath = 107

// idLength keeps directory names short, for the sake of socket paths, and far from repeating.
const idLength = 10

// prepareBase makes the directory that holds the directories of all hosts, and refuses one that
// another user could tamper with.
func prepareBase(base string) error {
	if err := os.MkdirAll(base, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(base)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", base)
	case !ok || int(stat.Uid) != os.Getuid():
		return fmt.Errorf("%s belongs to another user", base)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s is open to other users (mode %#o, want 0700)", base, info.Mode().Perm())
	}
	longest := filepath.Join(base, strings.Repeat("x", idLength), fmt.Sprintf(listenerFmt, 1<<20))
	if len(longest) > maxSocketPath {
		return fmt.Errorf("%s is too long a path for sockets below it: choose one of at most %d bytes",
			base, maxSocketPath-len(longest)+len(base))
	}
	return nil
}

// makeDir makes the directory of a new host, and locks it. Whoever has the lock file open holds
// the lock.
func makeDir(base string) (dir string, lock *os.File, err error) {
	if err := prepareBase(base); err != nil {
		return "", nil, err
	}
	// Between its making and its locking a directory looks abandoned, so sweepers wait.
	baseLock, err := lockBase(base)
	if err != nil {
		return "", nil, err
	}
	defer baseLock.Close()
	dir = filepath.Join(base, strings.ToLower(rand.Text()[:idLength]))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", nil, err
	}
	lock, err = openLock(filepath.Join(dir, lockFile))
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, lock, nil
}

// lockBase locks the directory of all hosts. Others hold the lock for a moment only.
func lockBase(base string) (*os.File, error) {
	const patience = 30 * time.Second
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	giveUp := time.After(patience)
	for {
		lock, err := openLock(filepath.Join(base, lockFile))
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return lock, err
		}
		select {
		case <-tick.C:
		case <-giveUp:
			return nil, err
		}
	}
}

// openLock opens a file, making it if need be, and locks it. If another has the lock, the error
// wraps EWOULDBLOCK.
func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// removeDir removes a host's directory and what it owns.
func removeDir(spec Spec) error {
	var errs []error
	for _, d := range spec.Owned {
		errs = append(errs, os.RemoveAll(d))
	}
	return errors.Join(append(errs, os.RemoveAll(spec.Dir))...)
}

func writeSpec(spec Spec) error {
	data, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(spec.Dir, specFile), data, 0o600)
}

// readSpec reads the spec of the host in dir. One that was never written is that of a host that
// owns nothing yet.
func readSpec(dir string) (Spec, error) {
	data, err := os.ReadFile(filepath.Join(dir, specFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Spec{Dir: dir}, nil
	}
	if err != nil {
		return Spec{}, err
	}
	var spec Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return Spec{}, fmt.Errorf("decode %s: %w", specFile, err)
	}
	spec.Dir = dir
	return spec, nil
}

// tail returns the last bytes of a file as one line of text; empty if it cannot be read.
func tail(path string, limit int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > limit {
		if _, err := f.Seek(-limit, 2); err != nil {
			return ""
		}
	}
	data := make([]byte, limit)
	n, _ := f.Read(data)
	return strings.Join(strings.FieldsFunc(string(data[:n]), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
