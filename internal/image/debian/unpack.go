package debian

import (
	"archive/tar"
	"context"
	"crypto/md5" // dpkg's own checksum for conffiles
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// excluded are the directories whose files are left out of the image, as dpkg
// globs. Copyright files are data about the packages, not for the machine.
func excludedDirs() []string {
	return []string{"/usr/share/doc/", "/usr/share/man/", "/usr/share/info/", "/usr/share/locale/", "/usr/share/bash-completion/completions/"}
}

func isExcluded(name string) bool {
	for _, dir := range excludedDirs() {
		if strings.HasPrefix(name, dir) {
			return true
		}
	}
	return false
}

// unpack puts the files of one package into the root, without running its
// scripts, and returns its record. old are the packages that left.
func (t *transplant) unpack(ctx context.Context, deb string, old map[string]installed) (installed, error) {
	p := installed{info: map[string][]byte{}}
	err := eachTarEntry(ctx, "--ctrl-tarfile", deb, func(h *tar.Header, r io.Reader) error {
		if h.Typeflag != tar.TypeReg {
			return nil
		}
		data, err := io.ReadAll(r)
		p.info[path.Base(h.Name)] = data
		return err
	})
	if err != nil {
		return installed{}, err
	}
	control := parseControl(string(p.info["control"]))
	if len(control) != 1 {
		return installed{}, errors.New("bad control file")
	}
	delete(p.info, "control")
	p.para = control[0].insert("Status", "install ok installed")

	sums := map[string]string{}
	for line := range strings.Lines(string(p.info["conffiles"])) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "/") {
			sums[line] = ""
		}
	}
	if err := t.unpackData(ctx, deb, &p, sums); err != nil {
		return installed{}, err
	}
	if len(sums) > 0 {
		p.setConffiles(sums, old[p.name()])
	}
	return p, nil
}

// unpackData writes the package's files, except for those that are excluded and
// the conffiles that the root has already.
func (t *transplant) unpackData(ctx context.Context, deb string, p *installed, sums map[string]string) error {
	return eachTarEntry(ctx, "--fsys-tarfile", deb, func(h *tar.Header, r io.Reader) error {
		name := path.Clean("/" + h.Name)
		listed := name
		if listed == "/" {
			listed = "/."
		}
		p.files = append(p.files, listed)
		if isExcluded(name) {
			return nil
		}
		if _, ok := sums[name]; ok {
			data, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			sum := md5.Sum(data)
			sums[name] = hex.EncodeToString(sum[:])
			if t.conffiles[name] {
				return nil
			}
			r = strings.NewReader(string(data))
		}
		if err := extract(t.root, name, h, r); err != nil {
			return fmt.Errorf("extract %s: %w", name, err)
		}
		return nil
	})
}

// extract creates one entry of a package below root. Existing directories, and
// links to directories such as /lib, stay as they are.
func extract(root, name string, h *tar.Header, r io.Reader) error {
	full := filepath.Join(root, name)
	if h.Typeflag == tar.TypeDir {
		if _, err := os.Lstat(full); err == nil {
			return nil
		}
		if err := os.MkdirAll(full, 0o755); err != nil {
			return err
		}
		return setAttributes(full, h)
	}
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	if err := os.Remove(full); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		f, err := os.OpenFile(full, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, r); err != nil {
			f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
		return setAttributes(full, h)
	case tar.TypeSymlink:
		return os.Symlink(h.Linkname, full)
	case tar.TypeLink:
		return os.Link(filepath.Join(root, path.Clean("/"+h.Linkname)), full)
	}
	return fmt.Errorf("file type %q is not one of a package", h.Typeflag)
}

func setAttributes(full string, h *tar.Header) error {
	if err := os.Lchown(full, h.Uid, h.Gid); err != nil {
		return err
	}
	if err := os.Chmod(full, h.FileInfo().Mode()); err != nil {
		return err
	}
	return os.Chtimes(full, time.Time{}, h.ModTime)
}

// eachTarEntry calls do for each entry of one of a package's two archives.
func eachTarEntry(ctx context.Context, which, deb string, do func(*tar.Header, io.Reader) error) (err error) {
	cmd := exec.CommandContext(ctx, "dpkg-deb", which, deb)
	stderr := tailWriter{limit: 1000}
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		io.Copy(io.Discard, out) // so that dpkg-deb ends by itself
		if werr := cmd.Wait(); werr != nil && err == nil {
			err = fmt.Errorf("dpkg-deb: %w: %s", werr, &stderr)
		}
	}()
	tr := tar.NewReader(out)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(h, tr); err != nil {
			return err
		}
	}
}
