package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"seatrial/internal/image/debian"
)

// Options say which reference image is wanted, and where it is kept.
type Options struct {
	Arch     string // "amd64" or "arm64"
	CacheDir string // is made if need be
	// Progress is told of each step of a build as it begins (done 0), and as it
	// goes on where that is known; total is 0 where it is not. It may be nil, and
	// is called by one goroutine at a time.
	Progress func(step string, done, total int)
	// Log gets what the tools print that a build calls. It may be nil.
	Log io.Writer
	// Elsewhere, if set, is how a program without the rights of root builds: it
	// calls Build with the same cache where there are such rights, and returns the
	// image's path.
	Elsewhere func(ctx context.Context) (path string, err error)
}

// Result is a reference image.
type Result struct {
	Path   string // of the qcow2 file in the cache
	SHA256 string // of that file, in hex
	Arch   string
}

// keyLength is how many hex digits of a hash are in a file name.
const keyLength = 16

// Reference returns the newest image in the cache that this program's recipe
// made, which takes milliseconds, and builds one only if there is none.
func Reference(ctx context.Context, o Options) (Result, error) {
	recipe, err := debian.RecipeHash()
	if err != nil {
		return Result{}, fmt.Errorf("reference image: %w", err)
	}
	path, err := newest(o, recipe)
	if err != nil {
		return Result{}, fmt.Errorf("reference image: %w", err)
	}
	if path == "" {
		return Build(ctx, o)
	}
	return o.result(ctx, path)
}

// Build makes the reference image of the package versions of today, or finds it
// in the cache. Without the package archives at hand an older image of the same
// recipe does, and Progress is told so. Of several builds of one architecture at
// a time, one builds and the others wait for it. A build that was interrupted
// leaves nothing that is taken for an image; the next one removes the rest.
func Build(ctx context.Context, o Options) (Result, error) {
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	path, err := build(ctx, o)
	if err != nil {
		return Result{}, fmt.Errorf("build reference image for %s: %w", o.Arch, err)
	}
	return o.result(ctx, path)
}

func build(ctx context.Context, o Options) (path string, err error) {
	if err := canBuild(o.Arch); err != nil {
		return "", err
	}
	switch {
	case os.Geteuid() == 0:
		return exclusively(ctx, o, func(work string) (string, error) { return buildIn(ctx, o, work) })
	case o.Elsewhere != nil:
		return o.Elsewhere(ctx)
	default:
		return "", errors.New("it needs the rights of root, to install packages into a directory of their own")
	}
}

func (o Options) result(ctx context.Context, path string) (Result, error) {
	sum, err := Digest(ctx, o.CacheDir, path)
	if err != nil {
		return Result{}, err
	}
	return Result{Path: path, SHA256: sum, Arch: o.Arch}, nil
}

// canBuild tells whether a build can be begun at all.
func canBuild(arch string) error {
	if err := debian.CheckArch(arch); err != nil {
		return err
	}
	if missing := MissingTools(arch); len(missing) > 0 {
		return fmt.Errorf("the host lacks %s", strings.Join(missing, ", "))
	}
	return nil
}

// exclusively calls do with an empty directory, one call at a time for each
// architecture, and removes the directory after it.
func exclusively(ctx context.Context, o Options, do func(work string) (string, error)) (string, error) {
	if err := os.MkdirAll(o.CacheDir, 0o755); err != nil {
		return "", err
	}
	lock, err := lockFile(ctx, filepath.Join(o.CacheDir, "build-"+o.Arch+".lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	work, err := newWorkDir(o)
	if err != nil {
		return "", err
	}
	path, err := do(work)
	return path, errors.Join(err, os.RemoveAll(work))
}

// buildIn builds in a work directory, unless the cache has the image.
func buildIn(ctx context.Context, o Options, work string) (string, error) {
	recipe, err := debian.RecipeHash()
	if err != nil {
		return "", err
	}
	d := debian.Options{
		Arch: o.Arch, StateDir: filepath.Join(o.CacheDir, "packages"), WorkDir: work,
		Progress: o.Progress, Log: o.Log,
	}
	plan, err := debian.Resolve(ctx, d)
	if err != nil {
		cached, ferr := newest(o, recipe)
		if ctx.Err() != nil || ferr != nil || cached == "" {
			return "", err
		}
		o.Progress("cannot resolve packages: the image in the cache is taken", 0, 0)
		fmt.Fprintf(o.Log, "%v\n", err)
		return cached, nil
	}
	path := filepath.Join(o.CacheDir, imageName(o.Arch, recipe, plan.Key))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	made := filepath.Join(work, "image.qcow2")
	if err := plan.Build(ctx, d, made); err != nil {
		return "", err
	}
	if err := syncFile(made); err != nil {
		return "", err
	}
	return path, os.Rename(made, path)
}

// newWorkDir makes an empty directory for a build, and removes those of builds
// that were killed; the lock is held.
func newWorkDir(o Options) (string, error) {
	prefix := filepath.Join(o.CacheDir, "building-"+o.Arch+"-")
	stale, err := filepath.Glob(prefix + "*")
	if err != nil {
		return "", err
	}
	for _, dir := range stale {
		if err := os.RemoveAll(dir); err != nil {
			return "", fmt.Errorf("remove what an interrupted build left: %w", err)
		}
	}
	return os.MkdirTemp(o.CacheDir, filepath.Base(prefix))
}

// imageName is the name of an image in the cache. It tells all that the image
// depends on: what has the name needs no further look.
func imageName(arch, recipe, key string) string {
	return fmt.Sprintf("reference-%s-%s-%s.qcow2", arch, recipe[:keyLength], key[:keyLength])
}

// newest returns the path of the youngest image of a recipe, "" if there is none.
func newest(o Options, recipe string) (string, error) {
	matches, err := filepath.Glob(filepath.Join(o.CacheDir, imageName(o.Arch, recipe, strings.Repeat("?", keyLength))))
	if err != nil {
		return "", err
	}
	type candidate struct {
		path string
		info fs.FileInfo
	}
	var found []candidate
	for _, path := range matches {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed in this moment
		}
		if err != nil {
			return "", err
		}
		found = append(found, candidate{path, info})
	}
	if len(found) == 0 {
		return "", nil
	}
	return slices.MaxFunc(found, func(a, b candidate) int { return a.info.ModTime().Compare(b.info.ModTime()) }).path, nil
}

// syncFile brings a file's content to the disk.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// MissingTools names the programs that a build of an architecture's image calls
// and that the host lacks, each with the Debian package that has it.
func MissingTools(arch string) []string {
	var missing []string
	for _, t := range debian.Missing(arch) {
		missing = append(missing, fmt.Sprintf("%s (package %s)", t.Name, t.Package))
	}
	return missing
}
