package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func parseRequired(t *testing.T, name string) *Required {
	t.Helper()
	required, err := ParseRequired(name, read(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return required
}

func names(rs []*Requirement) []string {
	var all []string
	for _, r := range rs {
		all = append(all, r.Name)
	}
	return all
}

func TestRequired(t *testing.T) {
	required := parseRequired(t, "required.yaml")
	kvm := Place{Platform: "qemu", Arch: "arm64", Accel: "kvm", Version: "3033.2.4"}
	old, tcg, elsewhere, unknown := kvm, kvm, kvm, kvm
	old.Version, tcg.Accel, unknown.Version = "2920", "tcg", ""
	elsewhere.Platform, elsewhere.Accel = "aws", "tcg"
	tests := []struct {
		name  string
		place Place
		want  []string
	}{
		{"both", kvm, []string{"cl.basic", "docker.base/docker-info"}},
		{"all of an exception holds", old, []string{"cl.basic"}},
		{"another exception", tcg, []string{"cl.basic"}},
		{"half of an exception", elsewhere, []string{"cl.basic", "docker.base/docker-info"}},
		{"unknown version", unknown, []string{"cl.basic", "docker.base/docker-info"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, names(required.Missing(nil, tt.place))); diff != "" {
			t.Errorf("%s: missing (-want +got):\n%s", tt.name, diff)
		}
	}
	if got := names(required.Missing([]string{"cl.basic", "docker.base"}, kvm)); !cmp.Equal(got, []string{"docker.base/docker-info"}) {
		t.Errorf("a subtest is not its test; missing %v", got)
	}
	if _, ok := required.Requires("cl.basics", kvm); ok {
		t.Error("names are prefixes")
	}
}

func TestEnforced(t *testing.T) {
	required := parseRequired(t, "kola_enforcing.yaml")
	qemu := Place{Platform: "qemu", Arch: "arm64", Bootloader: "uki", Variant: "acl"}
	azure, lean := qemu, qemu
	azure.Platform, azure.Bootloader = "azure", ""
	lean.Arch, lean.Variant = "amd64", "acl-t"
	tests := []struct {
		name  string
		ran   []string
		place Place
		want  []string
	}{
		{"arm64 on qemu", []string{"acl.basic"}, qemu, []string{"cl.ignition.oem.regular", "kubeadm.v1.34.1"}},
		{"prefixes", []string{"acl.basic", "cl.ignition.oem.regular.new", "kubeadm.v1.34.1.calico.base"}, qemu, nil},
		{"unknown bootloader", []string{"acl.basic", "kubeadm.v1.34.1.x"}, azure, []string{"cl.ignition.oem.regular"}},
		{"a variant", []string{"acl.basic", "kubeadm.v1.34.1.x"}, lean, []string{"cl.ignition.oem.regular"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, names(required.Missing(tt.ran, tt.place))); diff != "" {
			t.Errorf("%s: missing (-want +got):\n%s", tt.name, diff)
		}
	}
	if r, ok := required.Requires("kubeadm.v1.34.1.calico.base", qemu); !ok || r.At.String() != "kola_enforcing.yaml:21:5" {
		t.Errorf("calico is required by %+v", r)
	}
	if r, ok := required.Requires("acl.etcd-member.discovery", qemu); ok {
		t.Errorf("discovery is required by %s", r.At)
	}
}
