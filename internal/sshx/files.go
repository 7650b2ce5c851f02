package sshx

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/kballard/go-shellquote"

	"seatrial/platforms"
)

// uploadScript writes its input to the file $1, by way of a temporary file
// beside it, and gives it the mode $2. The input ends with the mark $3; without
// it the connection broke in the middle, and the file stays as it was. It needs
// a POSIX shell and utilities only.
const uploadScript = `set -eu
path=$1 mode=$2 mark=$3
dir=${path%/*}/
if [ -d "$path" ]; then echo "it is a directory" >&2; exit 1; fi
umask 022
mkdir -p "$dir"
umask 077
tmp=$dir.$mark
trap 'rm -f "$tmp"' EXIT
cat >"$tmp"
if [ "$(tail -c ${#mark} "$tmp")" != "$mark" ]; then echo "the input was cut off" >&2; exit 1; fi
size=$(wc -c <"$tmp")
dd if=/dev/null of="$tmp" bs=1 seek=$((size - ${#mark})) 2>/dev/null
chmod "$mode" "$tmp"
mv -f "$tmp" "$path"
`

// Files copies files to and from a guest by commands.
type Files struct {
	// Run runs a command, as Client.Run does.
	Run func(ctx context.Context, cmd platforms.Command) (platforms.Result, error)
	// Sudo says that commands do not run as root.
	Sudo bool
}

// Files copies by the client's own commands.
func (c *Client) Files() Files { return Files{Run: c.Run, Sudo: c.cfg.User != "root"} }

// Upload writes r to the absolute path name on the guest, as root, with missing
// parent directories. What is there is replaced at once and only by the whole
// of r.
func (f Files) Upload(ctx context.Context, name string, mode fs.FileMode, r io.Reader) error {
	if err := checkPath(name); err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	mark := rand.Text()
	result, err := f.Run(ctx, platforms.Command{
		Line:  asRoot(f.Sudo, "sh", "-c", uploadScript, "sh", name, octal(mode), mark),
		Stdin: io.MultiReader(r, strings.NewReader(mark)),
	})
	if err == nil {
		err = exitError(result)
	}
	if err != nil {
		return fmt.Errorf("upload %s: %w", name, err)
	}
	return nil
}

// downloadScript writes the file $1 to its output; it exits with absent when
// there is no such file.
const (
	downloadScript = `[ -e "$1" ] || exit 66; exec cat "$1"`
	absent         = 66 // EX_NOINPUT of sysexits.h
)

// Download copies the file at the absolute path name on the guest, read as
// root, to w. A file that does not exist is an error that wraps
// fs.ErrNotExist.
func (f Files) Download(ctx context.Context, name string, w io.Writer) error {
	if err := checkPath(name); err != nil {
		return fmt.Errorf("download: %w", err)
	}
	result, err := f.Run(ctx, platforms.Command{
		Line:   asRoot(f.Sudo, "sh", "-c", downloadScript, "sh", name),
		Stdout: w,
	})
	switch {
	case err != nil:
	case result.ExitCode == absent:
		err = fs.ErrNotExist
	default:
		err = exitError(result)
	}
	if err != nil {
		return fmt.Errorf("download %s: %w", name, err)
	}
	return nil
}

// asRoot is the command line that runs args as root.
func asRoot(sudo bool, args ...string) string {
	if sudo {
		args = append([]string{"sudo", "-n"}, args...)
	}
	return shellquote.Join(args...)
}

func checkPath(name string) error {
	if !path.IsAbs(name) || strings.HasSuffix(name, "/") || strings.ContainsRune(name, 0) {
		return fmt.Errorf("%q is not an absolute path of a file", name)
	}
	return nil
}

// octal writes a mode as chmod takes it.
func octal(mode fs.FileMode) string {
	bits := uint32(mode.Perm())
	for _, special := range []struct {
		flag fs.FileMode
		bit  uint32
	}{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}} {
		if mode&special.flag != 0 {
			bits |= special.bit
		}
	}
	return fmt.Sprintf("%04o", bits)
}

// exitError makes an error of a command that should have succeeded.
func exitError(r platforms.Result) error {
	if r.ExitCode == 0 {
		return nil
	}
	text := bytes.TrimSpace(r.Stderr)
	if len(text) == 0 {
		return fmt.Errorf("exit status %d", r.ExitCode)
	}
	return fmt.Errorf("exit status %d: %s", r.ExitCode, text)
}
