package basic

import (
	"context"
	"fmt"
	"strings"
	"time"

	"seatrial/harness"
)

func journalUser() harness.Test {
	return harness.Test{
		Name:    "systemd.journal.user",
		Doc:     "A service of a user logs to a journal that the user can read.",
		Needs:   harness.Needs{Image: needs("useradd")},
		Timeout: 2 * time.Minute,
		Run: func(ctx context.Context, t *harness.T) {
			line := fmt.Sprintf("hello %d", time.Now().UnixNano())
			t.Report(journalUserFaults(line, ask(ctx, t,
				question{"user", "userdel -r seatrial-logger 2>/dev/null; useradd -m seatrial-logger"},
				question{"manager", `systemctl start "user@$(id -u seatrial-logger)"`},
				question{"service", asLogger("systemd-run --user --quiet --wait --unit=seatrial-hello echo " + line)},
				question{"journal", "journalctl --sync; " + asLogger("journalctl --user -o cat --no-pager")},
				question{"cleanup", `systemctl stop "user@$(id -u seatrial-logger)" && userdel -r seatrial-logger`},
			)))
		},
		Sabotage: []harness.Sabotage{{
			Name:    "user-managers-masked",
			Break:   `systemctl mask --quiet --runtime user@.service`,
			Undo:    `systemctl unmask --quiet --runtime user@.service`,
			Message: `user manager`,
		}},
	}
}

// asLogger makes the command line that runs another as the test's user, who is
// not logged in: only his manager runs.
func asLogger(line string) string {
	return `runuser -u seatrial-logger -- env XDG_RUNTIME_DIR="/run/user/$(id -u seatrial-logger)" ` + line
}

func journalUserFaults(line string, got answers) []string {
	if manager := got["manager"]; !manager.ok() {
		return []string{fmt.Sprintf("the user manager does not start: %s", manager)}
	}
	if service := got["service"]; !service.ok() {
		return []string{fmt.Sprintf("the user's service does not run: %s", service)}
	}
	if journal := got["journal"]; !strings.Contains("\n"+journal.out+"\n", "\n"+line+"\n") {
		return []string{fmt.Sprintf("the user's journal lacks %q: %s", line, journal)}
	}
	return nil
}

// gatewayPort is where systemd-journal-gatewayd.socket listens.
const gatewayPort = 19531

func journalRemote() harness.Test {
	return harness.Test{
		Name:    "systemd.journal.remote",
		Doc:     "A machine collects the journal of another with systemd-journal-remote.",
		Needs:   harness.Needs{Machines: 2, Image: needs("journal-remote")},
		Timeout: 2 * time.Minute,
		Run: func(ctx context.Context, t *harness.T) {
			gateway, collector := t.Machine(0), t.Machine(1)
			line := fmt.Sprintf("supercalifragilistic %d", time.Now().UnixNano())
			started := askMachine(ctx, t, gateway,
				question{"gateway", "systemctl start systemd-journal-gatewayd.socket"},
				question{"line", "logger -t seatrial-remote " + line + " && journalctl --sync"})
			if a := started["gateway"]; !a.ok() {
				t.Fatalf("the gateway's socket does not start: %s", a)
			}
			source := fmt.Sprintf("http://%s:%d", gateway.Address(), gatewayPort)
			if gateway.Address().Is6() {
				source = fmt.Sprintf("http://[%s]:%d", gateway.Address(), gatewayPort)
			}
			collector.MustRoot(ctx, `systemctl stop seatrial-collector 2>/dev/null
mkdir -p /var/log/journal/remote
p=$(ls /usr/lib/systemd/systemd-journal-remote /lib/systemd/systemd-journal-remote 2>/dev/null | head -n 1)
systemd-run --quiet --collect --unit=seatrial-collector "$p" --split-mode=none --output=/var/log/journal/remote/seatrial.journal --url=`+source)
			collector.Expect(ctx, 30*time.Second, harness.Root(
				"journalctl --file=/var/log/journal/remote/seatrial.journal -t seatrial-remote -o cat | grep -qxF '"+line+"'"))
		},
		Sabotage: []harness.Sabotage{{
			Name:    "gateway-masked",
			Break:   `systemctl stop systemd-journal-gatewayd.socket && systemctl mask --quiet --runtime systemd-journal-gatewayd.socket`,
			Undo:    `systemctl unmask --quiet --runtime systemd-journal-gatewayd.socket`,
			Message: `gateway's socket does not start`,
		}},
	}
}
