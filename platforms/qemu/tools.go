package qemu

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// tool finds a program in the search path.
func tool(name, pkg string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &MissingError{What: name, Install: "apt-get install " + pkg}
	}
	return path, nil
}

// output runs a program to its end and returns what it prints. An error quotes what it prints to
// stderr.
func output(ctx context.Context, program string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if text := strings.TrimSpace(stderr.String()); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return nil, err
	}
	return stdout.Bytes(), nil
}

// emulator is a QEMU binary.
type emulator struct {
	path    string
	version version
	text    string // the version as QEMU prints it
}

// findEmulator finds the QEMU of an architecture, and checks that it is new enough.
func findEmulator(ctx context.Context, a arch) (emulator, error) {
	path, err := tool(a.binary, a.pkg)
	if err != nil {
		return emulator{}, err
	}
	out, err := output(ctx, path, "--version")
	if err != nil {
		return emulator{}, fmt.Errorf("ask %s for its version: %w", a.binary, err)
	}
	v, err := parseVersion(string(out))
	if err != nil {
		return emulator{}, fmt.Errorf("ask %s for its version: %w", a.binary, err)
	}
	if v.less(minQEMU()) {
		return emulator{}, &MissingError{
			What:    fmt.Sprintf("%s %s or newer (there is %s)", a.binary, minQEMU(), v),
			Install: "apt-get install " + a.pkg + " (from a newer release)",
		}
	}
	return emulator{path: path, version: v, text: firstLine(string(out))}, nil
}

// diskInfo is what qemu-img knows of an image.
type diskInfo struct {
	Format      string `json:"format"`
	VirtualSize int64  `json:"virtual-size"`
}

// images makes disks by means of qemu-img.
type images struct{ path string }

func findImages() (images, error) {
	path, err := tool("qemu-img", "qemu-utils")
	return images{path}, err
}

// inspect describes the image in a file. The format is found out by its content; an image that
// refers to another file is refused, since it would be trusted with the name of any file.
func (i images) inspect(ctx context.Context, file string) (diskInfo, error) {
	out, err := output(ctx, i.path, "info", "--force-share", "--output=json", file)
	if err != nil {
		return diskInfo{}, fmt.Errorf("inspect image: %w", err)
	}
	var info struct {
		diskInfo
		Backing string `json:"backing-filename"`
	}
	if err := json.Unmarshal(out, &info); err != nil {
		return diskInfo{}, fmt.Errorf("inspect image %s: decode answer of qemu-img: %w", file, err)
	}
	if info.Backing != "" {
		return diskInfo{}, fmt.Errorf("inspect image %s: it is an overlay on %s; convert it to an image of its own", file, info.Backing)
	}
	return info.diskInfo, nil
}

// overlay makes a copy-on-write copy of an image, of at least its size.
func (i images) overlay(ctx context.Context, file, base, format string, size int64) error {
	args := []string{"create", "-q", "-f", "qcow2", "-b", base, "-F", format, file}
	if size > 0 {
		args = append(args, fmt.Sprint(size))
	}
	return i.create(ctx, args)
}

// empty makes a disk that takes no space yet.
func (i images) empty(ctx context.Context, file string, size int64) error {
	return i.create(ctx, []string{"create", "-q", "-f", "qcow2", file, fmt.Sprint(size)})
}

// unpad makes a file of what a flash device holds, without the zeros at its end.
func (i images) unpad(ctx context.Context, file string, flash flashFile) error {
	if err := i.create(ctx, []string{"convert", "-f", flash.Format, "-O", "raw", flash.Filename, file}); err != nil {
		return err
	}
	content, err := os.ReadFile(file)
	if err == nil {
		err = os.Truncate(file, int64(len(bytes.TrimRight(content, "\x00"))))
	}
	return err
}

func (i images) create(ctx context.Context, args []string) error {
	if _, err := output(ctx, i.path, args...); err != nil {
		return fmt.Errorf("make disk: %w", err)
	}
	return nil
}
