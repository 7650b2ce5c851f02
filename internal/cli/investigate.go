package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"seatrial/internal/rollup"
	"seatrial/internal/runstore"
	"seatrial/internal/triage/blame"
)

// investigateFlags are the flags of `investigate`.
type investigateFlags struct {
	probeFlags
	image, oldImage, oldProgram string
}

func (a *app) investigateCommand() *cobra.Command {
	var f investigateFlags
	cmd := &cobra.Command{
		Use:   "investigate --old-image IMAGE --old-seatrial PATH TEST",
		Short: "Say whether the image, the test or something else is to blame for a failure",
		Long: `Run a test that failed four times over: the same again, with the old tests (those
of another seatrial), on the old image, and both. What passes and what fails tells
whether to blame the product, the test, the infrastructure around them, or chance.
Exit code 3 means that the runs do not tell.`,
		Args: positional(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			if f.oldImage == "" || f.oldProgram == "" {
				return usagef("investigate compares with a time when the test passed: --old-image IMAGE --old-seatrial PATH")
			}
			old, err := exec.LookPath(f.oldProgram)
			if err != nil {
				return usagef("--old-seatrial: %w", err)
			}
			p, err := a.newProber(f.probeFlags, "investigate", words[0])
			if err != nil {
				return err
			}
			ctx, stop := a.interruptible(cmd.Context())
			defer stop()
			return p.investigate(ctx, f.image, f.oldImage, old)
		},
	}
	f.register(cmd.Flags(), 2)
	fs := cmd.Flags()
	fs.StringVar(&f.image, "image", "", "the image on which the test failed (default: the reference image)")
	fs.StringVar(&f.oldImage, "old-image", "", "an image on which it passed")
	fs.StringVar(&f.oldProgram, "old-seatrial", "", "a seatrial with whose tests it passed")
	return cmd
}

// investigated is one of the four runs, and the content of investigation.json
// has all of them.
type investigated struct {
	Name  string      `json:"name"`
	Cell  blame.Cell  `json:"cell"`
	Tally blame.Tally `json:"tally"`
	Run   string      `json:"run"`
}

type investigation struct {
	Schema int            `json:"schema"`
	Test   string         `json:"test"`
	Arch   string         `json:"arch"`
	Runs   []investigated `json:"runs"`
	Cause  blame.Cause    `json:"cause"`
	Why    string         `json:"why"`
}

func (p *prober) investigate(ctx context.Context, image, oldImage, old string) error {
	if image == "" {
		reference, err := p.findImage(ctx, p.flags.arch, "")
		if err != nil {
			return err
		}
		image = reference.Path
	}
	all := func(blame.Tally) bool { return false }
	n := p.flags.repeats
	i := investigation{Schema: 1, Test: p.test, Arch: p.flags.arch}
	fmt.Fprintf(p.env.Stdout, "investigate %s on %s: %d repeats\n", p.test, p.flags.arch, n)
	for _, step := range []struct {
		name string
		run  func() (blame.Tally, error)
	}{
		{"again", func() (blame.Tally, error) { return p.probe(ctx, image, "again", n, all) }},
		{"old tests", func() (blame.Tally, error) { return p.probeOld(ctx, old, image, "old-tests") }},
		{"old image", func() (blame.Tally, error) { return p.probe(ctx, oldImage, "old-image", n, all) }},
		{"both old", func() (blame.Tally, error) { return p.probeOld(ctx, old, oldImage, "both-old") }},
	} {
		tally, err := step.run()
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		cell := tally.Cell()
		i.Runs = append(i.Runs, investigated{step.name, cell, tally, p.last})
		fmt.Fprintf(p.env.Stdout, "  %-10s %-8s %d of %d passed\n", step.name, cell, tally.Passed, tally.Total())
	}
	i.Cause, i.Why = blame.Judge(blame.FourWay{
		Again: i.Runs[0].Cell, OldTests: i.Runs[1].Cell, OldImage: i.Runs[2].Cell, OldBoth: i.Runs[3].Cell,
	})
	fmt.Fprintf(p.env.Stdout, "cause: %s: %s\nruns: %s\n", i.Cause, i.Why, p.flags.out)
	err := runstore.WriteFile(filepath.Join(p.flags.out, "investigation.json"), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(i)
	})
	if i.Cause == blame.Unknown {
		return errors.Join(&exitError{Code: exitUnknown}, err)
	}
	return err
}

// probeOld runs the test by another seatrial, of which nothing is relied on but
// what scripts may: flags, exit codes and report.json.
func (p *prober) probeOld(ctx context.Context, program, image, what string) (blame.Tally, error) {
	dir := p.nextDir(what)
	cmd := exec.CommandContext(ctx, program, "run", "--arch", p.flags.arch, "--accel", p.flags.accel, "--image", image,
		"--repeat", strconv.Itoa(p.flags.repeats), "--retries", "0", "--out", dir,
		"--timeout-scale", strconv.FormatFloat(p.flags.timeoutScale, 'g', -1, 64), p.test)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // running tests finish
	cmd.WaitDelay = time.Minute
	cmd.Stdout, cmd.Stderr = p.env.Stderr, p.env.Stderr
	err := cmd.Run()
	if cause := context.Cause(ctx); cause != nil {
		return blame.Tally{}, cause
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && !ok {
		return blame.Tally{}, err
	}
	if ok && !slices.Contains([]int{exitNoGo, exitUnknown}, exit.ExitCode()) {
		// Most likely the test is not there.
		fmt.Fprintf(p.env.Stderr, "seatrial: %s: %v\n", program, err)
		return blame.Tally{}, nil
	}
	return oldTally(filepath.Join(dir, "report.json"))
}

// oldTally reads a report.
func oldTally(path string) (blame.Tally, error) {
	var t blame.Tally
	data, err := os.ReadFile(path)
	if err != nil {
		return t, fmt.Errorf("read what the old seatrial found: %w", err)
	}
	var r rollup.Result
	if err := json.Unmarshal(data, &r); err != nil {
		return t, fmt.Errorf("read what the old seatrial found: %s: %w", path, err)
	}
	for _, row := range r.Results {
		for _, a := range row.Attempts {
			t.Add(a.Outcome, a.Signature)
		}
	}
	return t, nil
}
