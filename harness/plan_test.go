package harness

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/platforms"
	"seatrial/platforms/fake"
)

// onArch makes a platform of an architecture that lacks something.
func onArch(arch string, lacks ...platforms.Capability) platforms.Platform {
	return fake.New(fake.Options{Capabilities: func(c *platforms.Capabilities) {
		c.Arch, c.Image.Name, c.Image.Digest = arch, arch+".img", "sha256:"+arch
		for _, l := range lacks {
			delete(c.Has, l)
		}
	}})
}

// selectedTests are n tests, t00 and so on.
func selectedTests(n int) []Selected {
	var all []Selected
	for i := range n {
		all = append(all, Selected{Suite: "s", Test: named(fmt.Sprintf("t%02d", i), nothing)})
	}
	return all
}

// cells are the cells of a plan in its order, as "test arch".
func cells(plan []Job) []string {
	var all []string
	for _, j := range plan {
		all = append(all, j.Cell.Test+" "+j.Cell.Arch)
	}
	return all
}

func TestPlanOrder(t *testing.T) {
	targets := []platforms.Platform{onArch("amd64"), onArch("arm64")}
	plain := cells(Plan(selectedTests(20), targets, 0))
	if plain[0] != "t00 amd64" || plain[20] != "t00 arm64" || !slices.IsSorted(plain[:20]) {
		t.Errorf("the order is %v", plain)
	}
	shuffled := cells(Plan(selectedTests(20), targets, 7))
	if again := cells(Plan(selectedTests(20), targets, 7)); !cmp.Equal(shuffled, again) {
		t.Errorf("the same seed gave %v and %v", shuffled, again)
	}
	if other := cells(Plan(selectedTests(20), targets, 8)); cmp.Equal(shuffled, other) || cmp.Equal(shuffled, plain) {
		t.Errorf("another seed gave the same order %v", shuffled)
	}
	slices.Sort(shuffled)
	slices.Sort(plain)
	if diff := cmp.Diff(plain, shuffled); diff != "" {
		t.Errorf("the shuffle changed the cells:\n%s", diff)
	}
}

// TestShards: the shards of a plan are the plan, each cell once, and do not
// depend on its order or on other tests.
func TestShards(t *testing.T) {
	const n = 3
	targets := []platforms.Platform{onArch("amd64"), onArch("arm64")}
	plan := Plan(selectedTests(40), targets, 0)
	if got := InShard(plan, nil); len(got) != len(plan) {
		t.Errorf("without shards there are %d of %d jobs", len(got), len(plan))
	}
	var all []string
	for i := range n {
		s := &event.Shard{I: i + 1, N: n}
		part := cells(InShard(plan, s))
		if len(part) < len(plan)/n/2 {
			t.Errorf("shard %d has %d of %d cells", s.I, len(part), len(plan))
		}
		shuffled := cells(InShard(Plan(selectedTests(40), targets, 99), s))
		slices.Sort(shuffled)
		if diff := cmp.Diff(slices.Sorted(slices.Values(part)), shuffled); diff != "" {
			t.Errorf("shard %d depends on the order:\n%s", s.I, diff)
		}
		few := cells(InShard(Plan(selectedTests(10), targets, 0), s))
		if missing := slices.DeleteFunc(few, func(c string) bool { return slices.Contains(part, c) }); len(missing) > 0 {
			t.Errorf("shard %d had %v before there were more tests", s.I, missing)
		}
		all = append(all, part...)
	}
	want := cells(plan)
	slices.Sort(all)
	slices.Sort(want)
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("all shards together (-want +got):\n%s", diff)
	}
}

