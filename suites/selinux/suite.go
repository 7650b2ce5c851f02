package selinux

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/platforms"
)

// Suite returns the suite.
func Suite() harness.Suite {
	return harness.Suite{
		Name:  "selinux",
		Doc:   "SELinux: modes, booleans and an administrator's rules last as long as they should, and the policy fits the image.",
		Tests: []harness.Test{boolean(), enforce(), manage()},
	}
}

func needs(image ...platforms.Capability) harness.Needs {
	return harness.Needs{
		Image:    append([]platforms.Capability{"selinux"}, image...),
		Platform: []platforms.Capability{platforms.RebootCap},
	}
}

const config = "/etc/selinux/config"

func enforce() harness.Test {
	return harness.Test{
		Name:    "coreos.selinux.enforce",
		Tags:    []string{harness.TagSlow},
		Doc:     "The mode can be switched, and a machine that is configured to be enforcing boots so, without a denial.",
		Timeout: 3 * time.Minute,
		Needs:   needs(),
		Run:     runEnforce,
		Sabotage: []harness.Sabotage{
			// An initramfs or a service that undoes what is configured.
			atBoot(harness.Sabotage{
				Name:    "made-permissive-at-boot",
				Message: `the machine is Permissive after a reboot, and is configured to be enforcing`,
			}, "/usr/sbin/setenforce 0"),
			{
				Name:  "config-not-kept",
				Break: modeScript("permissive") + ` && cp ` + config + ` /run/seatrial-config && mount --bind /run/seatrial-config ` + config,
				// The reboot has unmounted it.
				Undo:    `true`,
				Message: `after a reboot, /etc/selinux/config has another content`,
			},
		},
	}
}

// atBoot completes a sabotage that runs a command each time the machine boots. In
// the command, as in all of a unit's, a dollar sign is written twice.
func atBoot(s harness.Sabotage, command string) harness.Sabotage {
	unit := "seatrial-" + s.Name
	path := "/etc/systemd/system/" + unit + ".service"
	s.Break = "cat >" + path + ` <<'END'
[Service]
Type=oneshot
ExecStart=` + command + `
[Install]
WantedBy=multi-user.target
END
systemctl enable -q ` + unit
	s.Undo = "systemctl disable -q " + unit + "; rm " + path
	return s
}

// modeScript sets the configured mode, and is done when the disk has it. It writes into the file,
// since what is mounted there cannot be replaced.
func modeScript(mode string) string {
	return `new=$(sed 's/^SELINUX=.*/SELINUX=` + mode + `/' ` + config + `) && echo "$new" >` + config + ` && sync -f ` + config + ` && grep '^SELINUX=' ` + config
}

func runEnforce(ctx context.Context, t *harness.T) {
	m := t.Machine(0)
	// The switch works both ways, and ends where it began.
	began := m.Must(ctx, "getenforce")
	for _, mode := range []string{"Permissive", "Enforcing", began} {
		if got := m.MustRoot(ctx, "setenforce "+mode+" && getenforce"); got != mode {
			t.Errorf("SELinux: after setenforce %s the machine is %s", mode, got)
		}
	}
	if got := m.MustRoot(ctx, modeScript("enforcing")); got != "SELINUX=enforcing" {
		t.Fatalf("%s says %q", config, got)
	}
	m.Reboot(ctx)
	if got := m.Must(ctx, "grep '^SELINUX=' "+config); got != "SELINUX=enforcing" {
		t.Fatalf("after a reboot, %s has another content: %q", config, got)
	}
	if got := m.Must(ctx, "getenforce"); got != "Enforcing" {
		t.Fatalf("the machine is %s after a reboot, and is configured to be enforcing", got)
	}
	t.Report(denialFaults(m.MustRoot(ctx, denialsScript)))
	// It enforces in truth: what is in no domain's reach cannot be reached.
	t.Report(labelFaults(m.MustRoot(ctx, "ps -eo label,comm --no-headers | sort | uniq -c")))
}

