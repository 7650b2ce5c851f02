package containers

import (
	"slices"
	"strings"
	"testing"
)

func TestStatusFields(t *testing.T) {
	got := StatusFields("Name:\tcat\nUid:\t1000\t1000\t1000\t1000\nCapEff:\t00000000a80425fb\n")
	if want := map[string]string{"Uid": "1000 1000 1000 1000", "CapEff": "00000000a80425fb"}; len(Differences(want, got)) > 0 {
		t.Errorf("%v", got)
	}
	faults := Differences(unprivileged(), got)
	if want := []string{`CapAmb is "", want "0000000000000000"`, `CapEff is "00000000a80425fb", want "0000000000000000"`}; !slices.Equal(faults[:2], want) {
		t.Errorf("%q", faults)
	}
}

func TestZip(t *testing.T) {
	if got := Zip([]string{"a", "b"}, []string{"1"}); len(got) != 1 || got["a"] != "1" {
		t.Errorf("%v", got)
	}
}

func TestProfileFaults(t *testing.T) {
	const (
		confined = `{"add_key":"EPERM","clone3":"ENOSYS","get_mempolicy":"EPERM","keyctl":"EPERM","mkdir":"ok","mount":"EPERM","move_pages":"EPERM","nfsservctl":"EPERM","personality":"EPERM","request_key":"EPERM","setns":"EPERM","sysfs":"EPERM","unshare":"EPERM","userfaultfd":"EPERM","uselib":"EPERM","ustat":"EPERM"}`
		free     = `{"add_key":"EFAULT","clone3":"EINVAL","get_mempolicy":"ok","keyctl":"ENOKEY","mkdir":"ok","mount":"EFAULT","move_pages":"ok","nfsservctl":"ENOSYS","personality":"ok","request_key":"EFAULT","setns":"EBADF","sysfs":"ok","unshare":"EINVAL","userfaultfd":"EINVAL","uselib":"ENOSYS","ustat":"EFAULT"}`
	)
	for _, c := range []struct {
		name, arch, confined, free string
		want                       []string // parts of the faults, in their order
	}{
		{"in force on amd64", "amd64", confined, free, nil},
		{"in force on arm64", "arm64", confined, free, nil},
		{"one call is let through", "amd64", strings.Replace(confined, `"keyctl":"EPERM"`, `"keyctl":"ENOKEY"`, 1), free, []string{"keyctl (ENOKEY without a profile) is not denied by seccomp: it ended with ENOKEY"}},
		{"one of the architecture's own", "arm64", strings.Replace(confined, `"nfsservctl":"EPERM"`, `"nfsservctl":"ENOSYS"`, 1), free, []string{"nfsservctl (ENOSYS"}},
		{"denied anyway", "amd64", confined, strings.Replace(free, `"setns":"EBADF"`, `"setns":"EPERM"`, 1), []string{"setns is denied without a profile, too"}},
		{"not tried", "amd64", strings.Replace(confined, `"ustat"`, `"other"`, 1), free, []string{"did not try ustat"}},
		{"everything is denied", "amd64", strings.Replace(confined, `"ok"`, `"EPERM"`, 1), free, []string{"mkdir, which nothing denies"}},
		{"no JSON", "amd64", "exec format error", free, []string{"exec format error"}},
		{"no JSON without", "amd64", confined, "", []string{"the probe printed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ProfileFaults(append(ArchCalls(c.arch), "keyctl", "setns"), c.confined, c.free)
			if len(got) != len(c.want) {
				t.Fatalf("%d faults: %q", len(got), got)
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("%q, want %q", got[i], want)
				}
			}
		})
	}
}

func TestImages(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		if _, err := Images(arch); err != nil {
			t.Error(err)
		}
		if _, err := ForeignImages(arch); err != nil {
			t.Error(err)
		}
	}
}
