package debian

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"seatrial/internal/image/cpio"
)

// initramfs carries an archive that dracut made in a configured root over to the
// architecture of the root that its files shall now come from.
type initramfs struct {
	tools      tools
	root       string // in the new architecture
	from, to   architecture
	fromKernel string
	toKernel   string
	work       string // a directory for temporary files

	entries map[string]cpio.Entry
}

// modulesDir is where an initramfs of this distribution has a kernel's modules.
func modulesDir(kernel string) string { return "usr/lib/modules/" + kernel }

// translate replaces every binary by the one of the new architecture, adds the
// libraries and modules that those need in addition, and renews the index of
// modules.
func (i *initramfs) translate(ctx context.Context, in []cpio.Entry) ([]cpio.Entry, error) {
	i.entries = map[string]cpio.Entry{}
	var modules []cpio.Entry
	for _, e := range in {
		if strings.HasSuffix(e.Name, ".ko") {
			modules = append(modules, e)
			continue
		}
		if err := i.take(e); err != nil {
			return nil, fmt.Errorf("translate initramfs: %s: %w", e.Name, err)
		}
	}
	if err := i.takeModules(modules); err != nil {
		return nil, fmt.Errorf("translate initramfs: %w", err)
	}
	if err := i.addLibraries(); err != nil {
		return nil, fmt.Errorf("translate initramfs: %w", err)
	}
	if err := i.indexModules(ctx); err != nil {
		return nil, fmt.Errorf("translate initramfs: %w", err)
	}
	return i.sorted(), nil
}

func (i *initramfs) sorted() []cpio.Entry {
	out := make([]cpio.Entry, 0, len(i.entries))
	for _, e := range i.entries {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b cpio.Entry) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (i *initramfs) put(e cpio.Entry) { i.entries[e.Name] = e }

// take carries one entry over that is not a kernel module.
func (i *initramfs) take(e cpio.Entry) error {
	isELF := bytes.HasPrefix(e.Data, []byte(elf.ELFMAG))
	e.Name = i.rename(e.Name)
	switch {
	case e.Name == "etc/ld.so.cache":
		return nil // the default directories are enough
	case strings.HasPrefix(e.Name, modulesDir(i.toKernel)+"/modules."):
		return nil // made anew
	case e.Type() == cpio.TypeSymlink:
		e.Data = []byte(i.rename(string(e.Data)))
	case e.Type() == cpio.TypeRegular && isELF:
		data, err := os.ReadFile(filepath.Join(i.root, e.Name))
		if errors.Is(err, fs.ErrNotExist) && e.Name == "usr/bin/ignition" {
			// The one binary that its dracut module installs from its own directory.
			data, err = os.ReadFile(filepath.Join(i.root, "usr/lib/dracut/modules.d/30ignition/ignition"))
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // has another name there; addLibraries finds it
		}
		if err != nil {
			return err
		}
		e.Data = data
	}
	i.put(e)
	return nil
}

// rename translates the parts of a path that name the architecture.
func (i *initramfs) rename(s string) string {
	s = strings.ReplaceAll(s, i.from.triplet, i.to.triplet)
	return strings.ReplaceAll(s, i.fromKernel, i.toKernel)
}

// takeModules adds the kernel modules of the same names, with all that they
// depend on in the new kernel.
func (i *initramfs) takeModules(old []cpio.Entry) error {
	deps, err := readModuleDeps(filepath.Join(i.root, modulesDir(i.toKernel), "modules.dep"))
	if err != nil {
		return err
	}
	for _, e := range old {
		rel, ok := deps.byName[path.Base(e.Name)]
		if !ok {
			continue // built in, or not of this architecture
		}
		for _, file := range append([]string{rel}, deps.needs[rel]...) {
			if err := i.addFile(path.Join(modulesDir(i.toKernel), file)); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{"modules.order", "modules.builtin", "modules.builtin.modinfo"} {
		if err := i.addFile(path.Join(modulesDir(i.toKernel), name)); err != nil {
			return err
		}
	}
	return nil
}

// moduleDeps is modules.dep (depmod(8)).
type moduleDeps struct {
	byName map[string]string   // base name to path below the modules directory
	needs  map[string][]string // path to the paths that it needs
}

func readModuleDeps(name string) (moduleDeps, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return moduleDeps{}, err
	}
	d := moduleDeps{byName: map[string]string{}, needs: map[string][]string{}}
	for line := range strings.Lines(string(data)) {
		mod, needs, ok := strings.Cut(line, ":")
		if !ok {
			return moduleDeps{}, fmt.Errorf("parse %s: bad line %q", name, line)
		}
		d.byName[path.Base(mod)] = mod
		d.needs[mod] = strings.Fields(needs)
	}
	return d, nil
}

// addFile adds a file of the root and the directories above it, by its name
// without links.
func (i *initramfs) addFile(name string) error {
	if _, ok := i.entries[name]; ok {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(i.root, name))
	if err != nil {
		return err
	}
	st, err := os.Stat(filepath.Join(i.root, name))
	if err != nil {
		return err
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := i.entries[dir]; !ok {
			i.put(cpio.Entry{Name: dir, Mode: cpio.TypeDir | 0o755})
		}
	}
	i.put(cpio.Entry{Name: name, Mode: cpio.TypeRegular | uint32(st.Mode().Perm()), Data: data})
	return nil
}

// addLibraries adds what the binaries are linked against and the program loader,
// until nothing is missing.
func (i *initramfs) addLibraries() error {
	todo := i.sorted()
	for len(todo) > 0 {
		e := todo[0]
		todo = todo[1:]
		if e.Type() != cpio.TypeRegular || !bytes.HasPrefix(e.Data, []byte(elf.ELFMAG)) || strings.HasSuffix(e.Name, ".ko") {
			continue
		}
		needed, err := needs(e.Data, i.to.machine)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		for _, lib := range needed {
			added, err := i.addLibrary(lib, path.Dir(e.Name))
			if err != nil {
				return fmt.Errorf("%s needs %s: %w", e.Name, lib, err)
			}
			todo = append(todo, added...)
		}
	}
	return nil
}

// needs returns the names of the libraries and the path of the program loader
// that a binary refers to.
func needs(data []byte, machine elf.Machine) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if f.Machine != machine {
		return nil, fmt.Errorf("is for %v, not for %v", f.Machine, machine)
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return nil, err
		}
		libs = append(libs, strings.TrimRight(string(name), "\x00"))
	}
	return libs, nil
}