// denialsScript prints the denials of the present boot.
const denialsScript = `journalctl -b -o cat --no-pager --grep 'avc: +denied' || true`

func denialFaults(out string) []string {
	var faults []string
	for line := range strings.Lines(out) {
		if denial.MatchString(line) {
			faults = append(faults, "denied: "+strings.TrimSpace(line))
		}
	}
	return faults
}

var denial = regexp.MustCompile(`avc: +denied`)

// labelFaults wants processes to be in domains of their own: a policy that was
// not loaded, or files without labels, leave all of them in one.
func labelFaults(out string) []string {
	domains := map[string]bool{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		label := strings.Split(fields[1], ":")
		if len(label) < 3 {
			return []string{fmt.Sprintf("a process has no label: %s", strings.TrimSpace(line))}
		}
		domains[label[2]] = true
	}
	if len(domains) < 5 {
		return []string{fmt.Sprintf("the machine's processes are in %d domains only: %v", len(domains), domains)}
	}
	return nil
}

func boolean() harness.Test {
	return harness.Test{
		Name:     "coreos.selinux.boolean",
		Tags:     []string{harness.TagSlow},
		Doc:      "A boolean that is set for now is what it was after a reboot, and one that is set for good stays.",
		Timeout:  4 * time.Minute,
		Needs:    needs(),
		Run:      runBoolean,
		Sabotage: []harness.Sabotage{setAgain()},
	}
}

func setAgain() harness.Sabotage {
	set := func(value string) string {
		return "for b in " + strings.Join(forNow(), " ") + "; do setsebool $b " + value + " && exit; done"
	}
	s := atBoot(harness.Sabotage{
		Name:    "set-again-at-boot",
		Message: `is on after a reboot, and was off before it was set for now`,
	}, "/bin/sh -c '"+strings.ReplaceAll(set("1"), "$", "$$")+"'")
	s.Undo += "\n" + set("0")
	return s
}

// forNow and forGood list the booleans that may be flipped, of which a policy
// has one at least.
func forNow() []string { return []string{"container_use_nfs", "virt_use_nfs", "allow_ypbind"} }

func forGood() []string {
	return []string{"container_use_samba", "virt_use_samba", "allow_cvs_read_shadow"}
}

// pick returns the first of the booleans that the policy has, and its value.
func pick(ctx context.Context, t *harness.T, names []string) (name, value string) {
	m := t.Machine(0)
	for _, name := range names {
		res, err := m.Output(ctx, harness.Root("getsebool "+name))
		if err != nil {
			continue
		}
		if _, value, ok := strings.Cut(res, " --> "); ok {
			return name, value
		}
	}
	t.Skipf("the policy has none of the booleans %s", strings.Join(names, ", "))
	return "", ""
}

func opposite(value string) string {
	return map[string]string{"on": "off", "off": "on"}[value]
}

func runBoolean(ctx context.Context, t *harness.T) {
	m := t.Machine(0)
	now, nowWas := pick(ctx, t, forNow())
	good, goodWas := pick(ctx, t, forGood())
	get := func(name string) string {
		_, value, _ := strings.Cut(m.MustRoot(ctx, "getsebool "+name), " --> ")
		return value
	}
	m.MustRoot(ctx, "setsebool "+now+" "+opposite(nowWas)+" && setsebool -P "+good+" "+opposite(goodWas))
	for name, want := range map[string]string{now: opposite(nowWas), good: opposite(goodWas)} {
		if got := get(name); got != want {
			t.Errorf("the SELinux boolean %s was set to %s and is %s", name, want, got)
		}
	}
	m.Reboot(ctx)
	if got := get(now); got != nowWas {
		t.Errorf("the SELinux boolean %s is %s after a reboot, and was %s before it was set for now", now, got, nowWas)
	}
	if got := get(good); got != opposite(goodWas) {
		t.Errorf("the SELinux boolean %s is %s after a reboot, and was set to %s for good", good, got, opposite(goodWas))
	}
}
