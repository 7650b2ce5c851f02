package docker

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/suites/internal/containers"
)

func seccomp() harness.Test {
	return harness.Test{
		Name:    "docker.seccomp",
		Doc:     "The default seccomp profile is in force, and denies the system calls of this architecture that it must; a profile of the user's is obeyed.",
		Timeout: 2 * time.Minute,
		Needs:   harness.Needs{Image: needs("docker"), Platform: fixtures(), Spec: running()},
		Subtests: []harness.Subtest{
			{Name: "default-profile", Doc: "Calls that the profile denies fail with EPERM, and without a profile they do not.", Run: defaultProfile},
			{Name: "own-profile", Doc: "A call that a profile of the user's denies fails as the profile says.", Run: ownProfile},
		},
		Sabotage: []harness.Sabotage{
			{
				Name: "profile-allows-everything", Subtest: "default-profile",
				Break: allowEverything + daemonSabotage(`."seccomp-profile" = "/etc/docker/allow.json"`), Undo: mendDaemon,
				Message: `keyctl .* is not denied`,
			},
			withRuntime(harness.Sabotage{Name: "no-seccomp", Subtest: "default-profile", Message: `Seccomp is "0", want "2"`}, `del(.linux.seccomp)`),
			withRuntime(harness.Sabotage{Name: "own-profile-ignored", Subtest: "own-profile", Message: `mkdir ended with "ok", want "EXDEV"`}, `del(.linux.seccomp)`),
		},
	}
}

func defaultProfile(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	m := t.Machine(0)
	t.Report(containers.Differences(map[string]string{"Seccomp": "2"},
		containers.StatusFields(m.MustRoot(ctx, container(image, "", "cat", "/proc/self/status")))))
	confined := m.MustRoot(ctx, container(image, "", "syscalls"))
	free := m.MustRoot(ctx, container(image, "--security-opt seccomp=unconfined", "syscalls"))
	t.Logf("with the profile: %s, without: %s", confined, free)
	t.Report(containers.ProfileFaults(append(containers.ArchCalls(t.Arch()), deniedCalls()...), confined, free))
	// Programs fall back to clone when clone3 seems not to be there; EPERM
	// would break them.
	if !strings.Contains(confined, `"clone3":"ENOSYS"`) {
		t.Errorf("under the default seccomp profile clone3 must seem not to be implemented: %s", confined)
	}
}

// deniedCalls lists the calls of the probe that Docker's default profile denies
// to a container without further capabilities, on every architecture.
func deniedCalls() []string {
	return []string{
		"add_key", "get_mempolicy", "keyctl", "mount", "move_pages", "personality", "request_key", "setns", "unshare", "userfaultfd",
	}
}

// The user's own profile denies one call, with an error that it never has.
const ownProfilePath = "/run/seatrial-seccomp.json"

func ownProfile(ctx context.Context, t *harness.T) {
	image := pull(ctx, t)
	const exdev = 18
	t.Machine(0).Upload(ctx, ownProfilePath, 0o644, marshal(t, map[string]any{
		"defaultAction": "SCMP_ACT_ALLOW",
		"syscalls": []any{map[string]any{
			"names": []string{"mkdir", "mkdirat"}, "action": "SCMP_ACT_ERRNO", "errnoRet": exdev,
		}},
	}))
	out := t.Machine(0).MustRoot(ctx, container(image, "--security-opt seccomp="+ownProfilePath, "syscalls"))
	var got map[string]string
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("the probe printed %q: %v", out, err)
	}
	if got["mkdir"] != "EXDEV" {
		t.Errorf("under a seccomp profile that denies it, mkdir ended with %q, want %q", got["mkdir"], "EXDEV")
	}
	if got["keyctl"] == "" || got["keyctl"] == "EPERM" {
		t.Errorf("keyctl ended with %q under a seccomp profile that does not name it", got["keyctl"])
	}
}
