package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	digestsFile   = "digests.json"
	digestsSchema = 1
	// maxDigests is how many files the cache remembers; those used last stay.
	maxDigests = 200
	// settled is how old a change of a file must be for the file's time to tell
	// the next change from it: some ticks of the kernel's clock.
	settled = 100 * time.Millisecond
)

// A DigestError says that the bytes are not those that were asked for.
type DigestError struct {
	Source    string // what was read: a path or a URL
	Want, Got string // SHA-256, in hex
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("%s has another SHA-256: want %s, got %s", e.Source, e.Want, e.Got)
}

// Digest returns the SHA-256 of a file, in hex. It is remembered in cacheDir
// for as long as path, size, modification time and inode stay the same, so that
// gigabytes are read once. A cache that cannot be read or written costs time only.
func Digest(ctx context.Context, cacheDir, path string) (string, error) {
	sum, err := digestFile(ctx, cacheDir, path)
	if err != nil {
		return "", fmt.Errorf("digest of %s: %w", path, err)
	}
	return sum, nil
}

// Verify compares the SHA-256 of a file with the one that is wanted (hex, with
// or without "sha256:" before it). It is a *DigestError if they differ.
func Verify(ctx context.Context, cacheDir, path, want string) error {
	want, err := parseDigest(want)
	if err != nil {
		return err
	}
	got, err := Digest(ctx, cacheDir, path)
	if err != nil {
		return err
	}
	if got != want {
		return &DigestError{Source: path, Want: want, Got: got}
	}
	return nil
}

// parseDigest returns a SHA-256 in its canonical form: 64 lower-case hex digits.
func parseDigest(s string) (string, error) {
	d := strings.ToLower(strings.TrimPrefix(s, "sha256:"))
	if b, err := hex.DecodeString(d); err != nil || len(b) != sha256.Size {
		return "", fmt.Errorf("%w: %q is no SHA-256; give its 64 hex digits", ErrBadSource, s)
	}
	return d, nil
}

func digestFile(ctx context.Context, cacheDir, path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	f, _, err := openRegular(abs)
	if err != nil {
		return "", err
	}
	defer f.Close()
	before, err := stampOf(f, abs)
	if err != nil {
		return "", err
	}
	if sum, ok := recallDigest(ctx, cacheDir, before); ok {
		return sum, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, &ctxReader{ctx, f}); err != nil {
		return "", err
	}
	after, err := stampOf(f, abs)
	if err != nil {
		return "", err
	}
	if after != before {
		return "", fmt.Errorf("the file changed while it was read")
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if time.Since(time.Unix(0, before.ModTime)) > settled {
		rememberDigest(ctx, cacheDir, digestEntry{before, sum})
	}
	return sum, nil
}

// A ctxReader reads until its context ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *ctxReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// A stamp tells one state of a file from another.
type stamp struct {
	Path    string `json:"path"`
	Size    int64  `json:"size"`
	ModTime int64  `json:"mtime_ns"` // Unix time
	Inode   uint64 `json:"inode"`
}

func stampOf(f *os.File, path string) (stamp, error) {
	st, err := f.Stat()
	if err != nil {
		return stamp{}, err
	}
	s := stamp{Path: path, Size: st.Size(), ModTime: st.ModTime().UnixNano()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		s.Inode = sys.Ino
	}
	return s, nil
}

// digests is what the cache's file holds, the last used first.
type digests struct {
	Schema  int           `json:"schema"`
	Entries []digestEntry `json:"entries"`
}

type digestEntry struct {
	stamp
	SHA256 string `json:"sha256"`
}

// recallDigest looks a file up, and marks it as used.
func recallDigest(ctx context.Context, cacheDir string, s stamp) (sum string, ok bool) {
	editDigests(ctx, cacheDir, func(d *digests) bool {
		i := slices.IndexFunc(d.Entries, func(e digestEntry) bool { return e.stamp == s })
		if i < 0 {
			return false
		}
		e := d.Entries[i]
		sum, ok = e.SHA256, true
		d.Entries = slices.Insert(slices.Delete(d.Entries, i, i+1), 0, e)
		return i > 0
	})
	return sum, ok
}

// rememberDigest adds a file, in the place of its earlier states.
func rememberDigest(ctx context.Context, cacheDir string, e digestEntry) {
	editDigests(ctx, cacheDir, func(d *digests) bool {
		d.Entries = slices.DeleteFunc(d.Entries, func(o digestEntry) bool { return o.Path == e.Path })
		d.Entries = slices.Insert(d.Entries, 0, e)
		d.Entries = d.Entries[:min(len(d.Entries), maxDigests)]
		return true
	})
}

// editDigests reads the cache, and writes it if edit says that it changed. A
// damaged file counts as an empty one. What fails, fails silently: the digest
// is known or can be made without it.
func editDigests(ctx context.Context, cacheDir string, edit func(*digests) (changed bool)) {
	if os.MkdirAll(cacheDir, 0o755) != nil {
		return
	}
	path := filepath.Join(cacheDir, digestsFile)
	lock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return
	}
	defer lock.Close()
	var d digests
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &d) != nil || d.Schema != digestsSchema {
		d = digests{Schema: digestsSchema}
	}
	d.Entries = slices.DeleteFunc(d.Entries, func(e digestEntry) bool {
		_, err := parseDigest(e.SHA256)
		return err != nil
	})
	if !edit(&d) {
		return
	}
	if data, err = json.MarshalIndent(d, "", "\t"); err != nil {
		return
	}
	partial := path + ".partial" // ours alone, by the lock
	if os.WriteFile(partial, data, 0o600) != nil || os.Rename(partial, path) != nil {
		os.Remove(partial)
	}
}
