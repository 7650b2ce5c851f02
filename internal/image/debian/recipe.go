package debian

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

//go:embed all:recipe
var embedded embed.FS

// formatVersion is part of the recipe's hash: it is raised when the code that
// carries the recipe out changes what comes out.
const formatVersion = "1"

// recipe is the readable description of the image:
//
//	packages       what is installed
//	boot-packages  what is unpacked for the boot partitions
//	setup.sh       runs in the installed root
//	esp-grub.cfg   finds the root for the EFI loader
//	selinux/       policy modules in CIL
//	root/          laid over the root
type recipe struct{ fsys fs.FS }

func loadRecipe() (recipe, error) {
	sub, err := fs.Sub(embedded, "recipe")
	if err != nil {
		return recipe{}, fmt.Errorf("load recipe: %w", err)
	}
	return recipe{sub}, nil
}

// hash identifies the recipe by content and file names.
func (r recipe) hash() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "format %s\n", formatVersion)
	err := fs.WalkDir(r.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(r.fsys, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %d\n", name, len(data))
		h.Write(data)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("hash recipe: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// packages reads a package list: a name per line, "[arch] name" for one
// architecture only, comments after "#".
func (r recipe) packages(file, arch string) ([]string, error) {
	data, err := fs.ReadFile(r.fsys, file)
	if err != nil {
		return nil, fmt.Errorf("read package list: %w", err)
	}
	var names []string
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case len(fields) == 1:
			names = append(names, fields[0])
		case len(fields) == 2 && strings.HasPrefix(fields[0], "["):
			if fields[0] == "["+arch+"]" {
				names = append(names, fields[1])
			}
		default:
			return nil, fmt.Errorf("read package list %s: bad line %q", file, line)
		}
	}
	return names, nil
}

// overlay lays the files of root/ over a directory. Scripts become executable,
// what only root should read is protected; "@NAME@" is replaced by vars[NAME].
func (r recipe) overlay(root string, vars map[string]string) error {
	err := fs.WalkDir(r.fsys, "root", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "root" {
			return err
		}
		dst := filepath.Join(root, strings.TrimPrefix(name, "root/"))
		if d.IsDir() {
			return os.MkdirAll(dst, 0o755)
		}
		data, err := fs.ReadFile(r.fsys, name)
		if err != nil {
			return err
		}
		for k, v := range vars {
			data = bytes.ReplaceAll(data, []byte("@"+k+"@"), []byte(v))
		}
		return writeFile(dst, data, overlayMode(name, data))
	})
	if err != nil {
		return fmt.Errorf("lay recipe files over the root: %w", err)
	}
	return nil
}

func overlayMode(name string, data []byte) fs.FileMode {
	switch {
	case bytes.HasPrefix(data, []byte("#!")):
		return 0o755
	case path.Dir(name) == "root/etc/sudoers.d":
		return 0o440
	}
	return 0o644
}

// writeFile writes a file with exactly this mode, whatever was there before and
// whatever the umask is.
func writeFile(name string, data []byte, mode fs.FileMode) error {
	if err := os.RemoveAll(name); err != nil {
		return err
	}
	if err := os.WriteFile(name, data, mode); err != nil {
		return err
	}
	return os.Chmod(name, mode)
}
