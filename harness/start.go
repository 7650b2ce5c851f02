package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"seatrial/internal/consolecheck"
	"seatrial/platforms"
)

// Start says how machines start on a platform that can fork them.
type Start string

// The values of Options.Start. Whatever it says, a test that asks for cold
// machines gets them.
const (
	StartAuto Start = "auto" // forks, but for machines with user data of their own
	StartFork Start = "fork" // forks, also of templates with user data of their own
	StartCold Start = "cold" // no forks
)

// forks reports whether a machine of the spec starts as a fork, as far as it
// goes by the test's needs and the policy. The platform may still have reasons
// to boot it cold.
func (t *target) forks(policy Start, needs Needs, spec platforms.MachineSpec) bool {
	switch {
	case t.forker == nil, policy == StartCold, needs.Cold, spec.Cold, spec.NoSSHKey:
		return false
	}
	return policy == StartFork || len(spec.UserData) == 0 && needs.UserData == ""
}

// templateKey names the template of machines of a spec: what differs between
// forks of one template is left out.
func templateKey(spec platforms.MachineSpec) string {
	spec.Name, spec.Console, spec.Progress = "", nil, nil
	return fmt.Sprintf("%q %+v", spec.UserData, spec)
}

// template makes sure that machines of the spec can be forked. An error means
// that they have to be booted cold: one that wraps ErrUnsupported because they
// always are, any other because the template could not be made, now or earlier
// in the run. A machine that cannot become one, by what its console says, is
// not waited for; exempt are the rules that do not count.
func (t *target) template(ctx context.Context, spec platforms.MachineSpec, exempt []string) error {
	key := templateKey(spec)
	t.mu.Lock()
	known := t.hopeless[key]
	t.mu.Unlock()
	if known != nil || t.forker.HasTemplate(spec) {
		return known
	}
	spec.Progress("waiting for a template")
	making, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	spec.Console = t.check("console", exempt).Scanner(func(f consolecheck.Finding) {
		if f.Severity == consolecheck.Dead {
			stop(errors.New("its console says: " + f.Title))
		}
	})
	err := t.forker.Template(making, spec)
	// An attempt that was ended says nothing of the template.
	if err != nil && (ctx.Err() == nil || errors.Is(context.Cause(ctx), errBootBudget)) {
		t.mu.Lock()
		t.hopeless[key] = err
		t.mu.Unlock()
	}
	return err
}

// canFork reports whether a fork of the spec would start without a template
// being made first, and whether there is hope that it ever will.
func (t *target) canFork(spec platforms.MachineSpec) (now, ever bool) {
	t.mu.Lock()
	hopeless := t.hopeless[templateKey(spec)] != nil
	t.mu.Unlock()
	return !hopeless && t.forker.HasTemplate(spec), !hopeless
}

// starts notes how the machines of an attempt came to run.
type starts struct {
	forked, cold []string // names of machines
	fallbacks    []string // machines with the reason for which they are no forks
}

// summary says how the attempt started, and why if it was planned otherwise.
func (s *starts) summary(planned string) (how, note string) {
	switch {
	case len(s.cold) > 0:
		how = "cold"
	case len(s.forked) > 0:
		how = "fork"
	default:
		return planned, ""
	}
	notes := slices.Clone(s.fallbacks)
	if len(s.cold) > 0 && len(s.forked) > 0 {
		notes = append(notes, fmt.Sprintf("%s forked, %s booted cold", joinAnd(s.forked), joinAnd(s.cold)))
	}
	return how, strings.Join(notes, "; ")
}

// note takes a machine that runs.
func (s *starts) note(machine string, how platforms.Start, fallback error) {
	if how == platforms.StartFork {
		s.forked = append(s.forked, machine)
		return
	}
	s.cold = append(s.cold, machine)
	if fallback != nil {
		s.fallbacks = append(s.fallbacks, fmt.Sprintf("%s fell back to a cold boot: %v", machine, fallback))
	}
}

// started asks a machine how it came to run.
func started(m platforms.Machine) (platforms.Start, error) {
	if s, ok := m.(platforms.Starter); ok {
		return s.Started()
	}
	return platforms.StartCold, nil
}
