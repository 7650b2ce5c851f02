package basic

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestTaintFaults(t *testing.T) {
	checkFaults(t, taintFaults, []faultCase{
		{"clean", answers{"tainted": said("0")}, nil},
		{"modules from elsewhere", answers{"tainted": said("12289")}, nil},
		{"warning", answers{"tainted": said("512")}, []string{"issued a warning (bit 9 of 512)"}},
		{"oops and warning", answers{"tainted": said("640")}, []string{"died", "warning"}},
		{"unreadable", answers{"tainted": failed(1, "")}, []string{"cannot be read"}},
	})
}

func TestModuleFaults(t *testing.T) {
	good := answers{"index": said("4000"), "loop": said("")}
	checkFaults(t, moduleFaults, []faultCase{
		{"installed", good, nil},
		{"of another kernel", answers{
			"index": failed(2, "sh: cannot open modules.dep"), "loop": failed(1, "modprobe: FATAL: Module loop not found"),
		}, []string{"modules.dep", "loop not found"}},
		{"empty index", good.with("index", said("0")), []string{"modules.dep"}},
	})
}

func TestEntropyFaults(t *testing.T) {
	const a = "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f"
	const b = "ff 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f"
	checkFaults(t, entropyFaults, []faultCase{
		{"random", answers{"first": said(a), "second": said(b)}, nil},
		{"the same", answers{"first": said(a), "second": said(a)}, []string{"twice"}},
		{"blocks", answers{"first": said(a), "second": failed(124, "")}, []string{"exit status 124"}},
	})
}

func TestClockFaults(t *testing.T) {
	before := time.Unix(1000, 0)
	after := before.Add(3 * time.Second)
	for _, c := range []struct {
		out  string
		want []string
	}{
		{"1000.000000000", nil},
		{"1001.500000000", nil},
		{"996.000000001", nil},
		{"1007.900000000", nil},
		{"400.000000000", []string{"10m0s behind"}},
		{"1603.000000000", []string{"10m0s ahead: it says 1970-01-01T00:26:43Z"}},
		{"1000.N", []string{"not a number"}},
		{"", []string{"not a number"}},
	} {
		wantFaults(t, clockFaults(c.out, before, after), c.want...)
	}
}

// TestSetClock runs what sets a clock, without setting one.
func TestSetClock(t *testing.T) {
	const setNothing = `date() { if [ "$1" = -s ]; then echo "$2"; else command date "$@"; fi; }` + "\n"
	for _, by := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		out, err := exec.Command("sh", "-c", setNothing+setClock(by)).Output()
		if err != nil {
			t.Fatal(err)
		}
		seconds, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(string(out)), "@"), 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := time.Until(time.UnixMilli(int64(seconds * 1000))); (got - by).Abs() > 10*time.Second {
			t.Errorf("the clock is set %s ahead, want %s", got, by)
		}
	}
}

func TestSysctlFaults(t *testing.T) {
	const good = "kernel/randomize_va_space:2\nkernel/pid_max:4194304\nfs/protected_hardlinks:1\nfs/protected_symlinks:1\nnet/ipv4/tcp_syncookies:1"
	checkFaults(t, sysctlFaults, []faultCase{
		{"good", answers{"values": said(good)}, nil},
		{"bad", answers{"values": said("kernel/randomize_va_space:1" + good[len("kernel/randomize_va_space:2"):])}, []string{`kernel/randomize_va_space is "1", want at least 2`}},
		{"missing", answers{"values": failed(2, "grep: fs/protected_hardlinks: No such file\n"+good[:len("kernel/randomize_va_space:2")])},
			[]string{"pid_max", "hardlinks", "symlinks", "syncookies"}},
	})
}

func TestCgroupFaults(t *testing.T) {
	good := answers{"type": said("cgroup2fs"), "controllers": said("cpuset cpu io memory hugetlb pids rdma misc")}
	checkFaults(t, cgroupFaults, []faultCase{
		{"unified", good, nil},
		{"legacy", good.with("type", said("tmpfs")), []string{"tmpfs"}},
		{"cpu missing, cpuset there", good.with("controllers", said("cpuset io memory pids")), []string{"no controller cpu;"}},
	})
}
