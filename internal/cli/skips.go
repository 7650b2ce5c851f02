package cli

import (
	"cmp"
	"slices"
	"time"

	"seatrial/harness"
	"seatrial/harness/event"
	"seatrial/internal/consolecheck"
	"seatrial/internal/rollup"
	"seatrial/internal/triage/policy"
)

// applyKnown lets the entries act that keep tests from running, or the checks of
// consoles from failing them. The version of an image is known only if it was
// booted before; an entry for some versions does not act without it.
func applyKnown(jobs []harness.Job, known *policy.Known, now time.Time, version func(event.Cell) string) {
	if known == nil {
		return
	}
	for i := range jobs {
		j := &jobs[i]
		place := policy.Place{
			Platform: j.Cell.Platform, Arch: j.Cell.Arch, Accel: j.Cell.Accel, Image: j.Cell.Image, Version: version(j.Cell),
		}
		if e, ok := known.Skips(j.Cell.Test, place, now); ok && j.Skip == "" {
			j.Skip = skipReason(e)
		}
		skipParts(j, known, place, now)
		if _, ok := known.SkipsConsoleChecks(place, now); ok {
			for _, rule := range consolecheck.Rules() {
				if !slices.Contains(j.Test.Needs.Exempt, rule.Name) {
					j.Test.Needs.Exempt = append(slices.Clip(j.Test.Needs.Exempt), rule.Name)
				}
			}
		}
	}
}

// skipParts skips single subtests, and the test if that leaves nothing of it.
func skipParts(j *harness.Job, known *policy.Known, place policy.Place, now time.Time) {
	left := false
	var last string
	for _, s := range j.Test.Subtests {
		if len(j.Subtests) > 0 && !slices.Contains(j.Subtests, s.Name) {
			continue
		}
		e, ok := known.Skips(j.Cell.Test+"/"+s.Name, place, now)
		if !ok {
			left = true
			continue
		}
		if j.SkipParts == nil {
			j.SkipParts = make(map[string]string)
		}
		last = skipReason(e)
		j.SkipParts[s.Name] = last
	}
	if j.Skip == "" && !left {
		j.Skip = last
	}
}

func skipReason(e *policy.Entry) string {
	why := "known failure: " + cmp.Or(e.Reason, e.Tracker)
	if e.Reason != "" && e.Tracker != "" {
		why += ", " + e.Tracker
	}
	return why + " (" + e.At.String() + ")"
}

// versions tells the versions of images that were booted before.
func versions(images []event.Image, facts harness.FactsCache) func(event.Cell) string {
	return func(c event.Cell) string {
		for _, image := range images {
			if image.Name != c.Image || image.Arch != c.Arch {
				continue
			}
			if f, ok := facts.Load("sha256:" + image.SHA256); ok {
				return rollup.VersionOf(f.OSRelease)
			}
		}
		return ""
	}
}
