package image

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// stallTimeout is how long a server may send nothing.
const stallTimeout = time.Minute

// FetchOptions say what Fetch gets, and where it puts it.
type FetchOptions struct {
	// Source is a path, or a file:, http: or https: URL.
	Source string
	// SHA256 is the digest that the source must have, in hex, of the bytes as they
	// are kept there: of the compressed file, if it is one. "" takes any.
	SHA256 string
	// CacheDir is where unpacked and downloaded images and digests are kept.
	CacheDir string
	// Progress, if set, is told how many bytes of the source were read, and how
	// many there are, or -1 if that is unknown. It is called often.
	Progress func(done, total int64)
}

// Fetch makes an image available as an uncompressed local file, and returns its
// absolute path. What is inside is for Inspect to judge.
//
// A local file that is not compressed is used where it is. A compressed one
// (gzip, bzip2, xz, zstd, told by its magic number) and what comes from a URL is
// kept in the cache until its source changes, and made only once if several
// processes ask. With SHA256, a cached download is found without the network.
// Without it, the server's ETag, Last-Modified and length say whether the cached
// one is still good; a server that tells neither of the first two is read anew.
//
// An interrupt or an error leaves no half-made image behind: a partial file is
// removed at once, or by the next Fetch of the source if the process was killed.
// The errors that are the user's are listed in the package's comment. An error
// of the disk, such as syscall.ENOSPC, is wrapped as it is.
func Fetch(ctx context.Context, o FetchOptions) (string, error) {
	f := &fetcher{FetchOptions: o, stall: stallTimeout}
	path, err := f.fetch(ctx)
	if err != nil {
		return "", fmt.Errorf("fetch image %s: %w", displayName(o.Source), err)
	}
	return path, nil
}

// A fetcher does one Fetch.
type fetcher struct {
	FetchOptions
	stall time.Duration
}

func (f *fetcher) fetch(ctx context.Context) (string, error) {
	if f.SHA256 != "" {
		var err error
		if f.SHA256, err = parseDigest(f.SHA256); err != nil {
			return "", err
		}
	}
	scheme, _, isURL := strings.Cut(f.Source, "://")
	if !isURL {
		if f.Source == "" {
			return "", fmt.Errorf("%w: it is empty", ErrBadSource)
		}
		return f.fetchFile(ctx, f.Source)
	}
	u, err := url.Parse(f.Source)
	if err != nil {
		return "", fmt.Errorf("%w: it is no valid URL", ErrBadSource)
	}
	switch strings.ToLower(scheme) {
	case "file":
		if u.Host != "" && u.Host != "localhost" {
			return "", fmt.Errorf("%w: a file: URL with the host %q; write file:///PATH", ErrBadSource, u.Host)
		}
		return f.fetchFile(ctx, u.Path)
	case "http", "https":
		if u.Host == "" {
			return "", fmt.Errorf("%w: the URL has no host", ErrBadSource)
		}
		return f.fetchURL(ctx, u)
	default:
		return "", fmt.Errorf("%w: scheme %q; give a path, or a file:, http: or https: URL", ErrBadSource, scheme)
	}
}

// displayName returns a source without what may be secret in a URL: the user's
// password, and the query, in which signed URLs have their keys.
func displayName(source string) string {
	if !strings.Contains(source, "://") {
		return source
	}
	u, err := url.Parse(source)
	if err != nil {
		scheme, _, _ := strings.Cut(source, "://")
		return scheme + "://..."
	}
	u.RawQuery, u.Fragment = "", ""
	return u.Redacted()
}

func (f *fetcher) fetchFile(ctx context.Context, path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	file, size, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	head := make([]byte, min(magicSize, size))
	if _, err := file.ReadAt(head, 0); err != nil && err != io.EOF {
		return "", err
	}
	if f.SHA256 != "" {
		if err := Verify(ctx, f.CacheDir, path, f.SHA256); err != nil {
			return "", err
		}
	}
	c := compressionOf(head)
	if c == uncompressed {
		return path, nil
	}
	before, err := stampOf(file, path)
	if err != nil {
		return "", err
	}
	s, err := openStore(ctx, f.CacheDir, path)
	if err != nil {
		return "", err
	}
	defer s.Close()
	name := fetchedName(path)
	id := fmt.Sprintf("file %d %d %d", before.Size, before.ModTime, before.Inode)
	if kept, ok := s.find(id, name); ok {
		return kept, nil
	}
	in := newSource(&ctxReader{ctx, file}, size, f.Progress)
	return s.add(name, in, func() (string, error) {
		after, err := stampOf(file, path)
		if err == nil && after != before {
			err = fmt.Errorf("%s changed while it was read", path)
		}
		return id, err
	})
}

// A StatusError is a server's answer other than the image.
type StatusError struct {
	Code   int
	Status string // "404 Not Found"
}

func (e *StatusError) Error() string { return "the server answered " + e.Status }

func (f *fetcher) fetchURL(ctx context.Context, u *url.URL) (string, error) {
	s, err := openStore(ctx, f.CacheDir, f.Source)
	if err != nil {
		return "", err
	}
	defer s.Close()
	name, id := fetchedName(u.Path), ""
	if f.SHA256 != "" {
		id = "sha256:" + f.SHA256
		if kept, ok := s.find(id, name); ok {
			return kept, nil
		}
	}
	w, ctx := newWatchdog(ctx, f.stall)
	defer w.Close()
	resp, err := get(ctx, w, u)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", &StatusError{Code: resp.StatusCode, Status: resp.Status}
	}
	if id == "" {
		id = validators(resp)
		if kept, ok := s.find(id, name); ok {
			return kept, nil
		}
	}
	in := newSource(w.reader(ctx, resp.Body), resp.ContentLength, f.Progress)
	return s.add(name, in, func() (string, error) {
		sum := in.sum()
		switch {
		case f.SHA256 != "" && sum != f.SHA256:
			return "", &DigestError{Source: displayName(f.Source), Want: f.SHA256, Got: sum}
		case id == "":
			return "sha256:" + sum, nil
		}
		return id, nil
	})
}

// validators returns what tells this version of a download from others; "" if
// the server does not say.
func validators(resp *http.Response) string {
	tag, modified := resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	if tag == "" && modified == "" {
		return ""
	}
	return fmt.Sprintf("http %q %q %d", tag, modified, resp.ContentLength)
}
