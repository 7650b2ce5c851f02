package image

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// packed returns data in each of the compressions that can be written here.
func packed(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	pack := func(open func(io.Writer) (io.WriteCloser, error)) []byte {
		var b bytes.Buffer
		w, err := open(&b)
		if err == nil {
			_, err = w.Write(data)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	return map[string][]byte{
		"gz":  pack(func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }),
		"xz":  pack(func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }),
		"zst": pack(func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }),
	}
}

// wantFile checks what a fetched file holds.
func wantFile(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s holds %d bytes (%v), want %d others", path, len(got), err, len(want))
	}
	if !filepath.IsAbs(path) {
		t.Errorf("%s is not absolute", path)
	}
}

// wantNothingLeft checks that the cache holds neither images nor parts of them.
func wantNothingLeft(t *testing.T, cacheDir string) {
	t.Helper()
	err := filepath.WalkDir(cacheDir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != storeLock && !strings.HasPrefix(e.Name(), digestsFile) {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestFetchPlainFileInPlace(t *testing.T) {
	data := noise(1 << 20)
	path := writeFile(t, "my disk.img", data)
	t.Chdir(filepath.Dir(path))
	asURL := (&url.URL{Scheme: "file", Path: path}).String()
	for _, source := range []string{path, "my disk.img", asURL} {
		for _, sum := range []string{"", hexSum(data)} {
			cacheDir := t.TempDir()
			got, err := Fetch(t.Context(), FetchOptions{Source: source, SHA256: sum, CacheDir: cacheDir})
			if err != nil || got != path {
				t.Errorf("Fetch(%q, %q) = %q, %v, want %q", source, sum, got, err, path)
			}
			wantNothingLeft(t, cacheDir)
		}
	}
}

func TestFetchCompressedFile(t *testing.T) {
	data := append(make([]byte, 3<<20), noise(1<<20)...)
	files := packed(t, data)
	for ext, content := range files {
		t.Run(ext, func(t *testing.T) {
			cacheDir := t.TempDir()
			source := writeFile(t, "disk.img."+ext, content)
			var done, total int64
			o := FetchOptions{Source: source, SHA256: hexSum(content), CacheDir: cacheDir, Progress: func(d, n int64) { done, total = d, n }}
			first, err := Fetch(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			wantFile(t, first, data)
			if filepath.Base(first) != "disk.img" {
				t.Errorf("the name is %s", filepath.Base(first))
			}
			if size := int64(len(content)); done != size || total != size {
				t.Errorf("progress ended at %d of %d, want %d", done, total, size)
			}
			st, err := os.Stat(first)
			if err != nil {
				t.Fatal(err)
			}
			if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Blocks*512 > 2<<20 {
				t.Errorf("1 MiB of data beside zeros takes %d bytes of the disk", sys.Blocks*512)
			}
			again, err := Fetch(t.Context(), o)
			if st2, err2 := os.Stat(again); err != nil || err2 != nil || !os.SameFile(st, st2) {
				t.Errorf("Fetch again = %s, %v: it was made anew", again, errors.Join(err, err2))
			}
		})
	}
}

func TestFetchBzip2(t *testing.T) {
	content, err := base64.StdEncoding.DecodeString("QlpoOTFBWSZTWSqvWUUAAAJZgAAQQAAQADKiQBAgACIAaZCAaaaMom+ASZeLuSKcKEgVV6yigA==")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Fetch(t.Context(), FetchOptions{Source: writeFile(t, "x.img.bz2", content), CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, got, []byte("bzip2 image\n"))
}

func TestFetchChangedFile(t *testing.T) {
	cacheDir := t.TempDir()
	source := writeFile(t, "disk.gz", packed(t, []byte("one"))["gz"])
	first, err := Fetch(t.Context(), FetchOptions{Source: source, CacheDir: cacheDir})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(source, packed(t, []byte("another"))["gz"], 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := Fetch(t.Context(), FetchOptions{Source: source, CacheDir: cacheDir})
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, first, []byte("one"))
	wantFile(t, second, []byte("another"))
}

func TestFetchRefuses(t *testing.T) {
	whole := packed(t, noise(1<<20))["gz"]
	cut := writeFile(t, "cut.gz", whole[:len(whole)/2])
	damaged := bytes.Clone(whole)
	copy(damaged[len(damaged)/2:], "a few other bytes, so that the checksum is wrong")
	for _, tc := range []struct {
		name, source, sum string
		want              error
		text              string
	}{
		{"nothing", "", "", ErrBadSource, "empty"},
		{"other scheme", "ftp://example.org/disk.img", "", ErrBadSource, `"ftp"`},
		{"no host", "http:///disk.img", "", ErrBadSource, "no host"},
		{"file on a host", "file://example.org/disk.img", "", ErrBadSource, "file:///PATH"},
		{"no URL", "http://[/disk.img", "", ErrBadSource, "no valid URL"},
		{"bad digest", cut, "12", ErrBadSource, "64 hex digits"},
		{"missing", "/no/such/disk.img", "", fs.ErrNotExist, "/no/such/disk.img"},
		{"directory", os.TempDir(), "", ErrNotImage, "a directory"},
		{"cut short", cut, "", ErrNotImage, "cut short"},
		{"damaged", writeFile(t, "damaged.gz", damaged), "", ErrNotImage, "damaged gzip data"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cacheDir := t.TempDir()
			_, err := Fetch(t.Context(), FetchOptions{Source: tc.source, SHA256: tc.sum, CacheDir: cacheDir})
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("Fetch() = %v, want %v with %q", err, tc.want, tc.text)
			}
			wantNothingLeft(t, cacheDir)
		})
	}
}

// A server serves one image, and counts the requests.
type server struct {
	*httptest.Server
	header   http.Header
	content  []byte
	requests atomic.Int32
}

func newServer(t *testing.T, content []byte, header http.Header) *server {
	s := &server{header: header, content: content}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	for k, v := range s.header {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(s.content)))
	_, _ = w.Write(s.content)
}

func TestFetchURL(t *testing.T) {
	content := packed(t, []byte("the image"))["zst"]
	s := newServer(t, content, http.Header{"Etag": {`"1"`}})
	cacheDir := t.TempDir()
	fetch := func(sum string) string {
		t.Helper()
		got, err := Fetch(t.Context(), FetchOptions{Source: s.URL + "/a/disk.img.zst?x=1", SHA256: sum, CacheDir: cacheDir})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := fetch("")
	wantFile(t, first, []byte("the image"))
	if filepath.Base(first) != "disk.img" {
		t.Errorf("the name is %s", filepath.Base(first))
	}
	st, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	if st2, err := os.Stat(fetch("")); err != nil || !os.SameFile(st, st2) {
		t.Errorf("the same ETag, but it was downloaded again (%v)", err)
	}
	fetch(hexSum(content))
	before := s.requests.Load()
	wantFile(t, fetch(hexSum(content)), []byte("the image"))
	if n := s.requests.Load() - before; n != 0 {
		t.Errorf("%d requests for what is there under its digest", n)
	}
	s.content, s.header = []byte("a newer one"), http.Header{"Etag": {`"2"`}}
	wantFile(t, fetch(""), []byte("a newer one"))
	s.content, s.header = []byte("nobody knows"), nil
	wantFile(t, fetch(""), []byte("nobody knows"))
	s.content = []byte("nobody cares")
	wantFile(t, fetch(""), []byte("nobody cares"))
	wantFile(t, first, []byte("the image")) // a run may still use it
}

func TestFetchURLOnceForAll(t *testing.T) {
	content := []byte("the image")
	s := newServer(t, content, nil)
	o := FetchOptions{Source: s.URL + "/disk.img", SHA256: hexSum(content), CacheDir: t.TempDir()}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := Fetch(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := s.requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestFetchURLWithOtherDigest(t *testing.T) {
	for name, content := range map[string][]byte{"plain": []byte("the image"), "damaged": []byte("\x1f\x8b\x08 no gzip")} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, content, nil)
			cacheDir := t.TempDir()
			_, err := Fetch(t.Context(), FetchOptions{Source: s.URL + "/disk.img", SHA256: hexSum(nil), CacheDir: cacheDir})
			if e, ok := errors.AsType[*DigestError](err); !ok || e.Got != hexSum(content) || e.Want != hexSum(nil) {
				t.Errorf("Fetch() = %v, want a DigestError", err)
			}
			wantNothingLeft(t, cacheDir)
		})
	}
}

func TestFetchURLErrors(t *testing.T) {
	// Each handler ends the download in its own way, after some of the image.
	some := func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(noise(200_000))
		_ = http.NewResponseController(w).Flush()
	}
	interrupted := errors.New("interrupted")
	var interrupt context.CancelCauseFunc
	for _, tc := range []struct {
		name   string
		handle http.HandlerFunc
		check  func(error) bool
	}{
		{"404", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, func(err error) bool {
			e, ok := errors.AsType[*StatusError](err)
			return ok && e.Code == http.StatusNotFound
		}},
		{"cut off", func(w http.ResponseWriter, r *http.Request) { some(w); panic(http.ErrAbortHandler) }, func(err error) bool {
			return errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrNotImage)
		}},
		{"stalled", func(w http.ResponseWriter, r *http.Request) { some(w); <-r.Context().Done() }, func(err error) bool {
			return strings.Contains(err.Error(), "sent nothing for 300ms")
		}},
		{"no answer", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(err error) bool {
			return strings.Contains(err.Error(), "sent nothing for 300ms")
		}},
		{"interrupted", func(w http.ResponseWriter, r *http.Request) { some(w); interrupt(interrupted) }, func(err error) bool {
			return errors.Is(err, interrupted)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var ctx context.Context
			ctx, interrupt = context.WithCancelCause(t.Context())
			defer interrupt(nil)
			s := httptest.NewServer(tc.handle)
			defer s.Close()
			o := FetchOptions{Source: s.URL + "/disk.img?signature=geheim", CacheDir: t.TempDir()}
			_, err := (&fetcher{FetchOptions: o, stall: 300 * time.Millisecond}).fetch(ctx)
			if err == nil || !tc.check(err) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("fetch() = %v", err)
			}
			wantNothingLeft(t, o.CacheDir)
		})
	}
}

