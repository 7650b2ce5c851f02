package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// age sets a file's time back, as the digest of one just written is not kept.
func age(t *testing.T, path string, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

func mustDigest(t *testing.T, cacheDir, path string) string {
	t.Helper()
	sum, err := Digest(t.Context(), cacheDir, path)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// forge replaces what the cache says about every file, to show that it is asked.
func forge(t *testing.T, cacheDir, sum string) {
	t.Helper()
	path := filepath.Join(cacheDir, digestsFile)
	var d digests
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Entries {
		d.Entries[i].SHA256 = sum
	}
	if data, err = json.Marshal(d); err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDigestIsRemembered(t *testing.T) {
	cacheDir := filepath.Join(t.TempDir(), "cache")
	path := writeFile(t, "image", []byte("one"))
	age(t, path, time.Hour)
	if got, want := mustDigest(t, cacheDir, path), hexSum([]byte("one")); got != want {
		t.Fatalf("Digest() = %s, want %s", got, want)
	}
	forged := strings.Repeat("ab", 32)
	forge(t, cacheDir, forged)
	if got := mustDigest(t, cacheDir, path); got != forged {
		t.Errorf("Digest() = %s: the file was read again", got)
	}
	age(t, path, time.Minute)
	if got, want := mustDigest(t, cacheDir, path), hexSum([]byte("one")); got != want {
		t.Errorf("Digest() of a changed file = %s, want %s", got, want)
	}
}

func TestDigestOfFreshFileIsNotRemembered(t *testing.T) {
	cacheDir := t.TempDir()
	path := writeFile(t, "image", []byte("one"))
	age(t, path, -time.Hour) // certainly not older than now
	mustDigest(t, cacheDir, path)
	if _, err := os.Stat(filepath.Join(cacheDir, digestsFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cache was written: %v", err)
	}
}

func TestDigestWithDamagedCache(t *testing.T) {
	path := writeFile(t, "image", []byte("one"))
	age(t, path, time.Hour)
	want := hexSum([]byte("one"))
	for _, damage := range []string{"", "{", `{"schema":99}`, `{"schema":1,"entries":[{"sha256":"zz"}]}`, "[]"} {
		cacheDir := t.TempDir()
		if err := os.WriteFile(filepath.Join(cacheDir, digestsFile), []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := mustDigest(t, cacheDir, path); got != want {
			t.Errorf("with %q: Digest() = %s, want %s", damage, got, want)
		}
		forge(t, cacheDir, strings.Repeat("cd", 32)) // it must be whole again
	}
	if got := mustDigest(t, filepath.Join(path, "no directory"), path); got != want {
		t.Errorf("without a cache: Digest() = %s, want %s", got, want)
	}
}

func TestDigestCacheIsBounded(t *testing.T) {
	cacheDir := t.TempDir()
	first := stamp{Path: "/first"}
	rememberDigest(t.Context(), cacheDir, digestEntry{first, hexSum(nil)})
	for i := range maxDigests + 10 {
		if _, ok := recallDigest(t.Context(), cacheDir, first); !ok {
			t.Fatalf("the file used last was dropped at %d", i)
		}
		rememberDigest(t.Context(), cacheDir, digestEntry{stamp{Path: fmt.Sprint(i)}, hexSum(nil)})
	}
	editDigests(t.Context(), cacheDir, func(d *digests) bool {
		if len(d.Entries) != maxDigests {
			t.Errorf("%d entries, want %d", len(d.Entries), maxDigests)
		}
		return false
	})
}

func TestDigestConcurrently(t *testing.T) {
	cacheDir, dir := t.TempDir(), t.TempDir()
	var wg sync.WaitGroup
	for i := range 8 {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
		age(t, path, time.Hour)
		wg.Go(func() {
			if got, err := Digest(t.Context(), cacheDir, path); err != nil || got != hexSum([]byte(path)) {
				t.Errorf("Digest() = %s, %v", got, err)
			}
		})
	}
	wg.Wait()
	editDigests(t.Context(), cacheDir, func(d *digests) bool {
		if len(d.Entries) != 8 {
			t.Errorf("%d entries, want 8: one was lost", len(d.Entries))
		}
		return false
	})
}

func TestDigestHonorsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Digest(ctx, t.TempDir(), writeFile(t, "image", []byte("one"))); !errors.Is(err, context.Canceled) {
		t.Errorf("Digest() = %v, want %v", err, context.Canceled)
	}
}

func TestVerify(t *testing.T) {
	cacheDir := t.TempDir()
	path := writeFile(t, "image", []byte("one"))
	sum := hexSum([]byte("one"))
	for _, want := range []string{sum, strings.ToUpper(sum), "sha256:" + sum} {
		if err := Verify(t.Context(), cacheDir, path, want); err != nil {
			t.Errorf("Verify(%s): %v", want, err)
		}
	}
	other := hexSum([]byte("two"))
	if e, ok := errors.AsType[*DigestError](Verify(t.Context(), cacheDir, path, other)); !ok || e.Want != other || e.Got != sum {
		t.Errorf("Verify of another file: %+v", e)
	}
	for _, bad := range []string{"", "abc", sum + "00", strings.Repeat("x", 64)} {
		if err := Verify(t.Context(), cacheDir, path, bad); !errors.Is(err, ErrBadSource) {
			t.Errorf("Verify(%q) = %v, want %v", bad, err, ErrBadSource)
		}
	}
}
