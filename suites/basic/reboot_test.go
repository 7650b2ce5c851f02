package basic

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRebootFaults(t *testing.T) {
	before := answers{"boot ID": said("one"), "machine ID": said("id"), "host name": said("m0"), "host keys": said("ssh-ed25519 AAAA")}
	after := before.with("boot ID", said("two")).with("state", said("written 1")).with("runtime", said(""))
	faults := func(got answers) []string { return rebootFaults("written 1", before, got) }
	checkFaults(t, faults, []faultCase{
		{"as itself", after, nil},
		{"not rebooted", after.with("boot ID", said("one")), []string{"boot ID one did not change"}},
		{"another machine", after.with("machine ID", said("other")).with("host keys", said("ssh-ed25519 BBBB")), []string{"machine ID changed", "host keys changed"}},
		{"state lost", after.with("state", failed(1, "cat: No such file")), []string{"state did not survive"}},
		{"older state", after.with("state", said("written 0")), []string{"state did not survive"}},
		{"run kept", after.with("runtime", failed(1, "")), []string{"still there"}},
	})
}

func TestParseStarts(t *testing.T) {
	const journal = `{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1","__MONOTONIC_TIMESTAMP":"2500000","UNIT":"initrd-switch-root.target","JOB_TYPE":"start","JOB_RESULT":"done","MESSAGE":"Reached target"}
{"__MONOTONIC_TIMESTAMP":"3000000","UNIT":"systemd-networkd.service","MESSAGE":"Starting"}
{"__MONOTONIC_TIMESTAMP":"4000000","UNIT":"systemd-networkd.service","JOB_TYPE":"start","JOB_RESULT":"done"}
{"__MONOTONIC_TIMESTAMP":"5000000","UNIT":"systemd-networkd.service","JOB_TYPE":"stop","JOB_RESULT":"done"}

`
	got, err := parseStarts(journal)
	if err != nil {
		t.Fatal(err)
	}
	want := []start{{"initrd-switch-root.target", 2500 * time.Millisecond}, {"systemd-networkd.service", 4 * time.Second}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(start{})); diff != "" {
		t.Errorf("starts (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"-- No entries --", `{"JOB_TYPE":"start","JOB_RESULT":"done"}`} {
		if got, err := parseStarts(bad); err == nil {
			t.Errorf("%q gave %v", bad, got)
		}
	}
}

func TestSecondBootFaults(t *testing.T) {
	const network, switchRoot = "systemd-networkd.service", "initrd-switch-root.target"
	for _, c := range []struct {
		name   string
		starts []start
		want   []string
	}{
		{"after", []start{{switchRoot, 2}, {network, 4}}, nil},
		{"before and after", []start{{network, 1}, {switchRoot, 2}, {network, 4}}, []string{"network was started in the initramfs"}},
		{"never", []start{{switchRoot, 2}}, []string{"not started at all"}},
		{"journal without initramfs", []start{{network, 4}}, []string{"does not tell"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantFaults(t, secondBootFaults(c.starts), c.want...) })
	}
}

func FuzzParseStarts(f *testing.F) {
	f.Add(`{"__MONOTONIC_TIMESTAMP":"1","UNIT":"a","JOB_TYPE":"start","JOB_RESULT":"done"}`)
	f.Fuzz(func(t *testing.T, out string) {
		starts, err := parseStarts(out)
		if err != nil && starts != nil {
			t.Errorf("both %v and %v", starts, err)
		}
	})
}
