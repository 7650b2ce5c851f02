package cli

import (
	"fmt"
	"os"
	"path/filepath"
)

// cacheDir is a directory for what can be made again: images, facts.
func (a *app) cacheDir(name string) string {
	return filepath.Join(a.userDir("XDG_CACHE_HOME", ".cache"), "seatrial", name)
}

// stateDir is a directory for what must outlive a run.
func (a *app) stateDir(name string) string {
	return filepath.Join(a.userDir("XDG_STATE_HOME", filepath.Join(".local", "state")), "seatrial", name)
}

// runtimeDir is a directory for sockets, whose paths must be short.
func (a *app) runtimeDir() string {
	if dir := a.env.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "seatrial")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("seatrial-%d", os.Getuid()))
}

// userDir is a base directory after the XDG specification.
func (a *app) userDir(variable, fallback string) string {
	if dir := a.env.Getenv(variable); filepath.IsAbs(dir) {
		return dir
	}
	home := a.env.Getenv("HOME")
	if !filepath.IsAbs(home) {
		home = os.TempDir()
	}
	return filepath.Join(home, fallback)
}
