package debian

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSimulation(t *testing.T) {
	const out = `NOTE: This is only a simulation!
Inst libc6 (2.36-9+deb12u14 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [arm64]) []
Inst adduser (3.134 Debian:12.15/oldstable [all])
Conf libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [arm64])
`
	got, err := parseSimulation(out)
	if err != nil {
		t.Fatal(err)
	}
	want := []pkg{{"adduser", "3.134", "all"}, {"libc6", "2.36-9+deb12u14", "arm64"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(pkg{})); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if _, err := parseSimulation("Inst libc6 something\n"); err == nil {
		t.Error("a line of another form was taken")
	}
}

func TestPackageFileName(t *testing.T) {
	if got, want := (pkg{"vim-tiny", "2:9.0+x~1", "arm64"}).fileName(), "vim-tiny_2%3a9.0+x~1_arm64.deb"; got != want {
		t.Errorf("file name %q, want %q", got, want)
	}
}

func TestHostSources(t *testing.T) {
	write := func(t *testing.T, dir, name, text string) {
		t.Helper()
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []source
	}{
		{"deb822", map[string]string{"sources.list.d/debian.sources": `# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /keys/a.gpg

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main
`}, []source{{"http://mirror.example/debian", "bookworm", "/keys/a.gpg"}, {"http://mirror.example/debian", "bookworm-updates", "/keys/a.gpg"}}},
		{"one line", map[string]string{"sources.list": `deb [arch=amd64 signed-by=/keys/b.gpg] http://mirror.example/debian bookworm main # x
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/security bookworm-security main
`}, []source{{"http://mirror.example/debian", "bookworm", "/keys/b.gpg"}, {"http://mirror.example/security", "bookworm-security", keyring}}},
		{"third party only", map[string]string{
			"sources.list.d/x.list": "deb http://vendor.example/apt bookworm stable\n",
			"sources.list.d/y.off":  "deb http://mirror.example/debian bookworm main\n",
		}, defaultSources()},
		{"other release", map[string]string{"sources.list": "deb http://mirror.example/debian trixie main\n"}, defaultSources()},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range c.files {
				write(t, dir, name, text)
			}
			got, err := hostSources(dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(source{})); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
		})
	}
}

func TestControlRoundTrip(t *testing.T) {
	const text = "Package: a\nConffiles:\n /etc/a 123\n /etc/b 456\nDescription: x\n more\n .\n\nPackage: b\n\n"
	if got := formatControl(parseControl(text)); got != text {
		t.Errorf("round trip:\n%q\nwant\n%q", got, text)
	}
}
