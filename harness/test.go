package harness

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"seatrial/harness/event"
	"seatrial/internal/consolecheck"
	"seatrial/internal/provision"
	"seatrial/platforms"
)

// Suite is a list of tests with one subject.
type Suite struct {
	Name, Doc string
	Tests     []Test
}

// Test is one test of an OS image.
type Test struct {
	// Name is unique in the catalogue: words of lower case letters, digits,
	// dashes and underscores, joined by dots. Where kola has the same test, its name is
	// kept.
	Name string
	// Doc says in a sentence what a pass proves.
	Doc string
	// Tags select tests: "needs-internet", "slow" and "destructive" are left
	// out unless asked for.
	Tags  []string
	Needs Needs
	// NonExclusive says that the test changes nothing that another test could
	// see: it may run on a machine on which others ran, and others after it.
	// Such a test has one machine and neither restarts it nor switches it off.
	NonExclusive bool
	// Timeout bounds Run, or all Subtests together, on a machine as fast as
	// the reference; it is multiplied by the measured slowness of the guest.
	// 0 means DefaultTimeout.
	Timeout time.Duration
	// A test has either Subtests, run in order in one cluster, or Run.
	Subtests []Subtest
	Run      func(ctx context.Context, t *T)
	// Sabotage lists ways to break a guest that the test must notice.
	Sabotage []Sabotage
}

// DefaultTimeout is the Timeout of a test that does not say.
const DefaultTimeout = time.Minute

// Subtest is a part of a test that can be selected by "test/subtest".
type Subtest struct {
	Name, Doc string
	// Needs of the image beyond those of the test; without them the subtest
	// is skipped.
	Image []platforms.Capability
	Run   func(ctx context.Context, t *T)
}

// Needs says what a test needs before it can run. What is missing makes it
// skipped, with the reason.
type Needs struct {
	// Machines that are booted before the test starts, named m0, m1 ...;
	// 0 means 1. Use NoMachines for none.
	Machines int
	// Spec is the template of each machine; names and user data are filled
	// in.
	Spec platforms.MachineSpec
	// UserData is the provisioning config of each machine: Ignition, Butane,
	// cloud-config or a script.
	UserData string
	// BootTimeout bounds the start of each machine like Timeout bounds Run;
	// 0 means DefaultBootTimeout.
	BootTimeout time.Duration
	// Platform and Image are the capabilities needed of each.
	Platform []platforms.Capability
	Image    []platforms.Capability
	// Archs that the test is meaningful on; none means all. Why says why the
	// others are left out.
	Archs []string
	Why   string
	// Internet lists the hosts outside that the test reaches; the test must
	// be tagged needs-internet.
	Internet []string
	// Files from outside the image that the test takes to its guests.
	Files []File
	// Networks of the cluster; none means one.
	Networks []platforms.NetworkSpec
	// Cold asks for machines that went through firmware and first boot.
	Cold bool
	// Degraded accepts machines on which units failed during boot.
	Degraded bool
	// Busy says that the test keeps its machines' CPUs at work, and breaks if
	// it is kept waiting for them. Half of the CPUs of others are counted when
	// they are admitted, since they wait for something most of the time.
	Busy bool
	// Exempt names rules of package consolecheck whose findings do not fail
	// the test, since it causes them itself.
	Exempt []string
}

// NoMachines is the value of Needs.Machines for tests that boot their own.
const NoMachines = -1

// DefaultBootTimeout bounds a machine's start on a machine as fast as the
// reference. Under emulation it is multiplied by bootSlowness.
const DefaultBootTimeout = 90 * time.Second

// Sabotage is a way to break a guest that a test must notice: a test that
// cannot fail proves nothing.
type Sabotage struct {
	// Name says what is broken, as a word that fits into a test's name.
	Name string
	// Subtest that must fail; empty means the test itself.
	Subtest string
	// Break and Undo are shell scripts, run as root on machine m0. Without
	// Undo the sabotage gets a cluster of its own.
	Break, Undo string
	// Serve takes the place of fixtures that the test serves; what is broken
	// then need not be in the guest.
	Serve Served
	// Class of the failure; empty means event.Assertion.
	Class event.Class
	// Message is a regular expression that the failure's message must match.
	Message string
}

