package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"seatrial/harness"
	"seatrial/harness/event"
	"seatrial/internal/triage/blame"
	"seatrial/platforms"
	"seatrial/platforms/fake"
)

// lab is a program whose images are fake. What the command "check" does on one,
// a string says: "." passes, "f" fails, "o" fails otherwise, "e" is an error
// of the platform; each try takes the next letter, over and over.
type lab struct {
	prober *prober
	out    *os.File

	mu    sync.Mutex
	tried map[string]int
}

func newLab(t *testing.T, images map[string]string) *lab {
	t.Helper()
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	errs, err := os.Create(filepath.Join(dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { errs.Close() })
	l := &lab{out: out, tried: map[string]int{}}
	a := &app{
		args: []string{"seatrial"}, log: slog.New(slog.DiscardHandler),
		env: Env{Stdout: out, Stderr: errs, Getenv: func(name string) string {
			return map[string]string{"XDG_CACHE_HOME": dir, "XDG_STATE_HOME": dir}[name]
		}},
		suites: []harness.Suite{{Name: "lab", Tests: []harness.Test{{
			Name: "lab.check", Doc: "Runs a command.",
			Run: func(ctx context.Context, t *harness.T) { t.Machine(0).Must(ctx, "check") },
		}}}},
	}
	l.prober, err = a.newProber(probeFlags{arch: "amd64", accel: "auto", repeats: 3, timeoutScale: 1, out: filepath.Join(dir, "out")}, "bisect", "lab.check")
	if err != nil {
		t.Fatal(err)
	}
	l.prober.open = func(_ context.Context, f *targetFlags) (*targets, error) {
		image, err := f.imageFor("amd64")
		return l.targets(image, images[image]), err
	}
	return l
}

// targets makes the platform of an image.
func (l *lab) targets(image, ends string) *targets {
	p := fake.New(fake.Options{
		Capabilities: func(c *platforms.Capabilities) { c.Image = platforms.Image{Name: image, Digest: "sha256:" + image} },
		Exec: func(ctx context.Context, m *fake.Machine, cmd platforms.Command) (platforms.Result, error) {
			if cmd.Line != "check" {
				return m.Run(ctx, cmd)
			}
			l.mu.Lock()
			end := ends[l.tried[image]%len(ends)]
			l.tried[image]++
			l.mu.Unlock()
			switch end {
			case 'f':
				return platforms.Result{ExitCode: 1, Stderr: []byte("no luck\n")}, nil
			case 'o':
				return platforms.Result{ExitCode: 1, Stderr: []byte("something else\n")}, nil
			case 'e':
				return platforms.Result{}, errors.New("the host is ill")
			}
			return platforms.Result{}, nil
		},
	})
	return &targets{platforms: []platforms.Platform{p}, images: []event.Image{{Name: image, Arch: "amd64"}}}
}

// printed is what was written to standard output.
func (l *lab) printed(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(l.out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// codeOf is the exit code that Main gives an error.
func codeOf(err error) int {
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit.Code
	}
	if err != nil {
		return exitUnknown
	}
	return exitGo
}

func TestBisect(t *testing.T) {
	for _, test := range []struct {
		name  string
		ends  []string // of the images
		code  int
		lines []string // on standard output, or in the error
	}{
		{"steady", []string{".", ".", ".", "f", "f", "f"}, exitGo,
			[]string{"first bad image: 3.img", "last good image: 2.img", "bad   3.img: 2 of 2 failed", "good  2.img: 0 of 3 failed", "no luck"}},
		{"flaky", []string{".", ".", "..f", "..f"}, exitGo,
			[]string{"first bad image: 2.img", "last good image: 1.img", "it is flaky", "good  1.img: 0 of 6 failed"}},
		{"one cannot be judged", []string{".", "o", "f"}, exitUnknown,
			[]string{"first bad image: 2.img", "last good image: 0.img", "could not be judged: 1.img", "another failure: assertion: "}},
		{"not bad", []string{".", ".", "."}, exitUsage, []string{"the bad end is not bad: of 12 repeats 12 passed"}},
		{"not good", []string{"f", "f", "f"}, exitUsage, []string{"the good end is not good: of 2 repeats 0 passed, 2 failed alike"}},
		{"ill host", []string{".", "e", "f"}, exitUnknown, []string{"the platform spoiled 3 of 3 repeats"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ends, names := map[string]string{}, []string{}
			for i, e := range test.ends {
				name := fmt.Sprintf("%d.img", i)
				ends[name], names = e, append(names, name)
			}
			l := newLab(t, ends)
			err := l.prober.bisect(t.Context(), names)
			said := l.printed(t)
			if err != nil {
				said += err.Error()
			}
			for _, line := range test.lines {
				if !strings.Contains(said, line) {
					t.Errorf("%q is missing in:\n%s", line, said)
				}
			}
			if code := codeOf(err); code != test.code {
				t.Errorf("exit code %d, want %d: %v", code, test.code, err)
			}
			checkSaved(t, l.prober.flags.out)
		})
	}
}

// checkSaved looks whether each step of bisect.json has a run directory.
func checkSaved(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "bisect.json"))
	if err != nil {
		t.Fatal(err)
	}
	var b bisection
	if err := json.Unmarshal(data, &b); err != nil {
		t.Fatal(err)
	}
	if len(b.Runs) != len(b.Steps) || len(b.Steps) < 1 {
		t.Errorf("%d runs of %d steps", len(b.Runs), len(b.Steps))
	}
	for _, run := range b.Runs {
		if _, err := os.Stat(filepath.Join(run, "report.json")); err != nil {
			t.Error(err)
		}
	}
}

