package basic

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/platforms"
)

func ntp() harness.Test {
	return harness.Test{
		Name:    "linux.ntp",
		Doc:     "systemd-timesyncd takes up the time server that DHCP names, and lets it mend a wrong clock.",
		Timeout: 2 * time.Minute,
		Needs: harness.Needs{
			Platform: []platforms.Capability{platforms.Fixtures},
			Image:    needs("networkd", "timesyncd"),
			Cold:     true,
		},
		Run: runNTP,
		Sabotage: []harness.Sabotage{{
			Name: "other-server-configured",
			Break: `mkdir -p /run/systemd/timesyncd.conf.d
printf '[Time]\nNTP=192.0.2.1\n' >/run/systemd/timesyncd.conf.d/99-seatrial.conf`,
			Undo:    `rm /run/systemd/timesyncd.conf.d/99-seatrial.conf && systemctl restart systemd-timesyncd`,
			Message: `192\.0\.2\.1`,
		}},
	}
}

// clockError is by how much the test sets the clock wrong: more than a second
// could be, and less than makes timers fire.
const clockError = 2 * time.Minute

// runNTP sets the clock wrong while the service is down. What is right again
// afterwards was mended by the fixture: no other server is asked.
func runNTP(ctx context.Context, t *harness.T) {
	m := t.Machine(0)
	servers := ask(ctx, t,
		question{"start", "systemctl stop systemd-timesyncd && " + setClock(clockError) + " && systemctl start systemd-timesyncd"},
		question{"servers", "timedatectl show-timesync -p LinkNTPServers -p SystemNTPServers"})
	if start := servers["start"]; !start.ok() {
		t.Fatalf("systemd-timesyncd does not start: %s", start)
	}
	if faults := ntpServerFaults(servers["servers"].out, t.FixtureAddress().String()); len(faults) > 0 {
		t.Report(faults)
		return
	}
	t.WaitFor(ctx, "the clock is mended", 40*time.Second, func(ctx context.Context) error {
		before := time.Now()
		out, err := m.Output(ctx, "date +%s.%N")
		if err != nil {
			return err
		}
		if faults := clockFaults(out, before, time.Now()); len(faults) > 0 {
			return fmt.Errorf("%s", faults[0])
		}
		return nil
	})
	used := ask(ctx, t, question{"server", "timedatectl show-timesync --value -p ServerAddress"})["server"]
	if used.out != t.FixtureAddress().String() {
		t.Errorf("the clock was mended by %s, not by %s", used, t.FixtureAddress())
	}
}

// ntpServerFaults judges the properties of timesyncd: the link's servers, which
// DHCP named, count only where the system's own configuration has none.
func ntpServerFaults(properties, want string) []string {
	values := map[string]string{}
	for line := range strings.Lines(properties) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = value
	}
	if system := values["SystemNTPServers"]; system != "" {
		return []string{"time servers are configured in the image, those of the network are ignored: " + system}
	}
	if link := strings.Fields(values["LinkNTPServers"]); !slices.Contains(link, want) {
		return []string{fmt.Sprintf("DHCP names the time server %s, and timesyncd knows of %q", want, link)}
	}
	return nil
}
