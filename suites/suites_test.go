package suites

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"seatrial/harness"
	"seatrial/internal/fixtures/kubernetes"
	"seatrial/suites/selftest"
)

func TestCatalogueIsValid(t *testing.T) {
	if err := harness.Validate(All()); err != nil {
		t.Error(err)
	}
	if err := harness.Validate(harness.Twins(All())); err != nil {
		t.Errorf("twins: %v", err)
	}
}

// unsabotaged lists the tests and subtests that nothing proves able to fail on
// a real guest, and why.
func unsabotaged() map[string]string {
	const (
		onFlatcar = "no image that this project builds has what Flatcar promises"
		outside   = "the test needs the internet, and would be broken there"
		noRkt     = "no image that this project builds has rkt, which ended in 2019"
	)
	return map[string]string{
		"cl.basic/CloudConfig":      onFlatcar,
		"cl.basic/Script":           onFlatcar,
		"cl.basic/SymlinkFlatcar":   onFlatcar,
		"cl.basic/UpdateEngineKeys": onFlatcar,
		"cl.basic/ReadOnly":         onFlatcar,
		"cl.basic/RandomUUID":       onFlatcar,
		"cl.basic/Microcode":        onFlatcar,
		"cl.internet/UpdateEngine":  outside,
		"cl.internet/DockerEcho":    outside,
		"cl.internet/DockerPing":    outside,
		"cl.internet/NTPDate":       outside,
		"cl.overlay.cleanup":        onFlatcar,

		"docker.lib-coreos-dockerd-compat": onFlatcar,
		"rkt.base/cli":                     noRkt,
		"rkt.base/unit":                    noRkt,
	}
}

func TestEveryTestCanFail(t *testing.T) {
	excused := unsabotaged()
	for name, broken := range parts() {
		_, hasExcuse := excused[name]
		delete(excused, name)
		switch {
		case !broken && !hasExcuse:
			t.Errorf("%s has no sabotage, and no reason for that", name)
		case broken && hasExcuse:
			t.Errorf("%s has a sabotage, and a reason why it has none", name)
		}
	}
	for name := range excused {
		t.Errorf("there is no %s to be excused", name)
	}
}

// parts lists the tests and subtests outside the selftest suite, and whether a
// sabotage breaks them.
func parts() map[string]bool {
	found := map[string]bool{}
	for _, s := range All() {
		for _, test := range s.Tests {
			if test.HasTag(selftest.Tag) {
				continue
			}
			if test.Run != nil {
				found[test.Name] = false
			}
			for _, sub := range test.Subtests {
				found[test.Name+"/"+sub.Name] = false
			}
			for _, sabotage := range test.Sabotage {
				found[strings.TrimSuffix(test.Name+"/"+sabotage.Subtest, "/")] = true
			}
		}
	}
	return found
}

// TestSabotage wants sabotage to be undone, so that one machine serves for all of a
// test's, but for those whose comment says why not.
func TestSabotage(t *testing.T) {
	alone := []string{"google.kubernetes.basic.docker." + kubernetes.Release + "/etcd-masked"}
	for _, s := range All() {
		for _, test := range s.Tests {
			names := map[string]bool{"untouched": true}
			for _, sabotage := range test.Sabotage {
				if names[sabotage.Name] {
					t.Errorf("%s: sabotage %q is there twice", test.Name, sabotage.Name)
				}
				names[sabotage.Name] = true
				if sabotage.Break != "" && sabotage.Undo == "" && !slices.Contains(alone, test.Name+"/"+sabotage.Name) {
					t.Errorf("%s: sabotage %q cannot be undone, and costs a machine of its own", test.Name, sabotage.Name)
				}
				for _, script := range []string{sabotage.Break, sabotage.Undo} {
					if out, err := exec.Command("sh", "-n", "-c", script).CombinedOutput(); err != nil {
						t.Errorf("%s: sabotage %q: %v: %s\n%s", test.Name, sabotage.Name, err, out, script)
					}
				}
			}
		}
	}
}

// TestKolaNames holds the names that scripts know from kola.
func TestKolaNames(t *testing.T) {
	natives := []string{
		"CloudConfig", "DbusPerms", "MachineID", "Microcode", "PortSSH", "RandomUUID", "ReadOnly", "Script",
		"ServicesActive", "Symlink", "SymlinkFlatcar", "UpdateEngineKeys", "Useradd",
	}
	have := parts()
	for _, name := range natives {
		if _, ok := have["cl.basic/"+name]; !ok {
			t.Errorf("cl.basic has no subtest %s", name)
		}
	}
	for _, name := range []string{
		"cl.network.listeners", "cl.users.shells", "cl.overlay.cleanup", "cl.swap_activation", "cl.cloudinit.basic",
		"cl.cloudinit.multipart-mime", "cl.cloudinit.script", "coreos.auth.verify", "linux.ntp", "systemd.journal.user",
		"systemd.journal.remote", "systemd.sysusers.gshadow", "cl.network.initramfs.second-boot",
	} {
		if _, ok := have[name]; !ok {
			t.Errorf("there is no test %s", name)
		}
	}
}

func TestSelftestsAreLeftOut(t *testing.T) {
	for _, s := range All() {
		for _, test := range s.Tests {
			isSelftest := s.Name == "selftest"
			if strings.HasPrefix(test.Name, "selftest.") != isSelftest || test.HasTag(selftest.Tag) != isSelftest {
				t.Errorf("%s of suite %s: name, tag and suite do not agree", test.Name, s.Name)
			}
			if isSelftest && !test.HasTag(harness.TagDestructive) {
				t.Errorf("%s is not left out of the default selection", test.Name)
			}
		}
	}
}

func TestSuitesAreInOrder(t *testing.T) {
	var names []string
	for _, s := range All() {
		names = append(names, s.Name)
	}
	if !slices.IsSorted(names) {
		t.Errorf("suites are not in alphabetical order: %v", names)
	}
}
