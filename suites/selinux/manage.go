package selinux

import (
	"context"
	"fmt"
	"strings"
	"time"

	"seatrial/harness"
)

func manage() harness.Test {
	return harness.Test{
		Name:    "rhcos.selinux.manage",
		Tags:    []string{harness.TagSlow},
		Doc:     "A rule of the administrator's about a directory's label is obeyed, and stays over a reboot.",
		Timeout: 4 * time.Minute,
		Needs:   needs("semodule"),
		Run:     runManage,
		Sabotage: []harness.Sabotage{atBoot(harness.Sabotage{
			Name:    "removed-at-boot",
			Message: `after a reboot, .* is to be labelled`,
		}, "/usr/sbin/semodule --remove "+module)},
	}
}

// module is the policy module that has the rule. semodule takes its name from the
// file's.
const module = "seatrial-managed"

// managedLabel is one that no directory of data has by itself.
const managedLabel = "system_u:object_r:etc_t:s0"

func runManage(ctx context.Context, t *harness.T) {
	m := t.Machine(0)
	// Of a new name, so that no earlier rule is about it.
	dir := fmt.Sprintf("/srv/seatrial-%d", time.Now().UnixNano())
	file := dir + "/file"
	labels := func() (want, got string) {
		out := m.MustRoot(ctx, "matchpathcon -n "+file+" && stat -c %C "+file)
		want, got, _ = strings.Cut(out, "\n")
		return want, got
	}
	check := func(when string) {
		if want, got := labels(); want != managedLabel || got != managedLabel {
			t.Errorf("%s%s is to be labelled %s and is labelled %s, want %s", when, file, want, got, managedLabel)
		}
	}
	m.MustRoot(ctx, "mkdir "+dir+" && touch "+file)
	if want, _ := labels(); want == managedLabel {
		t.Fatalf("%s is to be labelled %s without a rule", file, want)
	}
	rule := fmt.Sprintf("(filecon %q any (system_u object_r etc_t ((s0) (s0))))\n", dir+"(/.*)?")
	path := "/var/lib/seatrial/" + module + ".cil"
	m.Upload(ctx, path, 0o644, []byte(rule))
	m.MustRoot(ctx, "semodule --install "+path+" && restorecon -RF "+dir)
	check("")
	m.Reboot(ctx)
	check("after a reboot, ")
}
