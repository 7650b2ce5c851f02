package fake

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// file is a file of a guest. Those of the image are shared and never change.
type file struct {
	data []byte
	mode fs.FileMode
}

// imageFiles are the files that every guest of a platform has.
func imageFiles(osRelease map[string]string, programs map[string]program) map[string]*file {
	var release strings.Builder
	for _, key := range slices.Sorted(maps.Keys(osRelease)) {
		fmt.Fprintf(&release, "%s=%q\n", key, osRelease[key])
	}
	files := map[string]*file{
		"/bin/sh":             {mode: 0o755},
		"/bin/bash":           {mode: 0o755},
		"/etc/os-release":     {mode: 0o644, data: []byte(release.String())},
		"/run/systemd/system": {mode: fs.ModeDir | 0o755},
		"/root":               {mode: fs.ModeDir | 0o700},
	}
	for name := range programs {
		files["/usr/bin/"+name] = &file{mode: 0o755}
	}
	return files
}

// newBootID makes a random UUID.
func newBootID() string {
	b := make([]byte, 16)
	rand.Read(b) //nolint:errcheck // never fails, says crypto/rand
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// fileSystem is what a guest sees: the image, and its own files above it.
type fileSystem struct {
	m     *Machine
	image map[string]*file

	mu  sync.Mutex
	own map[string]*file
}

// find returns a file; f.mu is held.
func (f *fileSystem) find(name string) *file {
	if found := f.own[name]; found != nil {
		return found
	}
	return f.image[name]
}

// put writes a file as root.
func (f *fileSystem) put(name string, mode fs.FileMode, data []byte) error {
	w, err := f.open(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode, true)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if own := f.own[path.Clean(name)]; own != nil {
		own.mode = mode
	}
	return nil
}

// forgetVolatile removes what does not outlive a boot.
func (f *fileSystem) forgetVolatile() {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.own, func(name string, _ *file) bool {
		return strings.HasPrefix(name, "/run/") || strings.HasPrefix(name, "/tmp/")
	})
}

// open opens a file, as root or the login user. Errors are *fs.PathError.
func (f *fileSystem) open(name string, flag int, perm fs.FileMode, root bool) (io.ReadWriteCloser, error) {
	name = path.Clean(name)
	if special := f.special(name, root); special != nil {
		return special, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	found := f.find(name)
	write := flag&(os.O_WRONLY|os.O_RDWR) != 0
	switch {
	case found == nil && (!write || flag&os.O_CREATE == 0):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case found != nil && found.mode.IsDir():
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	case !mayUse(name, found, write, root):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	if !write {
		return &handle{Reader: bytes.NewReader(found.data)}, nil
	}
	next := &file{mode: perm}
	if found != nil {
		next.mode = found.mode
		if flag&os.O_TRUNC == 0 {
			next.data = bytes.Clone(found.data)
		}
	}
	f.own[name] = next
	return &handle{Reader: strings.NewReader(""), write: func(p []byte) {
		f.mu.Lock()
		defer f.mu.Unlock()
		next.data = append(next.data, p...)
	}}, nil
}

// mayUse says whether a user may read or write a file. The login user may
// write below /home, /tmp and /var/tmp, and see nothing below /root.
func mayUse(name string, f *file, write, root bool) bool {
	if root {
		return true
	}
	below := func(dirs ...string) bool {
		return slices.ContainsFunc(dirs, func(d string) bool { return strings.HasPrefix(name, d+"/") })
	}
	if write {
		return below("/home", "/tmp", "/var/tmp") && (f == nil || f.mode&0o002 != 0 || f.mode&0o200 != 0)
	}
	return f != nil && f.mode&0o004 != 0 && !below("/root")
}

// special opens the files of the kernel that do something, or returns nil.
func (f *fileSystem) special(name string, root bool) io.ReadWriteCloser {
	reads := func(r io.Reader) io.ReadWriteCloser { return &handle{Reader: r, write: func([]byte) {}} }
	does := func(write func(text string)) io.ReadWriteCloser {
		return &handle{Reader: strings.NewReader(""), write: func(p []byte) { write(strings.TrimSpace(string(p))) }}
	}
	switch {
	case name == "/dev/null":
		return reads(strings.NewReader(""))
	case name == "/dev/zero":
		return reads(zeros{})
	case name == "/proc/sys/kernel/random/boot_id":
		f.m.mu.Lock()
		defer f.m.mu.Unlock()
		return reads(strings.NewReader(f.m.bootID + "\n"))
	case !root:
		return nil
	case name == "/dev/kmsg":
		return does(func(text string) {
			if level, rest, ok := strings.Cut(text, ">"); ok && strings.HasPrefix(level, "<") {
				text = rest
			}
			f.m.Print("[   42.000000] " + text + "\n")
		})
	case name == "/proc/sysrq-trigger":
		return does(f.m.sysrq)
	case path.Base(name) == "cgroup.freeze" && strings.HasPrefix(name, "/sys/fs/cgroup/"):
		return does(func(string) { f.m.Hang() })
	case strings.HasPrefix(name, "/proc/sys/"):
		return does(func(string) {})
	}
	return nil
}

// sysrq does what the kernel does at a magic key.
func (m *Machine) sysrq(key string) {
	switch key {
	case "c":
		m.Panic("sysrq triggered crash")
	case "o":
		m.Halt()
	case "b":
		m.restart()
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// handle is an open file.
type handle struct {
	io.Reader
	write func([]byte)
}

func (h *handle) Write(p []byte) (int, error) {
	if h.write == nil {
		return 0, fs.ErrPermission
	}
	h.write(p)
	return len(p), nil
}

func (h *handle) Close() error { return nil }

// stat describes a file, or a directory that has files below it.
func (f *fileSystem) stat(name string) (fs.FileInfo, error) {
	name = path.Clean(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if found := f.find(name); found != nil {
		return info{name: path.Base(name), file: *found}, nil
	}
	for _, files := range []map[string]*file{f.own, f.image} {
		for other := range files {
			if name == "/" || strings.HasPrefix(other, name+"/") {
				return info{name: path.Base(name), file: file{mode: fs.ModeDir | 0o755}}, nil
			}
		}
	}
	return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

// list returns the entries of a directory in alphabetical order.
func (f *fileSystem) list(dir string) []fs.DirEntry {
	dir = strings.TrimSuffix(path.Clean(dir), "/") + "/"
	f.mu.Lock()
	defer f.mu.Unlock()
	entries := make(map[string]fs.DirEntry)
	for _, files := range []map[string]*file{f.image, f.own} {
		for name, found := range files {
			rest, ok := strings.CutPrefix(name, dir)
			if !ok {
				continue
			}
			first, _, deeper := strings.Cut(rest, "/")
			entry := info{name: first, file: *found}
			if deeper {
				entry.file = file{mode: fs.ModeDir | 0o755}
			}
			entries[first] = fs.FileInfoToDirEntry(entry)
		}
	}
	return slices.SortedFunc(maps.Values(entries), func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
}

// info implements [fs.FileInfo].
type info struct {
	name string
	file file
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return int64(len(i.file.data)) }
func (i info) Mode() fs.FileMode  { return i.file.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.file.mode.IsDir() }
func (i info) Sys() any           { return nil }
