package basic

import (
	"context"
	"slices"
	"time"

	"seatrial/harness"
	"seatrial/platforms"
)

// Suite returns the suite.
func Suite() harness.Suite {
	return harness.Suite{
		Name: "basic",
		Doc:  "What any systemd image must do right after it booted.",
		Tests: []harness.Test{
			clBasic(),
			internet(),
			filesystem(),
			listeners(),
			secondBoot(),
			overlayCleanup(),
			swapActivation(),
			userShells(),
			cloudinitBasic(),
			cloudinitMultipart(),
			cloudinitScript(),
			authVerify(),
			ntp(),
			reboot(),
			journalRemote(),
			journalUser(),
			gshadow(),
		},
	}
}

// flatcar is the image capability of what only Flatcar promises.
const flatcar platforms.Capability = "flatcar"

// needs shortens the lists of image capabilities.
func needs(cs ...platforms.Capability) []platforms.Capability { return cs }

// check is a subtest together with the ways to break a guest that it must
// notice.
type check struct {
	harness.Subtest
	sabotage []harness.Sabotage
}

// group makes a test of checks.
func group(t harness.Test, checks ...check) harness.Test {
	for _, c := range checks {
		t.Subtests = append(t.Subtests, c.Subtest)
		for _, s := range c.sabotage {
			s.Subtest = c.Name
			t.Sabotage = append(t.Sabotage, s)
		}
	}
	return t
}

func clBasic() harness.Test {
	return group(harness.Test{
		Name:    "cl.basic",
		Doc:     "The machine came up whole: services, files, kernel and network are what the image promises.",
		Timeout: 2 * time.Minute,
		Needs:   harness.Needs{Cold: true},
	}, slices.Concat(cloudinitChecks(), accessChecks(), imageChecks(), serviceChecks(), kernelChecks(), fileChecks(), networkChecks())...)
}

// judge makes the function of a subtest that asks machine 0 questions and lets
// a pure function find the faults in the answers.
func judge(faults func(answers) []string, questions ...question) func(context.Context, *harness.T) {
	return func(ctx context.Context, t *harness.T) {
		t.Report(faults(ask(ctx, t, questions...)))
	}
}
