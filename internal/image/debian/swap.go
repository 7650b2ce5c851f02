package debian

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// transplant turns a configured root of one architecture into one of another
// without running anything of the other: the files of the packages that belong
// to the old architecture go, those of the new come in their place, and all that
// maintainer scripts have made (users, links, enabled units, certificates,
// SELinux store ...) stays. What scripts changed on a package's own file (mode,
// owner, capabilities) is carried to its successor.
type transplant struct {
	tools    tools
	root     string
	from, to architecture

	mu   sync.Mutex
	kept map[string]attributes // of removed files, by their name in the new architecture
	// conffiles of the removed packages: those that the new packages have, too,
	// stay as they are in the root.
	conffiles map[string]bool
	// waiting are names that stay until the new packages are there: conffiles,
	// directories that scripts may have given away, and links, which scripts make
	// in the place of directories that a package brings, such as /lib and /var/run.
	waiting []string
	listed  map[string]bool // all that the new packages bring
}

// attributes are what maintainer scripts may have changed on a file.
type attributes struct {
	mode     uint32
	uid, gid int
	caps     []byte // security.capability, nil if none
}

const capability = "security.capability"

// newTransplant prepares the transplantation of a root.
func newTransplant(t tools, root string, from, to architecture) *transplant {
	return &transplant{tools: t, root: root, from: from, to: to, kept: map[string]attributes{}, conffiles: map[string]bool{}, listed: map[string]bool{}}
}

// run replaces the packages of the old architecture by these package files.
func (t *transplant) run(ctx context.Context, debs []string, progress func(done, total int)) error {
	db, err := readDatabase(t.root)
	if err != nil {
		return fmt.Errorf("read package database: %w", err)
	}
	outgoing, err := db.takeArch(t.from.name)
	if err != nil {
		return fmt.Errorf("read package database: %w", err)
	}
	for _, p := range outgoing {
		for _, c := range p.conffiles() {
			t.conffiles[c.path] = true
		}
	}
	if err := t.remove(outgoing); err != nil {
		return fmt.Errorf("remove packages of %s: %w", t.from.name, err)
	}
	if err := t.unpackAll(ctx, db, outgoing, debs, progress); err != nil {
		return fmt.Errorf("unpack packages of %s: %w", t.to.name, err)
	}
	if err := t.drop(); err != nil {
		return fmt.Errorf("remove the rest of %s: %w", t.from.name, err)
	}
	if err := t.reapply(); err != nil {
		return fmt.Errorf("carry file attributes over: %w", err)
	}
	if err := t.translateLinks(); err != nil {
		return fmt.Errorf("translate links: %w", err)
	}
	if err := t.translateRecords(); err != nil {
		return fmt.Errorf("translate package records: %w", err)
	}
	if err := db.write(); err != nil {
		return fmt.Errorf("write package database: %w", err)
	}
	return nil
}

// translate gives a path or a text its names in the new architecture.
func (t *transplant) translate(s string) string {
	return strings.ReplaceAll(s, t.from.triplet, t.to.triplet)
}

// remove deletes the files of packages. Conffiles, links and directories wait
// for what the new packages bring.
func (t *transplant) remove(pkgs []installed) error {
	for _, p := range pkgs {
		for _, name := range p.files {
			if err := t.removeFile(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *transplant) removeFile(name string) error {
	full := filepath.Join(t.root, name)
	var st unix.Stat_t
	if err := unix.Lstat(full, &st); errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // excluded at installation, or removed since
	} else if err != nil {
		return &fs.PathError{Op: "lstat", Path: full, Err: err}
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFDIR || kind == unix.S_IFLNK || t.conffiles[name] {
		t.waiting = append(t.waiting, name)
		return nil
	}
	if kind == unix.S_IFREG {
		t.kept[t.translate(name)] = attributes{mode: st.Mode & 0o7777, uid: int(st.Uid), gid: int(st.Gid), caps: getCapability(full)}
	}
	return os.Remove(full)
}

func getCapability(name string) []byte {
	buf := make([]byte, 64)
	n, err := unix.Lgetxattr(name, capability, buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

// unpackAll unpacks packages, a few at a time: their files are disjoint, so the
// order does not matter.
func (t *transplant) unpackAll(ctx context.Context, db *database, outgoing []installed, debs []string, progress func(done, total int)) error {
	old := map[string]installed{}
	for _, p := range outgoing {
		old[p.name()] = p
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(unpackers)
	done := 0
	for _, deb := range debs {
		g.Go(func() error {
			p, err := t.unpack(ctx, deb, old)
			if err != nil {
				return fmt.Errorf("%s: %w", filepath.Base(deb), err)
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			done++
			progress(done, len(debs))
			for _, name := range p.files {
				t.listed[name] = true
			}
			return db.add(p)
		})
	}
	return g.Wait()
}

// drop removes what waited and is not in the new packages; directories only if
// nothing is left in them.
func (t *transplant) drop() error {
	slices.SortFunc(t.waiting, func(a, b string) int { return strings.Compare(b, a) }) // children first
	for _, name := range slices.Compact(t.waiting) {
		if t.listed[name] {
			continue
		}
		err := os.Remove(filepath.Join(t.root, name))
		if err != nil && !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
	}
	return nil
}

// unpackers is how many packages are unpacked at a time.
const unpackers = 3

// reapply gives the new files what scripts had given their predecessors.
func (t *transplant) reapply() error {
	for name, a := range t.kept {
		full := filepath.Join(t.root, name)
		st, err := os.Lstat(full)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !st.Mode().IsRegular() {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.Lchown(full, a.uid, a.gid); err != nil {
			return err
		}
		if err := unix.Chmod(full, a.mode); err != nil {
			return &fs.PathError{Op: "chmod", Path: full, Err: err}
		}
		if a.caps == nil {
			continue
		}
		if err := unix.Lsetxattr(full, capability, a.caps, 0); err != nil {
			return &fs.PathError{Op: "setxattr", Path: full, Err: err}
		}
	}
	return nil
}

// translateLinks points the links that scripts made into directories of the old
// architecture (alternatives, enabled things) to those of the new.
func (t *transplant) translateLinks() error {
	return filepath.WalkDir(t.root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return err
		}
		target, err := os.Readlink(name)
		if err != nil {
			return err
		}
		if !strings.Contains(target, t.from.triplet) {
			return nil
		}
		if err := os.Remove(name); err != nil {
			return err
		}
		return os.Symlink(t.translate(target), name)
	})
}

// translateRecords rewrites what dpkg and apt remember of architectures beside
// the list of packages, and removes the linker's cache.
func (t *transplant) translateRecords() error {
	files := []string{"var/lib/dpkg/triggers/File", "var/lib/dpkg/triggers/Unincorp", "var/lib/apt/extended_states"}
	alternatives, err := filepath.Glob(filepath.Join(t.root, "var/lib/dpkg/alternatives/*"))
	if err != nil {
		return err
	}
	for i, name := range files {
		files[i] = filepath.Join(t.root, name)
	}
	for _, name := range append(files, alternatives...) {
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		text := t.translate(string(data))
		text = strings.ReplaceAll(text, ":"+t.from.name, ":"+t.to.name)
		text = strings.ReplaceAll(text, "Architecture: "+t.from.name+"\n", "Architecture: "+t.to.name+"\n")
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(t.root, "etc/ld.so.cache"))
}