func TestFetchHidesSecrets(t *testing.T) {
	s := newServer(t, nil, nil)
	source := strings.Replace(s.URL, "://", "://me:geheim@", 1) + "/disk.img?signature=geheim"
	s.Close()
	_, err := Fetch(t.Context(), FetchOptions{Source: source, CacheDir: t.TempDir()})
	if err == nil || strings.Contains(err.Error(), "geheim") || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Fetch() = %v", err)
	}
}

func TestFetchWaitsForLock(t *testing.T) {
	source := writeFile(t, "disk.gz", packed(t, []byte("one"))["gz"])
	o := FetchOptions{Source: source, CacheDir: t.TempDir()}
	s, err := openStore(t.Context(), o.CacheDir, source)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Fetch(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Fetch beside another: %v, want %v", err, context.DeadlineExceeded)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Fetch(t.Context(), o); err != nil {
		t.Errorf("Fetch afterwards: %v", err)
	}
}

func TestFetchSweeps(t *testing.T) {
	source := writeFile(t, "disk.gz", packed(t, []byte("one"))["gz"])
	o := FetchOptions{Source: source, CacheDir: t.TempDir()}
	dir := filepath.Join(o.CacheDir, "fetched", shortHash(source))
	old, recent := filepath.Join(dir, "old"), filepath.Join(dir, "recent")
	partial := filepath.Join(dir, partialPrefix+"123")
	if err := errors.Join(os.MkdirAll(old, 0o755), os.MkdirAll(recent, 0o755), os.WriteFile(partial, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	age(t, old, keepUnused+time.Hour)
	age(t, recent, keepUnused-time.Hour)
	if _, err := Fetch(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{old: false, recent: true, partial: false} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", path, err == nil, want)
		}
	}
}

func TestUnpackKeepsNoSpaceError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("there is no device without space here: %v", err)
	}
	defer full.Close()
	for name, content := range packed(t, noise(1<<20)) {
		in := newSource(bytes.NewReader(content), int64(len(content)), nil)
		err := unpack(full, in, compressionOf(content))
		if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrNotImage) {
			t.Errorf("%s: unpack() = %v, want %v", name, err, syscall.ENOSPC)
		}
	}
}

func TestUnpackTellsReadErrors(t *testing.T) {
	broken := errors.New("broken disk")
	contents := packed(t, noise(1<<20))
	contents["raw"] = noise(1 << 20)
	for name, content := range contents {
		f, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, cause := range []error{broken, io.ErrUnexpectedEOF} {
			r := io.MultiReader(bytes.NewReader(content[:len(content)/2]), iotest.ErrReader(cause))
			err := unpack(f, newSource(r, -1, nil), compressionOf(content))
			if !errors.Is(err, cause) || errors.Is(err, ErrNotImage) {
				t.Errorf("%s: unpack() = %v, want %v alone", name, err, cause)
			}
		}
	}
}

func TestFetchedName(t *testing.T) {
	for in, want := range map[string]string{
		"/a/disk.img.bz2": "disk.img", "disk.qcow2": "disk.qcow2", "": "image", "/": "image", "/..": "image",
		".xz": "image", "/a\nb": "a_b", strings.Repeat("x", 300) + ".img": strings.Repeat("x", maxName-4) + ".img",
	} {
		if got := fetchedName(in); got != want {
			t.Errorf("fetchedName(%q) = %q, want %q", in, got, want)
		}
	}
}