// TestDigest: a plan is another one when its cells, subtests or images are.
func TestDigest(t *testing.T) {
	amd64, arm64 := onArch("amd64"), onArch("arm64")
	digest := func(selected []Selected, seed uint64, targets ...platforms.Platform) string {
		return Digest(Plan(selected, targets, seed))
	}
	base := digest(selectedTests(5), 0, amd64, arm64)
	if !strings.HasPrefix(base, "sha256:") {
		t.Errorf("the digest is %q", base)
	}
	if got := digest(selectedTests(5), 42, arm64, amd64); got != base {
		t.Error("the digest depends on the order")
	}
	part := selectedTests(5)
	part[0].Subtests = []string{"x"}
	otherSuite := selectedTests(5)
	otherSuite[0].Suite = "z"
	otherImage := fake.New(fake.Options{Capabilities: func(c *platforms.Capabilities) {
		c.Image.Name, c.Image.Digest = "amd64.img", "sha256:other"
	}})
	for name, other := range map[string]string{
		"fewer tests":  digest(selectedTests(4), 0, amd64, arm64),
		"fewer images": digest(selectedTests(5), 0, amd64),
		"subtests":     digest(part, 0, amd64, arm64),
		"suite":        digest(otherSuite, 0, amd64, arm64),
		"image":        digest(selectedTests(5), 0, otherImage, arm64),
	} {
		if other == base {
			t.Errorf("%s: the digest is the same", name)
		}
	}
}

// TestReasonToSkip: what a platform lacks skips the test, with the reason.
func TestReasonToSkip(t *testing.T) {
	tests := []struct {
		name  string
		needs Needs
		lacks platforms.Capability
		want  string
	}{
		{"nothing", Needs{}, "", ""},
		{"one machine", Needs{}, platforms.MultiMachine, ""},
		{"machines", Needs{Machines: 2}, platforms.MultiMachine, "platform fake lacks multi-machine"},
		{"networks", Needs{Networks: make([]platforms.NetworkSpec, 2)}, platforms.ManyNetworks, "platform fake lacks many-networks"},
		{"user data", Needs{UserData: "#!/bin/sh"}, platforms.UserDataCap, "platform fake lacks user-data"},
		{"cold", Needs{Cold: true}, platforms.FirstBoot, "platform fake lacks first-boot"},
		{"disks", Needs{Spec: platforms.MachineSpec{Disks: make([]platforms.Disk, 1)}}, platforms.ExtraDisks, "platform fake lacks extra-disks"},
		{"larger disk", Needs{Spec: platforms.MachineSpec{GrowDiskMiB: 1}}, platforms.GrowDisk, "platform fake lacks grow-disk"},
		{"BIOS", Needs{Spec: platforms.MachineSpec{Firmware: platforms.BIOS}}, platforms.FirmwareBIOS, "platform fake lacks firmware-bios"},
		{"UEFI", Needs{Spec: platforms.MachineSpec{Firmware: platforms.UEFI}}, platforms.FirmwareUEFI, "platform fake lacks firmware-uefi"},
		{"TPM, secure boot and the internet", Needs{
			Spec: platforms.MachineSpec{TPM: true, Firmware: platforms.UEFISecure}, Internet: []string{"example.org"},
		}, "", "platform fake lacks tpm2, firmware-secure and internet"},
		{"said twice", Needs{Platform: []platforms.Capability{platforms.MultiMachine}, Machines: 3}, platforms.MultiMachine, "platform fake lacks multi-machine"},
		{"this architecture", Needs{Archs: []string{"amd64"}, Why: "arm64 has no BIOS"}, "", ""},
		{"another architecture", Needs{Archs: []string{"arm64"}, Why: "amd64 has no EL2"}, "", "amd64 has no EL2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			test := named("t", fails)
			test.Needs = tt.needs
			p := onArch("amd64", tt.lacks)
			plan := Plan([]Selected{{Suite: "s", Test: test}}, []platforms.Platform{p}, 0)
			if plan[0].Skip != tt.want {
				t.Errorf("skipped, since %q; want %q", plan[0].Skip, tt.want)
			}
			if tt.want == "" {
				return
			}
			e := newEngine(t, fake.Options{})
			if _, err := Run(t.Context(), plan, e.Options); err != nil {
				t.Error(err)
			}
			if f := e.finished("t"); f.Outcome != event.Skip || f.Message != tt.want || f.Attempts != 0 {
				t.Errorf("it ended as %+v", f)
			}
		})
	}
}
