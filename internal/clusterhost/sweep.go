package clusterhost

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"seatrial/platforms"
)

// Sweep removes what hosts below base that died without tearing down have left: processes, named
// by PID and start time, the directories that the cluster owned, and the host's own. Hosts that
// live are not touched.
func Sweep(base string, o platforms.SweepOptions) ([]platforms.Removed, error) {
	entries, err := os.ReadDir(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sweep clusters: %w", err)
	}
	baseLock, err := lockBase(base)
	if err != nil {
		return nil, fmt.Errorf("sweep clusters: %w", err)
	}
	defer baseLock.Close()
	var removed []platforms.Removed
	var errs []error
	for _, e := range entries {
		dir := filepath.Join(base, e.Name())
		if !e.IsDir() || younger(dir, o.OlderThan) {
			continue
		}
		r, err := reap(dir, o.DryRun)
		removed = append(removed, r...)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return removed, fmt.Errorf("sweep clusters: %w", err)
	}
	return removed, nil
}

// younger reports whether the host of a directory was started less than d ago.
func younger(dir string, d time.Duration) bool {
	if d == 0 {
		return false
	}
	spec, err := readSpec(dir)
	return err == nil && time.Since(spec.Created) < d
}

// reap removes what the host of one directory has left, if nobody holds its lock.
func reap(dir string, dryRun bool) ([]platforms.Removed, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // its host has removed it just now
	}
	lock, err := openLock(filepath.Join(dir, lockFile))
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	spec, err := readSpec(dir)
	if err != nil {
		return nil, err
	}
	removed, err := reapProcesses(dir, dryRun)
	if err != nil {
		return removed, err // their files may be in use
	}
	const why = "its cluster host is dead"
	for _, d := range append(spec.Owned, dir) {
		if _, err := os.Stat(d); err == nil {
			removed = append(removed, platforms.Removed{Kind: "directory", Name: d, Why: why})
		}
	}
	if dryRun {
		return removed, nil
	}
	return removed, removeDir(spec)
}

// reapProcesses kills the recorded processes that still run.
func reapProcesses(dir string, dryRun bool) ([]platforms.Removed, error) {
	f, err := os.Open(filepath.Join(dir, processFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var removed []platforms.Removed
	var errs []error
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var pid int
		var begin uint64
		if _, err := fmt.Sscan(lines.Text(), &pid, &begin); err != nil {
			continue // the host died while it wrote the line; the process died with it
		}
		if !isRecorded(pid, begin) {
			continue
		}
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		what := platforms.Removed{
			Kind: "process", Name: fmt.Sprintf("%d (%s)", pid, strings.TrimSpace(string(name))), Why: "its cluster host is dead",
		}
		killed := true
		if !dryRun {
			killed, err = killRecorded(pid, begin)
			errs = append(errs, err)
		}
		if killed {
			removed = append(removed, what)
		}
	}
	return removed, errors.Join(errs...)
}
