package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
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

// ofImage makes a fault of an image: it changes a copy, and boots that until the
// fault has shown.
func (c *config) ofImage(ctx context.Context, f fault) error {
	console, err := c.bootVariant(ctx, f)
	if err != nil {
		return err
	}
	lines := bytes.SplitAfter(console, []byte("\n"))
	return c.save(f, bytes.Join(lines[max(0, len(lines)-imageLines):], nil))
}

// imageLines is how much is kept of a boot.
const imageLines = 100

// bootVariant boots an image that was changed by seatrial, and returns the console
// up to where the fault has shown.
func (c *config) bootVariant(ctx context.Context, f fault) ([]byte, error) {
	dir, err := os.MkdirTemp(c.work, f.name+"-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	disk := filepath.Join(dir, "disk.raw")
	if err := variant(ctx, c.image, disk, f.script); err != nil {
		return nil, err
	}
	args := []string{"spawn", "--arch", c.arch, "--image", disk, "--out", dir, "--accel", "tcg"}
	if f.userData != "" {
		file := filepath.Join(dir, "user-data")
		if err := os.WriteFile(file, []byte(f.userData), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--user-data", file)
	}
	cmd := exec.CommandContext(ctx, c.program, args...)
	stdin, err := cmd.StdinPipe() // of a shell that stays open
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	console, err := follow(ctx, filepath.Join(dir, "m0", "console.txt"), f)
	_ = cmd.Process.Signal(os.Interrupt) // it may have ended
	_ = cmd.Wait()
	return console, err
}

// allDone is what the unit says when all scripts have run.
var allDone = regexp.MustCompile(`seatrial: all done`)

// inSystem makes faults in one boot of the image, by a unit that runs their
// scripts one after the other.
func (c *config) inSystem(ctx context.Context, faults []fault) error {
	var script strings.Builder
	script.WriteString(`fs "mkdir /root/faults" || :
fs "write ` + filepath.Join(c.built, "tree/bin/program-crash") + ` /root/faults/program-crash"; fs "sif /root/faults/program-crash mode 0100755"
put /etc/systemd/system/faults.service '[Unit]
After=multi-user.target
[Service]
Type=simple
StandardOutput=null
StandardError=null
ExecStart=/bin/sh /root/faults/run'
link /etc/systemd/system/multi-user.target.wants/faults.service ../faults.service
put /root/faults/run 'kill -RTMIN+20 1
for script in /root/faults/*.sh; do
	name=$(basename "$script" .sh)
	echo "seatrial: begin $name" >/dev/console
	timeout 90 sh "$script"
	sleep 3
	echo "seatrial: end $name" >/dev/console
done
echo "seatrial: all done" >/dev/console'
`)
	for i, f := range faults {
		fmt.Fprintf(&script, "put /root/faults/%02d-%s.sh %s\n", i, f.name, quote(f.script))
	}
	console, err := c.bootVariant(ctx, fault{name: "system", script: script.String(), until: allDone, wait: 15 * time.Minute})
	if err != nil {
		return err
	}
	for i, f := range faults {
		mark := fmt.Sprintf("%02d-%s", i, f.name)
		_, rest, ok := bytes.Cut(console, []byte("seatrial: begin "+mark+"\r\n"))
		text, _, ended := bytes.Cut(rest, []byte("seatrial: end "+mark))
		if !ok || !ended {
			fmt.Fprintf(os.Stderr, "%s %s: not in the console\n", c.arch, f.name)
			continue
		}
		if err := c.save(f, text); err != nil {
			return err
		}
	}
	return nil
}

// quote makes one word of the shell of a text.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

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
