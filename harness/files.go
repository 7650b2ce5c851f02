package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// File is a program or the like from outside the image that a test takes to its
// guests; there is one for each architecture.
type File struct {
	// Name by which users give it.
	Name string
	// Version tells what was built of different sources apart.
	Version string
	// How says what makes it: "`make fixtures` builds it".
	How string
}

// Files finds the files that tests need.
type Files struct {
	// Dir holds what was built, as NAME-ARCH-VERSION.
	Dir string
	// Given holds the paths that the user gave, by NAME-ARCH.
	Given map[string]string
}

// Path returns where a file is. When it is nowhere, the error
// says how to get it.
func (f Files) Path(want File, arch string) (string, error) {
	name := want.Name + "-" + arch
	if path := f.Given[name]; path != "" {
		return path, nil
	}
	path := filepath.Join(f.Dir, name+"-"+want.Version)
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s for %s is missing: %s, or --file %s=PATH names it", want.Name, arch, want.How, name)
	}
	return path, err
}

// missing is the reason for which a test that needs files cannot run, or empty.
func (f Files) missing(files []File, arch string) string {
	for _, want := range files {
		if _, err := f.Path(want, arch); err != nil {
			return err.Error()
		}
	}
	return ""
}

// File returns the content of a file that the test says it needs.
func (t *T) File(name string) []byte {
	for _, want := range t.cluster.a.job.Test.Needs.Files {
		if want.Name != name {
			continue
		}
		path, err := t.cluster.a.opts.Files.Path(want, t.Arch())
		t.Check(err)
		data, err := os.ReadFile(path)
		t.Check(err)
		return data
	}
	t.broken(fmt.Errorf("%s uses the file %q without saying so", t.Name(), name))
	return nil
}
