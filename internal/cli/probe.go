package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"seatrial/harness"
	"seatrial/harness/event"
	"seatrial/internal/runstore"
	"seatrial/internal/triage/blame"
)

// probeFlags are the flags of the commands that run one test many times.
type probeFlags struct {
	arch         string
	accel        string
	repeats      int
	timeoutScale float64
	out          string
}

func (f *probeFlags) register(fs *pflag.FlagSet, repeats int) {
	fs.StringVar(&f.arch, "arch", runtime.GOARCH, "amd64 or arm64")
	fs.StringVar(&f.accel, "accel", "auto", "kvm, tcg, or auto: KVM where it is proven to work")
	fs.IntVar(&f.repeats, "repeat", repeats, "run the test so many times on each image")
	fs.Float64Var(&f.timeoutScale, "timeout-scale", 1, "factor for every time limit")
	fs.StringVar(&f.out, "out", "", "directory for the run directories (default runs/TIME-COMMAND-ID)")
}

// prober runs one test on images, by the code of `run`.
type prober struct {
	*app
	flags probeFlags
	test  string
	// open finds an image and makes its platform; openTargets but in tests.
	open func(context.Context, *targetFlags) (*targets, error)
	runs int    // so far
	last string // directory of the last
}

// newProber makes a prober for a test, and the directory for its runs.
func (a *app) newProber(f probeFlags, command, test string) (*prober, error) {
	p := &prober{app: a, flags: f, test: test, open: a.openTargets}
	if f.repeats < 1 {
		return nil, usagef("--repeat %d: want a number from 1 on", f.repeats)
	}
	if err := p.runFlags("").check(); err != nil {
		return nil, err
	}
	if _, err := p.selection(); err != nil {
		return nil, err
	}
	if p.flags.out == "" {
		name := fmt.Sprintf("%s-%s-%s", time.Now().UTC().Format("20060102-150405"), command, runstore.NewID())
		p.flags.out = filepath.Join(runsDir, name)
	}
	if entries, err := os.ReadDir(p.flags.out); err == nil && len(entries) > 0 {
		return nil, usagef("--out %s: the directory is not empty", p.flags.out)
	}
	return p, nil
}

// selection is the test, which must be a single one.
func (p *prober) selection() ([]harness.Selected, error) {
	selected, err := selectTests(p.suites, []string{p.test})
	if err == nil && len(selected) != 1 {
		return nil, usagef("%s matches %d tests: name one", p.test, len(selected))
	}
	return selected, err
}

// runFlags are those of a run on an image.
func (p *prober) runFlags(image string) *runFlags {
	f := &runFlags{
		targetFlags: targetFlags{platforms: []string{"qemu"}, archs: []string{p.flags.arch}, accel: p.flags.accel, start: "auto"},
		parallel:    "auto", repeat: p.flags.repeats, timeoutScale: p.flags.timeoutScale, keep: string(harness.KeepNever),
	}
	if image != "" {
		f.images = []string{p.flags.arch + "=" + image}
	}
	return f
}

// nextDir is the directory of the next run; what tells of it.
func (p *prober) nextDir(what string) string {
	p.runs++
	p.last = filepath.Join(p.flags.out, fmt.Sprintf("%02d-%s", p.runs, what))
	return p.last
}

// probe runs the test up to most times on an image ("" is the reference
// image), until enough is known. What the run prints goes to standard error.
func (p *prober) probe(ctx context.Context, image, what string, most int, enough func(blame.Tally) bool) (blame.Tally, error) {
	none := blame.Tally{}
	selected, err := p.selection()
	if err != nil {
		return none, err
	}
	f := p.runFlags(image)
	f.repeat, f.out = most, p.nextDir(what)
	machines, err := p.open(ctx, &f.targetFlags)
	if err != nil {
		return none, err
	}
	defer machines.Close()
	quiet := *p.app
	quiet.env.Stdout = p.env.Stderr
	counted := &counter{enough: enough, drain: make(chan struct{})}
	r := &run{app: &quiet, flags: f, watch: counted.see}
	result, err := r.on(ctx, counted.drain, selected, machines)
	if err != nil {
		return none, err
	}
	if cause := context.Cause(ctx); cause != nil {
		return none, cause
	}
	for _, row := range result.Results {
		if row.Outcome == event.Skip && len(row.Attempts) == 0 {
			return none, fmt.Errorf("%s on %s cannot run: %s", p.test, imageName(image), row.Message)
		}
	}
	return counted.tally, nil
}

// counter counts the attempts of a run, and stops it when that is enough.
type counter struct {
	tally  blame.Tally
	enough func(blame.Tally) bool
	drain  chan struct{}
}

// see counts an attempt. It is called for one event at a time.
func (c *counter) see(e event.Event) error {
	a, ok := e.Body.(*event.AttemptFinished)
	if !ok {
		return nil
	}
	c.tally.Add(a.Outcome, a.Signature)
	select {
	case <-c.drain:
	default:
		if c.enough(c.tally) {
			close(c.drain)
		}
	}
	return nil
}

// imageName is an image as it is shown.
func imageName(image string) string {
	if image == "" {
		return "the reference image"
	}
	return image
}

// stem is an image's name as part of a directory's.
func stem(image string) string {
	base := filepath.Base(image)
	return strings.TrimSuffix(base, filepath.Ext(base))
}
