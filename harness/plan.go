package harness

import (
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"

	"seatrial/harness/event"
	"seatrial/platforms"
)

// Job is a cell of the plan with the test that belongs to it.
type Job struct {
	Cell event.Cell
	Test Test
	// Subtests that were asked for; empty means all.
	Subtests []string
	// Skip is the reason for which the job will not run, if there is one.
	Skip string
	// SkipParts has the reasons for which single subtests will not run.
	SkipParts map[string]string

	platform platforms.Platform
}

// Plan makes the jobs of a run: each selected test on each platform. The order
// is alphabetical, or shuffled by a seed that is not 0; it depends on nothing
// else.
func Plan(selected []Selected, targets []platforms.Platform, seed uint64) []Job {
	var jobs []Job
	for _, p := range targets {
		caps := p.Capabilities()
		for _, s := range selected {
			jobs = append(jobs, Job{
				Cell: event.Cell{
					Test: s.Test.Name, Suite: s.Suite, Platform: caps.Platform, Arch: caps.Arch,
					Accel: caps.Accel, Image: caps.Image.Name,
				},
				Test: s.Test, Subtests: s.Subtests, Skip: reasonToSkip(s.Test, caps), platform: p,
			})
		}
	}
	if seed != 0 {
		r := rand.New(rand.NewPCG(seed, 0))
		r.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	}
	return jobs
}

// InShard returns the jobs of a plan that are in a shard; nil means all. A test
// is always in the same one of N shards, by a hash of its name.
func InShard(plan []Job, s *event.Shard) []Job {
	if s == nil {
		return plan
	}
	var jobs []Job
	for _, j := range plan {
		h := fnv.New32a()
		h.Write([]byte(j.Cell.Test))
		if int(h.Sum32()%uint32(s.N)) == s.I-1 {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// reasonToSkip says what the platform lacks, or is empty.
func reasonToSkip(t Test, caps platforms.Capabilities) string {
	if len(t.Needs.Archs) > 0 && !slices.Contains(t.Needs.Archs, caps.Arch) {
		return t.Needs.Why
	}
	if missing := caps.Has.Missing(t.PlatformNeeds()...); len(missing) > 0 {
		return lacks("platform "+caps.Platform, missing)
	}
	return ""
}

// PlatformNeeds lists what a test needs of its platform: what it says, and
// what follows from the machines that it asks for.
func (t Test) PlatformNeeds() []platforms.Capability {
	needs := slices.Clone(t.Needs.Platform)
	add := func(c platforms.Capability, when bool) {
		if when && !slices.Contains(needs, c) {
			needs = append(needs, c)
		}
	}
	spec := t.Needs.Spec
	add(platforms.MultiMachine, t.Needs.MachineCount() > 1)
	add(platforms.ManyNetworks, len(t.Needs.Networks) > 1)
	add(platforms.UserDataCap, t.Needs.UserData != "" || spec.UserData != nil)
	add(platforms.FirstBoot, t.Needs.Cold)
	add(platforms.ExtraDisks, len(spec.Disks) > 0)
	add(platforms.GrowDisk, spec.GrowDiskMiB > 0)
	add(platforms.TPM2, spec.TPM)
	add(platforms.FirmwareBIOS, spec.Firmware == platforms.BIOS)
	add(platforms.FirmwareUEFI, spec.Firmware == platforms.UEFI)
	add(platforms.FirmwareSecure, spec.Firmware == platforms.UEFISecure)
	add(platforms.InternetAccess, len(t.Needs.Internet) > 0)
	return needs
}

// Digest identifies a plan: its cells, subtests and images. A run may only be
// resumed under the digest it began with.
func Digest(jobs []Job) string {
	lines := make([]string, len(jobs))
	for i, j := range jobs {
		lines[i] = fmt.Sprintf("%s %s %s %s %s %s %s", j.Cell.Test, strings.Join(j.Subtests, ","), j.Cell.Suite,
			j.Cell.Platform, j.Cell.Arch, j.Cell.Accel, j.platform.Capabilities().Image.Digest)
	}
	slices.Sort(lines)
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(strings.Join(lines, "\n"))))
}
