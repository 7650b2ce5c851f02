package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// helpers are the functions that a script of an image has. The root file system
// is the largest partition; debugfs changes it without a mount.
const helpers = `set -eu
root() { sgdisk --print "$disk" | awk '$1 ~ /^[0-9]+$/ && $3 - $2 > size { size = $3 - $2; start = $2 } END { print start * 512 }'; }
fs() { debugfs -w -R "$1" "$disk?offset=$(root)" 2>/dev/null; }
dirs() { d=; for part in $(dirname "$1" | tr / ' '); do d=$d/$part; fs "mkdir $d" || :; done; }
remove() { fs "rm $1"; }
put() { dirs "$1"; fs "rm $1" || :; printf '%s\n' "$2" >"$disk.put"; fs "write $disk.put $1"; }
edit() { fs "cat $1" | sed "$2" >"$disk.edit"; fs "rm $1"; fs "write $disk.edit $1"; }
link() { dirs "$1"; fs "symlink $1 $2"; }
`

// variant makes a changed copy of an image.
func variant(ctx context.Context, image, disk, script string) error {
	if out, err := exec.CommandContext(ctx, "qemu-img", "convert", "-O", "raw", image, disk).CombinedOutput(); err != nil {
		return fmt.Errorf("copy the image: %w: %s", err, out)
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", helpers+script)
	cmd.Env = append(os.Environ(), "disk="+disk)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("change the image: %w: %s", err, out)
	}
	return nil
}

// ofImage makes a fault of an image: it changes a copy, boots it by seatrial, and
// ends the boot when the fault has shown.
func (c *config) ofImage(ctx context.Context, f fault) error {
	dir, err := os.MkdirTemp(c.work, f.name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	disk := filepath.Join(dir, "disk.raw")
	if err := variant(ctx, c.image, disk, f.script); err != nil {
		return err
	}
	args := []string{"spawn", "--arch", c.arch, "--image", disk, "--out", dir, "--accel", "tcg"}
	if f.userData != "" {
		file := filepath.Join(dir, "user-data")
		if err := os.WriteFile(file, []byte(f.userData), 0o600); err != nil {
			return err
		}
		args = append(args, "--user-data", file)
	}
	cmd := exec.CommandContext(ctx, c.program, args...)
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		_ = cmd.Wait()
	}()
	console, err := follow(ctx, filepath.Join(dir, "m0", "console.txt"), f)
	if err != nil {
		return err
	}
	lines := bytes.SplitAfter(console, []byte("\n"))
	return c.save(f, bytes.Join(lines[max(0, len(lines)-imageLines):], nil))
}

// imageLines is how much is kept of a boot.
const imageLines = 100

// follow reads a console until the fault has shown.
func follow(ctx context.Context, file string, f fault) ([]byte, error) {
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	ctx, stop := context.WithTimeout(ctx, f.wait)
	defer stop()
	for {
		console, err := os.ReadFile(file)
		if err == nil && f.until.Match(console) {
			return console, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%q did not come", f.until)
		case <-ticker.C:
		}
	}
}
