package slide

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// TestSeed makes the slide of the community call of 13 July 2021 from results
// with the causes that were on it; an amd64 run beside it shows what fails
// there, too.
func TestSeed(t *testing.T) {
	causes := []struct {
		name  string
		tests []string // "?" behind one that may belong elsewhere
	}{
		{"Test Harness Oddities", []string{"cl.basic", "cl.internet", "cl.update.payload", "coreos.ignition.security.tls", "coreos.ignition.resource.local"}},
		{"SELinux", []string{"rkt.base", "docker.usersns", "coreos.selinux.enforce"}},
		{"seccomp", []string{"docker.btrfs-storage", "docker.base"}},
		{"etcd", []string{"google.kubernetes.basic.docker.v1.14.10", "coreos.tls.fetch-urls", "cl.etcd-member.etcdctlv3", "cl.flannel.udp?"}},
		{"", []string{"cl.flannel.vxlan", "cl.flannel.udp", "coreos.ignition.resource.s3.versioned"}},
	}
	rows := make(map[string]*rollup.Row)
	var order []string
	for i, c := range causes {
		for _, test := range c.tests {
			unsure := test[len(test)-1] == '?'
			if unsure {
				test = test[:len(test)-1]
			}
			row := rows[test]
			if row == nil {
				order = append(order, test)
				row = &rollup.Row{Test: test, Platform: "qemu", Arch: "arm64", Verdict: rollup.Fail, Outcome: event.Fail, Parity: &rollup.Parity{Label: "arm64 only"}}
				rows[test] = row
			}
			cause := rollup.Cause{Category: c.name, Unsure: unsure, Rule: c.name, At: []string{"rules.yaml:3:3", "rules.yaml:7:3", "rules.yaml:11:3", "rules.yaml:110:3", ""}[i]}
			if c.name != "" {
				row.Causes = append(row.Causes, cause)
			}
		}
	}
	rows["docker.base"].Subtests = []rollup.Subtest{{Name: "docker-info", Verdict: rollup.Fail}, {Name: "networks", Verdict: rollup.Pass}}
	rows["cl.basic"].Subtests = []rollup.Subtest{{Name: "Script", Verdict: rollup.Fail}, {Name: "Useradd", Verdict: rollup.Fail}}
	var r rollup.Result
	for _, test := range order {
		r.Results = append(r.Results, *rows[test])
	}
	amd := *rows["cl.internet"]
	amd.Arch, amd.Parity = "amd64", &rollup.Parity{Label: "everywhere"}
	for i := range r.Results {
		if r.Results[i].Test == "cl.internet" {
			r.Results[i].Parity = amd.Parity
		}
	}
	r.Results = append(r.Results, amd)

	const want = `# Status update: ARM64

## Failing Tests

- Test Harness Oddities
  - cl.basic†, cl.internet, cl.update.payload†, coreos.ignition.security.tls†, coreos.ignition.resource.local†
- SELinux
  - rkt.base†, docker.usersns†, coreos.selinux.enforce†
- seccomp
  - docker.btrfs-storage†, docker.base/docker-info†
- etcd
  - google.kubernetes.basic.docker.v1.14.10†, coreos.tls.fetch-urls†, cl.etcd-member.etcdctlv3†, cl.flannel.udp†?
- ???
  - cl.flannel.udp†, cl.flannel.vxlan†, coreos.ignition.resource.s3.versioned†

† fails on arm64 only · ? one of several candidates

# Status update: AMD64

## Failing Tests

- Test Harness Oddities
  - cl.internet
`
	var buf bytes.Buffer
	if err := Write(&buf, r, view.Options{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, buf.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNothingFails(t *testing.T) {
	r := rollup.Result{Results: []rollup.Row{{Test: "a", Arch: "arm64", Verdict: rollup.Pass}}}
	var buf bytes.Buffer
	if err := Write(&buf, r, view.Options{}); err != nil {
		t.Fatal(err)
	}
	if want := "# Status update\n\nNo failing tests: 1 test: 1 pass\n"; buf.String() != want {
		t.Errorf("got %q, want %q", buf.String(), want)
	}
}
