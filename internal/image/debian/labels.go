package debian

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"seatrial/internal/image/selabel"
)

// labelAll writes the SELinux context of every file of root into the filesystem
// image that was made of it: debugfs sets them, so that neither a host with
// SELinux nor the right to set such attributes is needed. device is a file name
// as libext2fs takes it.
func labelAll(ctx context.Context, t tools, root, device string) error {
	labels, err := readLabels(root)
	if err != nil {
		return fmt.Errorf("label files: %w", err)
	}
	var script bytes.Buffer
	err = filepath.WalkDir(root, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(full, root), "/")
		context := labels.Context(name, d.Type())
		if context == "" || context == selabel.None {
			return nil
		}
		if strings.ContainsAny(name, "\"\n") {
			return fmt.Errorf("file name %q cannot be quoted", name)
		}
		// The attribute ends with a NUL byte, as setfiles writes it.
		fmt.Fprintf(&script, "ea_set \"%s\" security.selinux \"%s\\000\"\n", name, context)
		return nil
	})
	if err != nil {
		return fmt.Errorf("label files: %w", err)
	}
	return t.run(ctx, command{args: []string{"debugfs", "-w", "-f", "-", device}, stdin: &script})
}

func readLabels(root string) (*selabel.Labels, error) {
	dir := filepath.Join(root, "etc/selinux/default/contexts/files")
	var readers []io.Reader
	for _, name := range []string{"file_contexts", "file_contexts.homedirs", "file_contexts.local"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		readers = append(readers, bytes.NewReader(data))
	}
	subs, err := os.Open(filepath.Join(dir, "file_contexts.subs_dist"))
	if err != nil {
		return nil, err
	}
	defer subs.Close()
	return selabel.Parse(readers, bufio.NewReader(subs))
}
