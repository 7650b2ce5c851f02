package qemu

import (
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seatrial/platforms"
	"seatrial/platforms/platformtest"
)

// guests names the images that tests of real guests boot.
var guests = flag.String("guests", "", "images to boot, as arch=path,arch=path")

// guestImages parses the flag.
func guestImages(t testing.TB) map[string]string {
	t.Helper()
	images := make(map[string]string)
	for item := range strings.SplitSeq(*guests, ",") {
		if arch, path, ok := strings.Cut(item, "="); ok {
			images[arch] = path
		}
	}
	if len(images) == 0 {
		t.Skip("no image to boot: run with -guests amd64=PATH,arm64=PATH")
	}
	return images
}

// testOptions are those of a platform that keeps all its files in temporary directories.
func testOptions(t testing.TB, arch, image string) Options {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	runtime, err := os.MkdirTemp("", "sq") // short, unlike t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(runtime); err != nil {
			t.Error(err)
		}
	})
	return Options{
		Arch: arch, Accel: AccelTCG, Image: platforms.Image{Name: filepath.Base(image), Path: image},
		SSHKey: signer, IgnitionMax: "3.3.0",
		StateDir: t.TempDir(), CacheDir: t.TempDir(), RuntimeDir: filepath.Join(runtime, "r"), HostExe: exe,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func TestConformance(t *testing.T) {
	for arch, image := range guestImages(t) {
		t.Run(arch, func(t *testing.T) {
			platformtest.Run(t, func(t *testing.T) platformtest.Harness {
				o := testOptions(t, arch, image)
				o.Accel, o.TemplateDir = AccelAuto, t.TempDir()
				p, err := New(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				return platformtest.Harness{Platform: p, BootTime: 10 * time.Minute, CommandTime: 90 * time.Second}
			})
		})
	}
}
