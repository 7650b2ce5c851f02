package basic

import "testing"

func TestActiveFaults(t *testing.T) {
	want := [][]string{{"multi-user.target"}, {"a.service", "b.service"}}
	units := []string{"multi-user.target", "a.service", "b.service"}
	for _, c := range []struct {
		name, out string
		want      []string
	}{
		{"all", "active\nactive\nactive", nil},
		{"one of two", "active\ninactive\nactive", nil},
		{"none of two", "active\ninactive\nfailed", []string{"a.service is inactive, b.service is failed"}},
		{"no answer", "", []string{"multi-user.target is ", "a.service is "}},
		{"too many", "active\nactive\nactive\nactive", nil},
	} {
		t.Run(c.name, func(t *testing.T) { wantFaults(t, activeFaults(want, unitStates(units, c.out)), c.want...) })
	}
}

func TestDefaultTargetFaults(t *testing.T) {
	good := answers{"target": said("graphical.target"), "state": said("active"), "finished": said("31337000")}
	checkFaults(t, defaultTargetFaults, []faultCase{
		{"reached", good, nil},
		{"not reached", good.with("state", failed(3, "inactive")), []string{"graphical.target is inactive"}},
		{"still booting", good.with("finished", said("0")), []string{"has not finished"}},
	})
}

func TestFailedUnitFaults(t *testing.T) {
	good := answers{"failed": said(""), "system": said("running")}
	checkFaults(t, failedUnitFaults, []faultCase{
		{"none", good, nil},
		{"two", good.with("failed", said("a.service loaded failed failed A\nb.mount loaded failed failed B")),
			[]string{"unit failed: a.service", "unit failed: b.mount"}},
		{"degraded", good.with("system", failed(1, "degraded")), []string{"degraded"}},
	})
}

func TestJournalFaults(t *testing.T) {
	good := answers{"kernel": said("Booting Linux on physical CPU 0x0\nLinux version 6.1.0"), "line": said("line 7")}
	faults := func(got answers) []string { return journalFaults(got, "line 7") }
	checkFaults(t, faults, []faultCase{
		{"whole", good, nil},
		{"begins late", good.with("kernel", said("virtio_blk virtio1: [vda]")), []string{"kernel's first lines"}},
		{"takes nothing", good.with("line", said("-- No entries --")), []string{"what was just logged"}},
		{"only an old line", good.with("line", said("line 6")), []string{"what was just logged"}},
	})
}
