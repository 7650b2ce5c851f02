package basic

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"seatrial/harness"
)

// serviceChecks are about systemd and what it started.
func serviceChecks() []check {
	return []check{servicesActive(), defaultTarget(), failedUnits(), journal()}
}

// timeServices lists the units that keep the clock right, of which one must be
// active.
func timeServices() []string {
	return []string{"systemd-timesyncd.service", "chronyd.service", "chrony.service", "ntpd.service", "ntpsec.service", "ntp.service"}
}

func servicesActive() check {
	return check{
		Subtest: harness.Subtest{
			Name: "ServicesActive",
			Doc:  "The services that users rely on are active: the multi-user system, a time service, Docker and update_engine where the image has them.",
			Run: func(ctx context.Context, t *harness.T) {
				want := [][]string{{"multi-user.target"}, timeServices()}
				if t.Has("docker") {
					want = append(want, []string{"docker.socket", "docker.service"})
				}
				if t.Has(flatcar) {
					want = append(want, []string{"update-engine.service"})
				}
				units := slices.Concat(want...)
				// is-active prints one line for each unit, in their order.
				got := ask(ctx, t, question{"states", "systemctl is-active " + strings.Join(units, " ")})
				t.Report(activeFaults(want, unitStates(units, got["states"].out)))
			},
		},
		sabotage: []harness.Sabotage{{
			Name:    "time-service-stopped",
			Break:   `systemctl stop systemd-timesyncd`,
			Undo:    `systemctl start systemd-timesyncd`,
			Message: `systemd-timesyncd\.service is inactive`,
		}, {
			Name:    "docker-socket-stopped",
			Break:   `systemctl stop docker.socket`,
			Undo:    `systemctl start docker.socket`,
			Message: `docker\.socket is inactive`,
		}},
	}
}

func unitStates(units []string, out string) map[string]string {
	states := map[string]string{}
	for i, state := range strings.Fields(out) {
		if i < len(units) {
			states[units[i]] = state
		}
	}
	return states
}

// activeFaults wants one unit of each list to be active.
func activeFaults(want [][]string, states map[string]string) []string {
	var faults []string
	for _, units := range want {
		if slices.ContainsFunc(units, func(u string) bool { return states[u] == "active" }) {
			continue
		}
		told := make([]string, len(units))
		for i, u := range units {
			told[i] = u + " is " + states[u]
		}
		faults = append(faults, "no service does its part: "+strings.Join(told, ", "))
	}
	return faults
}

func defaultTarget() check {
	return check{
		Subtest: harness.Subtest{
			Name: "DefaultTarget", Doc: "The boot came to its end: the default target was reached.",
			Run: judge(defaultTargetFaults,
				question{"target", "systemctl get-default"},
				question{"state", `systemctl is-active "$(systemctl get-default)"`},
				question{"finished", "systemctl show --value -p FinishTimestampMonotonic"}),
		},
		sabotage: []harness.Sabotage{{
			Name:    "default-target-stopped",
			Break:   `systemctl stop "$(systemctl get-default)"`,
			Undo:    `systemctl start "$(systemctl get-default)"`,
			Message: `is inactive`,
		}},
	}
}

func defaultTargetFaults(got answers) []string {
	var faults []string
	if state := got["state"]; state.out != "active" {
		faults = append(faults, fmt.Sprintf("the default target %s is %s", got["target"].out, state.out))
	}
	if finished := got["finished"]; finished.out == "" || finished.out == "0" {
		faults = append(faults, "systemd says that the boot has not finished")
	}
	return faults
}

func failedUnits() check {
	return check{
		Subtest: harness.Subtest{
			Name: "FailedUnits", Doc: "No unit is in the failed state, and systemd calls the system running.",
			Run: judge(failedUnitFaults,
				question{"failed", "systemctl list-units --failed --plain --no-legend --full"},
				question{"system", "systemctl is-system-running"}),
		},
		sabotage: []harness.Sabotage{{
			Name:    "unit-failed",
			Break:   `systemd-run --quiet --wait --unit=seatrial-broken false; systemctl is-failed --quiet seatrial-broken`,
			Undo:    `systemctl reset-failed seatrial-broken`,
			Message: `seatrial-broken\.service`,
		}},
	}
}

func failedUnitFaults(got answers) []string {
	var faults []string
	for line := range strings.Lines(got["failed"].out) {
		if f := strings.Fields(line); len(f) > 0 {
			faults = append(faults, "unit failed: "+f[0])
		}
	}
	if system := got["system"]; system.out != "running" {
		faults = append(faults, "systemd calls the system "+system.out)
	}
	return faults
}

func journal() check {
	return check{
		Subtest: harness.Subtest{
			Name: "Journal", Doc: "The journal holds this boot from the kernel's first lines on, and takes new ones.",
			Run: func(ctx context.Context, t *harness.T) {
				line := fmt.Sprintf("line %d", time.Now().UnixNano())
				got := ask(ctx, t,
					question{"kernel", "journalctl -b -k -o cat --no-pager | head -n 20"},
					question{"line", "logger -t seatrial-basic " + line + " && journalctl --sync && journalctl -b -t seatrial-basic -o cat -n 1"})
				t.Report(journalFaults(got, line))
			},
		},
		sabotage: []harness.Sabotage{{
			Name:    "log-socket-moved",
			Break:   `mv /dev/log /dev/log.seatrial`,
			Undo:    `mv /dev/log.seatrial /dev/log`,
			Message: `what was just logged`,
		}},
	}
}

func journalFaults(got answers, line string) []string {
	var faults []string
	if kernel := got["kernel"]; !strings.Contains(kernel.out, "Linux version ") {
		faults = append(faults, fmt.Sprintf("the journal lacks the kernel's first lines: %s", kernel))
	}
	if last := got["line"]; last.out != line {
		faults = append(faults, fmt.Sprintf("the journal lacks what was just logged: want %q, got %s", line, last))
	}
	return faults
}
