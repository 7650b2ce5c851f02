package basic

import (
	"fmt"
	"regexp"
	"strings"

	"seatrial/harness"
)

// networkChecks are about names and addresses.
func networkChecks() []check {
	return []check{hostname(), resolver(), loopback()}
}

func hostname() check {
	return check{
		Subtest: harness.Subtest{
			Name: "Hostname", Doc: "The machine has a legal name other than localhost, and can resolve it.",
			Run: judge(hostnameFaults,
				question{"name", "uname -n"},
				question{"resolved", `getent ahosts "$(uname -n)"`}),
		},
		sabotage: []harness.Sabotage{{
			Name:    "hostname-localhost",
			Break:   `cp /proc/sys/kernel/hostname /run/seatrial-hostname && echo localhost >/proc/sys/kernel/hostname`,
			Undo:    `cat /run/seatrial-hostname >/proc/sys/kernel/hostname && rm /run/seatrial-hostname`,
			Message: `the machine is called "localhost"`,
		}},
	}
}

func hostnameFaults(got answers) []string {
	name := got["name"].out
	label := `[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?`
	legal := regexp.MustCompile(`^` + label + `(\.` + label + `)*$`)
	switch {
	case name == "localhost" || strings.HasPrefix(name, "localhost."):
		return []string{fmt.Sprintf("the machine is called %q: neither platform nor image gave it a name", name)}
	case !legal.MatchString(name):
		return []string{fmt.Sprintf("the host name %q is not one that RFC 1123 allows", name)}
	}
	if resolved := got["resolved"]; !resolved.ok() || resolved.out == "" {
		return []string{fmt.Sprintf("the machine cannot resolve its own name %q: %s", name, resolved)}
	}
	return nil
}

func resolver() check {
	return check{
		Subtest: harness.Subtest{
			Name:  "Resolver",
			Doc:   "systemd-resolved runs, and knows the machine's own name, also through its DNS stub where that is what programs are pointed to.",
			Image: needs("resolved"),
			Run: judge(resolverFaults,
				question{"service", "systemctl is-active systemd-resolved"},
				question{"own", `resolvectl query --legend=no "$(uname -n)"`},
				question{"stub", `grep -q '^nameserver 127\.0\.0\.53$' /etc/resolv.conf || { echo "not in use"; exit 0; }
getent -s dns ahosts "$(uname -n)"`}),
		},
		sabotage: []harness.Sabotage{{
			Name:    "resolved-stopped",
			Break:   `systemctl stop systemd-resolved`,
			Undo:    `systemctl start systemd-resolved`,
			Message: `systemd-resolved is "inactive"`,
		}},
	}
}

func resolverFaults(got answers) []string {
	if service := got["service"]; service.out != "active" {
		return []string{fmt.Sprintf("systemd-resolved is %s", service)}
	}
	var faults []string
	if own := got["own"]; !own.ok() {
		faults = append(faults, fmt.Sprintf("systemd-resolved does not know the machine's own name: %s", own))
	}
	if stub := got["stub"]; !stub.ok() || stub.out == "" {
		faults = append(faults, fmt.Sprintf("the DNS stub does not know the machine's own name: %s", stub))
	}
	return faults
}

func loopback() check {
	return check{
		Subtest: harness.Subtest{
			Name: "Loopback", Doc: "The loopback interface is up and has its addresses.",
			Run: judge(loopbackFaults,
				question{"link", "ip -o link show dev lo"},
				question{"addresses", "ip -o addr show dev lo"},
				question{"no-ipv6", "cat /proc/sys/net/ipv6/conf/lo/disable_ipv6 2>/dev/null || echo 1"}),
		},
		sabotage: []harness.Sabotage{{
			Name:    "loopback-without-ipv6",
			Break:   `ip -6 addr del ::1/128 dev lo`,
			Undo:    `ip -6 addr add ::1/128 dev lo`,
			Message: `lo lacks the address ::1/128`,
		}},
	}
}

func loopbackFaults(got answers) []string {
	var faults []string
	if link := got["link"]; !strings.Contains(link.out, ",UP") {
		faults = append(faults, fmt.Sprintf("lo is not up: %s", link))
	}
	want := []string{"127.0.0.1/8"}
	if got["no-ipv6"].out == "0" {
		want = append(want, "::1/128")
	}
	for _, addr := range want {
		if !strings.Contains(got["addresses"].out+" ", " "+addr+" ") {
			faults = append(faults, fmt.Sprintf("lo lacks the address %s: %s", addr, got["addresses"]))
		}
	}
	return faults
}