// The tags that the default selection leaves out.
const (
	TagInternet    = "needs-internet"
	TagSlow        = "slow"
	TagDestructive = "destructive"
)

var (
	testName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*$`)
	subtestName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?$`)
)

// Validate checks a catalogue: every fault of every test is in the error.
func Validate(suites []Suite) error {
	var errs []error
	seen := map[string]string{}
	for _, s := range suites {
		for _, t := range s.Tests {
			if other, ok := seen[t.Name]; ok {
				errs = append(errs, fmt.Errorf("test %s is in suite %s and in suite %s", t.Name, other, s.Name))
			}
			seen[t.Name] = s.Name
			if err := t.validate(); err != nil {
				errs = append(errs, fmt.Errorf("test %s (suite %s): %w", t.Name, s.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (t Test) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !testName.MatchString(t.Name) {
		bad("name is not lower case words joined by dots")
	}
	if t.Doc == "" {
		bad("no doc")
	}
	if (t.Run == nil) == (len(t.Subtests) == 0) {
		bad("needs either Run or Subtests")
	}
	names := map[string]bool{"": t.Run != nil}
	for _, s := range t.Subtests {
		if !subtestName.MatchString(s.Name) || names[s.Name] {
			bad("subtest %q: name is illegal or used twice", s.Name)
		}
		if s.Run == nil {
			bad("subtest %q: no Run", s.Name)
		}
		names[s.Name] = true
		errs = append(errs, checkImageCapabilities(s.Image))
	}
	if n := t.Needs; t.NonExclusive && (n.MachineCount() != 1 || len(n.Networks) > 0 || len(n.Platform) > 0 || len(n.Internet) > 0) {
		bad("a test that is not exclusive has one machine, and needs nothing of the platform")
	}
	if len(t.Needs.Archs) > 0 && t.Needs.Why == "" {
		bad("Needs.Archs without Needs.Why")
	}
	if len(t.Needs.Internet) > 0 != t.HasTag(TagInternet) {
		bad("Needs.Internet and the tag %s go together", TagInternet)
	}
	if _, err := provision.Detect([]byte(t.Needs.UserData)); err != nil {
		bad("user data: %w", err)
	}
	errs = append(errs, checkImageCapabilities(t.Needs.Image))
	if err := (consolecheck.Config{Exempt: t.Needs.Exempt}).Validate(); err != nil {
		bad("exempt rules: %w", err)
	}
	for _, s := range t.Sabotage {
		if !names[s.Subtest] {
			bad("sabotage %s: no subtest %q", s.Name, s.Subtest)
		}
		if !testName.MatchString(s.Name) || s.Break == "" && len(s.Serve) == 0 {
			bad("sabotage %q: illegal name or nothing to break", s.Name)
		}
		if _, err := regexp.Compile(s.Message); err != nil || s.Message == "" {
			bad("sabotage %s: message is not a regular expression: %v", s.Name, err)
		}
	}
	return errors.Join(errs...)
}

func checkImageCapabilities(cs []platforms.Capability) error {
	known := imageCapabilities()
	for _, c := range cs {
		if _, ok := known[c]; !ok {
			return fmt.Errorf("image capability %q is not one that the probe knows", c)
		}
	}
	return nil
}

// HasTag reports whether the test is tagged with tag.
func (t Test) HasTag(tag string) bool {
	for _, have := range t.Tags {
		if have == tag {
			return true
		}
	}
	return false
}

// MachineCount is the number of machines that are booted before the test.
func (n Needs) MachineCount() int {
	switch n.Machines {
	case 0:
		return 1
	case NoMachines:
		return 0
	}
	return n.Machines
}
