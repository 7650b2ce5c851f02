package template

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	manifestFile = "template.json"
	// format is that of the manifest.
	format = 1
	// block is the unit in which files are hashed: those of zeros only count as holes.
	block = 64 << 10
)

// manifest says what the files of a template must be.
type manifest struct {
	Format  int
	Key     string
	Title   string
	Created time.Time
	Files   []file
	Facts   json.RawMessage
}

// file is a file of a template.
type file struct {
	Name   string
	SHA256 string // of the blocks that are not zero, with their offsets
	Stamp  stamp
}

// stamp is what changes when somebody writes to a file or replaces it.
type stamp struct {
	Size     int64
	Inode    uint64
	Modified int64 // nanoseconds since 1970
	Changed  int64
}

func readManifest(dir string) (manifest, error) {
	data, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return manifest{}, err
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return manifest{}, fmt.Errorf("decode %s: %w", manifestFile, err)
	}
	return m, nil
}

// write writes the manifest as a whole.
func (m manifest) write(dir string) error {
	data, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, manifestFile)
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(data, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, manifestFile))
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// current reports why a manifest is not of today's format, of that key, and of the right age.
func (m manifest) current(key string, maxAge time.Duration) error {
	age := time.Since(m.Created)
	switch {
	case m.Format != format:
		return fmt.Errorf("it is of format %d, not %d", m.Format, format)
	case m.Key != key:
		return fmt.Errorf("it is that of %q", m.Key)
	case age > maxAge || age < 0:
		return fmt.Errorf("it is %v old", age.Round(time.Minute))
	default:
		return nil
	}
}

// unchanged reports which file is not the one that was recorded.
func (m manifest) unchanged(dir string) error {
	for _, f := range m.Files {
		now, err := stampOf(filepath.Join(dir, f.Name))
		if err != nil {
			return err
		}
		if now != f.Stamp {
			return fmt.Errorf("%s was changed", f.Name)
		}
	}
	return nil
}

// verify reads all files.
func (m manifest) verify(ctx context.Context, dir string) error {
	for _, f := range m.Files {
		path := filepath.Join(dir, f.Name)
		now, err := stampOf(path)
		if err != nil {
			return err
		}
		sum, err := digest(ctx, path)
		if err != nil {
			return err
		}
		if now.Size != f.Stamp.Size || sum != f.SHA256 {
			return fmt.Errorf("%s is damaged", f.Name)
		}
	}
	return nil
}

// record describes all files of a directory, after they have reached the disk.
func record(ctx context.Context, dir string) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, e := range entries {
		if !e.Type().IsRegular() {
			return nil, fmt.Errorf("%s is not a file", e.Name())
		}
		path := filepath.Join(dir, e.Name())
		if err := syncFile(path); err != nil {
			return nil, err
		}
		sum, err := digest(ctx, path)
		if err != nil {
			return nil, err
		}
		files = append(files, file{Name: e.Name(), SHA256: sum})
	}
	return stampAll(dir, files)
}

func stampAll(dir string, files []file) ([]file, error) {
	for i := range files {
		var err error
		if files[i].Stamp, err = stampOf(filepath.Join(dir, files[i].Name)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func stampOf(path string) (stamp, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return stamp{}, fmt.Errorf("look at %s: %w", path, err)
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return stamp{}, fmt.Errorf("%s is not a file", path)
	}
	return stamp{Size: st.Size, Inode: st.Ino, Modified: st.Mtim.Nano(), Changed: st.Ctim.Nano()}, nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// digest hashes the blocks of a file that are not zero. Holes are not read.
func digest(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	buf, zero := make([]byte, block), make([]byte, block)
	for offset := int64(0); ; offset += block {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		data, err := unix.Seek(int(f.Fd()), offset, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // nothing but a hole follows
		}
		if err == nil {
			offset = data / block * block
		} // else the file system knows no holes
		n, err := f.ReadAt(buf, offset)
		if n > 0 && string(buf[:n]) != string(zero[:n]) {
			h.Write(binary.LittleEndian.AppendUint64(nil, uint64(offset)))
			h.Write(buf[:n])
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
