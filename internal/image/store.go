package image

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

const (
	// keepUnused is how long the cache keeps an earlier version of a source that
	// nobody asked for.
	keepUnused = 30 * 24 * time.Hour
	// maxName is the most bytes that an image's file name has.
	maxName = 128

	partialPrefix = "partial-"
	storeLock     = "lock"
)

// A store is the part of the cache that belongs to one source, locked:
//
//	CACHE/fetched/<hash of the source>/lock
//	                                  /partial-*         being made
//	                                  /<hash of a version>/NAME
//
// Who holds the lock is the only one that makes anything in it, so a partial
// file found then is what a dead process left.
type store struct {
	dir  string
	lock *os.File
}

func openStore(ctx context.Context, cacheDir, source string) (*store, error) {
	dir, err := filepath.Abs(filepath.Join(cacheDir, "fetched", shortHash(source)))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := lockFile(ctx, filepath.Join(dir, storeLock))
	if err != nil {
		return nil, err
	}
	s := &store{dir, lock}
	if err := s.sweep(); err != nil {
		return nil, errors.Join(fmt.Errorf("sweep the image cache: %w", err), s.Close())
	}
	return s, nil
}

// Close gives the lock back.
func (s *store) Close() error { return s.lock.Close() }

// sweep removes what dead processes left, and versions out of use.
func (s *store) sweep() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), partialPrefix) {
			errs = append(errs, os.Remove(filepath.Join(s.dir, e.Name())))
			continue
		}
		st, err := e.Info()
		if err == nil && e.IsDir() && time.Since(st.ModTime()) > keepUnused {
			errs = append(errs, os.RemoveAll(filepath.Join(s.dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// find returns the path of a version that is there, and notes its use.
func (s *store) find(id, name string) (string, bool) {
	if id == "" {
		return "", false
	}
	dir := filepath.Join(s.dir, shortHash(id))
	kept := filepath.Join(dir, name)
	if st, err := os.Stat(kept); err != nil || !st.Mode().IsRegular() {
		return "", false
	}
	now := time.Now()
	_ = os.Chtimes(dir, now, now) // at worst it is fetched again after keepUnused
	return kept, true
}

// add unpacks a source to a file of that name, and returns its path. When all of
// it was read, accept says what version it is, or why it is none to keep.
func (s *store) add(name string, in *source, accept func() (id string, err error)) (string, error) {
	partial, err := os.CreateTemp(s.dir, partialPrefix)
	if err != nil {
		return "", err
	}
	id, err := fill(partial, in, accept)
	if err == nil {
		err = partial.Sync()
	}
	if err = errors.Join(err, partial.Close()); err != nil {
		return "", errors.Join(err, os.Remove(partial.Name()))
	}
	dir := filepath.Join(s.dir, shortHash(id))
	kept := filepath.Join(dir, name)
	if err := moveInto(dir, partial.Name(), kept); err != nil {
		return "", errors.Join(err, os.Remove(partial.Name()))
	}
	return kept, nil
}

// fill unpacks in to partial. Bytes that do not unpack are asked for their
// digest first: that they are the wrong ones says more.
func fill(partial *os.File, in *source, accept func() (string, error)) (id string, err error) {
	if err := partial.Chmod(0o644); err != nil {
		return "", err
	}
	buffered := bufio.NewReaderSize(in, sparseBlock)
	head, err := buffered.Peek(magicSize)
	if err != nil && err != io.EOF {
		return "", err
	}
	unpackErr := unpack(partial, buffered, compressionOf(head))
	if unpackErr != nil && !errors.Is(unpackErr, ErrNotImage) {
		return "", unpackErr
	}
	if _, err := io.Copy(io.Discard, buffered); err != nil {
		return "", err
	}
	if id, err = accept(); err != nil {
		return "", err
	}
	return id, unpackErr
}

// moveInto makes dir, moves a file there, and has the disk know.
func moveInto(dir, from, to string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:12])
}

// fetchedName returns the file name for the unpacked image of a path: without the
// ending that a compressed one has.
func fetchedName(p string) string {
	name := path.Base(filepath.ToSlash(p))
	for _, s := range suffixes() {
		if trimmed, ok := strings.CutSuffix(name, s); ok {
			name = trimmed
			break
		}
	}
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, name)
	name = name[max(0, len(name)-maxName):]
	if strings.Trim(name, "./") == "" {
		return "image"
	}
	return name
}

// A source is what an image is read from: it counts and hashes the bytes.
type source struct {
	r           io.Reader
	total, done int64
	progress    func(done, total int64)
	hash        hash.Hash
}

func newSource(r io.Reader, total int64, progress func(done, total int64)) *source {
	return &source{r: r, total: total, progress: progress, hash: sha256.New()}
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.done += int64(n)
	s.hash.Write(p[:n])
	if s.progress != nil && n > 0 {
		s.progress(s.done, s.total)
	}
	if err != nil && err != io.EOF {
		err = &sourceError{fmt.Errorf("after %d bytes: %w", s.done, err)}
	}
	return n, err
}

// sum returns the SHA-256 of what was read, in hex.
func (s *source) sum() string { return hex.EncodeToString(s.hash.Sum(nil)) }
