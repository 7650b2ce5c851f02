package debian

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// installed is one package in dpkg's database.
type installed struct {
	para  paragraph         // in the status file
	files []string          // absolute names of all it owns
	info  map[string][]byte // control files by name, such as "postinst"
}

// conffile is one configuration file, with the checksum of the packaged version.
type conffile struct{ path, sum string }

func (p installed) name() string { return p.para.get("Package") }

// infoName is what the package's files below info begin with.
func (p installed) infoName() string {
	if p.para.get("Multi-Arch") == "same" {
		return p.name() + ":" + p.para.get("Architecture")
	}
	return p.name()
}

func (p installed) conffiles() []conffile {
	var out []conffile
	for line := range strings.Lines(p.para.get("Conffiles")) {
		if f := strings.Fields(line); len(f) >= 2 {
			out = append(out, conffile{f[0], f[1]})
		}
	}
	return out
}

// setConffiles records checksums by path. Those of a predecessor stand for the
// files that were not unpacked anew.
func (p *installed) setConffiles(sums map[string]string, old installed) {
	for _, c := range old.conffiles() {
		if _, ok := sums[c.path]; ok {
			sums[c.path] = c.sum
		}
	}
	var b strings.Builder
	names := make([]string, 0, len(sums))
	for name := range sums {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if sums[name] != "" {
			fmt.Fprintf(&b, "\n %s %s", name, sums[name])
		}
	}
	p.para = append(p.para, field{"Conffiles", b.String()})
}

// database is dpkg's database of a root (dpkg(1), FILES).
type database struct {
	dir      string
	packages []paragraph
}

func readDatabase(root string) (*database, error) {
	db := &database{dir: filepath.Join(root, "var/lib/dpkg")}
	data, err := os.ReadFile(filepath.Join(db.dir, "status"))
	if err != nil {
		return nil, err
	}
	db.packages = parseControl(string(data))
	return db, nil
}

// takeArch removes the packages of an architecture from the list and returns
// them with the names of their files.
func (db *database) takeArch(arch string) ([]installed, error) {
	var taken []installed
	db.packages = slices.DeleteFunc(db.packages, func(p paragraph) bool {
		if p.get("Architecture") != arch {
			return false
		}
		taken = append(taken, installed{para: p})
		return true
	})
	for i := range taken {
		files, err := db.takeInfo(taken[i].infoName())
		if err != nil {
			return nil, err
		}
		taken[i].files = files
	}
	return taken, nil
}

// takeInfo deletes the control files of a package and returns its file list.
func (db *database) takeInfo(name string) ([]string, error) {
	info := filepath.Join(db.dir, "info")
	data, err := os.ReadFile(filepath.Join(info, name+".list"))
	if err != nil {
		return nil, err
	}
	all, err := os.ReadDir(info)
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		ext, ok := strings.CutPrefix(f.Name(), name+".")
		// "libfoo." is also the beginning of "libfoo.bar.list".
		if !ok || strings.Contains(ext, ".") {
			continue
		}
		if err := os.Remove(filepath.Join(info, f.Name())); err != nil {
			return nil, err
		}
	}
	return strings.Fields(string(data)), nil
}

// add records a package and writes its control files.
func (db *database) add(p installed) error {
	prefix := filepath.Join(db.dir, "info", p.infoName()+".")
	p.info["list"] = []byte(strings.Join(p.files, "\n") + "\n")
	for name, data := range p.info {
		mode := fs.FileMode(0o644)
		if slices.Contains([]string{"preinst", "postinst", "prerm", "postrm", "config"}, name) {
			mode = 0o755
		}
		if err := writeFile(prefix+name, data, mode); err != nil {
			return err
		}
	}
	db.packages = append(db.packages, p.para)
	return nil
}

// write saves the list of packages.
func (db *database) write() error {
	slices.SortStableFunc(db.packages, func(a, b paragraph) int { return strings.Compare(a.get("Package"), b.get("Package")) })
	if err := os.Remove(filepath.Join(db.dir, "status-old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(filepath.Join(db.dir, "status"), []byte(formatControl(db.packages)), 0o644)
}