// addLibrary adds a library, found by name in the directories of the loader or
// by path, and the links that lead to it. It returns the binary if it is new.
func (i *initramfs) addLibrary(lib, beside string) ([]cpio.Entry, error) {
	dirs := []string{"usr/lib/" + i.to.triplet, "usr/lib/" + i.to.triplet + "/systemd", "usr/lib/systemd", beside}
	if path.IsAbs(lib) {
		dirs = []string{path.Join("usr", path.Dir(lib))}
	}
	for _, dir := range dirs {
		name := path.Join(dir, path.Base(lib))
		for {
			if _, ok := i.entries[name]; ok {
				return nil, nil
			}
			target, err := os.Readlink(filepath.Join(i.root, name))
			if err != nil {
				break
			}
			i.put(cpio.Entry{Name: name, Mode: cpio.TypeSymlink | 0o777, Data: []byte(target)})
			if path.IsAbs(target) {
				name = strings.TrimPrefix(path.Join("/usr", strings.TrimPrefix(target, "/usr")), "/")
			} else {
				name = path.Join(path.Dir(name), target)
			}
		}
		if _, err := os.Stat(filepath.Join(i.root, name)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := i.addFile(name); err != nil {
			return nil, err
		}
		return []cpio.Entry{i.entries[name]}, nil
	}
	return nil, fs.ErrNotExist
}

// indexModules makes modules.dep and its like for the modules in the archive.
func (i *initramfs) indexModules(ctx context.Context) error {
	dir := modulesDir(i.toKernel)
	tree := filepath.Join(i.work, "initramfs-modules")
	defer os.RemoveAll(tree)
	for name, e := range i.entries {
		if !strings.HasPrefix(name, dir+"/") || e.Type() != cpio.TypeRegular {
			continue
		}
		full := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(full, e.Data, 0o644); err != nil {
			return err
		}
	}
	if err := os.Symlink("usr/lib", filepath.Join(tree, "lib")); err != nil {
		return err
	}
	if err := i.tools.run(ctx, command{args: []string{"depmod", "-b", tree, i.toKernel}}); err != nil {
		return err
	}
	made, err := filepath.Glob(filepath.Join(tree, dir, "modules.*"))
	if err != nil {
		return err
	}
	for _, full := range made {
		data, err := os.ReadFile(full)
		if err != nil {
			return err
		}
		i.put(cpio.Entry{Name: path.Join(dir, filepath.Base(full)), Mode: cpio.TypeRegular | 0o644, Data: data})
	}
	return nil
}

// writeInitramfs compresses an archive into a file that the kernel reads.
func writeInitramfs(name string, entries []cpio.Entry) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write initramfs: %w", err)
	}
	defer f.Close()
	zw, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		return fmt.Errorf("write initramfs: %w", err)
	}
	if err := cpio.Write(zw, entries); err != nil {
		return err
	}
	if err := zw.Close(); err != nil {
		return fmt.Errorf("write initramfs: %w", err)
	}
	return f.Close()
}