func TestImageRange(t *testing.T) {
	for _, test := range []struct {
		good, bad, list, want string
	}{
		{"a", "e", "b c d", "a b c d e"},
		{"a", "e", "", "a e"},
		{"b", "d", "a b c d e", "b c d"},
		{"b", "e", "a b c", "b c e"},
		{"b", "a", "a b", ""},
		{"a", "a", "", ""},
		{"", "a", "", ""},
	} {
		got, err := imageRange(test.good, test.bad, strings.Fields(test.list))
		if want := strings.Fields(test.want); !slices.Equal(got, want) || (err != nil) != (len(want) == 0) {
			t.Errorf("imageRange(%q, %q, %q) = %q, %v", test.good, test.bad, test.list, got, err)
		}
	}
}

// The old program is a script that writes the report which it is told to.
func TestInvestigate(t *testing.T) {
	for _, test := range []struct {
		name             string
		image, old       string // what new tests do there
		oldNew, oldOld   string // what old tests do: outcomes of a report, or an exit code
		cause            blame.Cause
		code             int
		againCell, onOld string
	}{
		{"product", "f", ".", "fail", "pass", blame.Product, exitGo, "again      fails", "old tests  fails"},
		{"test", "f", "f", "pass", "pass", blame.Test, exitGo, "again      fails", "old tests  passes"},
		{"infra", "f", "f", "fail", "fail", blame.Infra, exitGo, "again      fails", "both old   fails"},
		{"sporadic", ".f", ".", "pass", "pass", blame.Sporadic, exitGo, "again      mixed", "both old   passes"},
		{"unknown to the old program", "f", "f", "2", "2", blame.Unknown, exitUnknown, "again      fails", "old tests  unclear"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, map[string]string{"new.img": test.image, "old.img": test.old})
			program := filepath.Join(t.TempDir(), "old")
			script := fmt.Sprintf(`#!/bin/sh
while [ $# -gt 1 ]; do
	case $1 in
	--image) image=$2 ;;
	--out) out=$2 ;;
	esac
	shift
done
[ "$1" = lab.check ] || exit 9
case $image in new.img) end=%s ;; old.img) end=%s ;; esac
case $end in 2) exit 2 ;; esac
mkdir -p "$out"
echo '{"results": [{"test": "lab.check", "attempts": [{"outcome": "'$end'", "signature": "s"}]}]}' >"$out/report.json"
[ $end = pass ]
`, test.oldNew, test.oldOld)
			if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			err := l.prober.investigate(t.Context(), "new.img", "old.img", program)
			if code := codeOf(err); code != test.code {
				t.Errorf("exit code %d, want %d: %v", code, test.code, err)
			}
			said := l.printed(t)
			for _, want := range []string{"cause: " + string(test.cause) + ": ", test.againCell, test.onOld} {
				if !strings.Contains(said, want) {
					t.Errorf("%q is missing in:\n%s", want, said)
				}
			}
			if _, err := os.Stat(filepath.Join(l.prober.flags.out, "investigation.json")); err != nil {
				t.Error(err)
			}
		})
	}
}
