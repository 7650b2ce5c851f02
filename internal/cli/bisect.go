package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"seatrial/internal/runstore"
	"seatrial/internal/stats"
	"seatrial/internal/triage/blame"
)

func (a *app) bisectCommand() *cobra.Command {
	var f probeFlags
	var good, bad string
	cmd := &cobra.Command{
		Use:   "bisect --good IMAGE --bad IMAGE [IMAGE ...] TEST",
		Short: "Find the first image on which a test fails",
		Long: `Find, in a list of images in the order of their making, the first on which a test
fails. The test passes on the good image and fails on the bad one; the images
between them stand before the test's name. The list may contain the good and the
bad image, too: then what lies outside of them is left out.

Each image is tried several times. It is bad when the test failed at least twice
there as it does on the bad image, and good when nothing like that happened and
most repeats passed; other images are passed over. Where the failure is flaky,
images are tried twice as often. Exit code 3 means that no single image was found.`,
		Args: positional(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			images, err := imageRange(good, bad, words[:len(words)-1])
			if err != nil {
				return err
			}
			p, err := a.newProber(f, "bisect", words[len(words)-1])
			if err != nil {
				return err
			}
			ctx, stop := a.interruptible(cmd.Context())
			defer stop()
			return p.bisect(ctx, images)
		},
	}
	f.register(cmd.Flags(), 3)
	cmd.Flags().StringVar(&good, "good", "", "image on which the test passes")
	cmd.Flags().StringVar(&bad, "bad", "", "image on which the test fails")
	return cmd
}

// imageRange is the list from the good image to the bad one.
func imageRange(good, bad string, between []string) ([]string, error) {
	if good == "" || bad == "" {
		return nil, usagef("bisect needs an image on which the test passes and one on which it fails: --good IMAGE --bad IMAGE")
	}
	list := unique(between)
	from, to := slices.Index(list, good), slices.Index(list, bad)
	if good == bad || from >= 0 && to >= 0 && to < from {
		return nil, usagef("the good image %s must come before the bad one %s", good, bad)
	}
	if to >= 0 {
		list = list[:to]
	}
	return slices.Concat([]string{good}, list[from+1:], []string{bad}), nil
}

// bisection is the content of bisect.json.
type bisection struct {
	Schema int      `json:"schema"`
	Test   string   `json:"test"`
	Arch   string   `json:"arch"`
	Images []string `json:"images"`
	blame.Found
	Runs  []string `json:"runs"` // run directories, by step
	Error string   `json:"error,omitempty"`
}

func (p *prober) bisect(ctx context.Context, images []string) error {
	b := bisection{Schema: 1, Test: p.test, Arch: p.flags.arch, Images: images}
	out := p.env.Stdout
	fmt.Fprintf(out, "bisect %s on %s: %d images, %d repeats\n", p.test, p.flags.arch, len(images), p.flags.repeats)
	found, err := blame.Bisect(ctx, blame.Search{
		Candidates: len(images), Repeats: p.flags.repeats,
		Probe: func(ctx context.Context, c, most int, enough func(blame.Tally) bool) (blame.Tally, error) {
			return p.probe(ctx, images[c], stem(images[c]), most, enough)
		},
		Tried: func(s blame.Step) {
			b.Runs = append(b.Runs, p.last)
			fmt.Fprintf(out, "  %-5s %s: %s\n", s.Verdict, images[s.Candidate], trialsText(s))
		},
	})
	b.Found = found
	if err != nil {
		b.Error = err.Error()
	}
	if len(found.Steps) == 0 {
		return err // nothing was tried to an end
	}
	saved := runstore.WriteFile(filepath.Join(p.flags.out, "bisect.json"), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(b)
	})
	return errors.Join(p.conclude(b, err), saved)
}

// conclude says what was found, and returns what decides the exit code.
func (p *prober) conclude(b bisection, err error) error {
	out := p.env.Stdout
	defer fmt.Fprintf(out, "runs: %s\n", p.flags.out)
	if end, ok := errors.AsType[*blame.EndError](err); ok {
		verdict := end.Step.Verdict
		if verdict == stats.StepSkip {
			return fmt.Errorf("bisect: %w", err)
		}
		return usagef("bisect: %w", err)
	}
	if err != nil {
		return fmt.Errorf("bisect: %w", err)
	}
	fmt.Fprintf(out, "failure: %s\n", b.Signature)
	if b.Flaky {
		fmt.Fprintf(out, "it is flaky: a bad image fails in %.0f %% of the repeats\n", 100*b.Chance)
	}
	if b.Bad-b.Good > 1 {
		fmt.Fprintf(out, "last good image: %s\nfirst bad image: %s\n", b.Images[b.Good], b.Images[b.Bad])
		for _, image := range b.Images[b.Good+1 : b.Bad] {
			fmt.Fprintf(out, "could not be judged: %s\n", image)
		}
		return &exitError{Code: exitUnknown}
	}
	fmt.Fprintf(out, "first bad image: %s\nlast good image: %s\nconfidence: %.3f\n", b.Images[b.Bad], b.Images[b.Good], b.Confidence)
	return nil
}

// trialsText says how the repeats of a step ended.
func trialsText(s blame.Step) string {
	t := s.Trials
	text := fmt.Sprintf("%d of %d failed", t.Bad, t.Total())
	if t.Skip > 0 {
		text += fmt.Sprintf(", %d could not be judged", t.Skip)
	}
	if t.Infra > 0 {
		text += fmt.Sprintf(", %d ended in an error", t.Infra)
	}
	if s.Other != "" {
		text += fmt.Sprintf("; another failure: %s", s.Other)
	}
	return text
}
