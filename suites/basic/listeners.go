package basic

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/platforms"
)

func listeners() harness.Test {
	return harness.Test{
		Name:    "cl.network.listeners",
		Doc:     "Nothing listens on the network but what is known to, Docker's daemons included.",
		Timeout: 2 * time.Minute,
		Run: func(ctx context.Context, t *harness.T) {
			questions := []question{{"sockets", "ss -H -tulpn"}}
			if t.Has("docker") {
				questions = append([]question{{"docker", "systemctl start docker"}}, questions...)
			}
			got := ask(ctx, t, questions...)
			if docker, asked := got["docker"]; asked && !docker.ok() {
				t.Errorf("docker does not start: %s", docker)
			}
			sockets, err := parseSockets(got["sockets"].out)
			if err != nil {
				t.Fatalf("%v", err)
			}
			for _, s := range unexpected(sockets, t.Has) {
				t.Errorf("unexpected listener: %s\n%s", s, explain(ctx, t, s))
			}
		},
		Sabotage: []harness.Sabotage{{
			Name: "unknown-listener",
			Break: `systemd-run --quiet --unit=seatrial-listener nc -l -k 4242
for i in $(seq 100); do ss -Htln | grep -q ':4242 ' && exit 0; sleep 0.1; done; exit 1`,
			Undo:    `systemctl stop seatrial-listener`,
			Message: `unexpected listener: tcp 0\.0\.0\.0:4242 of nc`,
		}},
	}
}

// socket is a listening socket.
type socket struct {
	protocol string // "tcp" or "udp"
	address  string // without zone; "*" for every address of both families
	port     string
	process  string // the first that has it open, of at most 15 characters; empty for the kernel
	pid      string
}

func (s socket) String() string {
	process := s.process
	if process == "" {
		process = "the kernel"
	}
	return fmt.Sprintf("%s %s:%s of %s", s.protocol, s.address, s.port, process)
}

// local reports whether only the machine itself can reach the socket.
func (s socket) local() bool {
	addr, err := netip.ParseAddr(strings.Trim(s.address, "[]"))
	return err == nil && addr.IsLoopback()
}

// parseSockets reads the output of `ss -H -tulpn`.
func parseSockets(out string) ([]socket, error) {
	process := regexp.MustCompile(`users:\(\("([^"]*)",pid=(\d+)`)
	var sockets []socket
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		colon := -1
		if len(f) >= 6 {
			colon = strings.LastIndexByte(f[4], ':')
		}
		if colon < 0 || f[0] != "tcp" && f[0] != "udp" {
			return nil, fmt.Errorf("read the listening sockets: ss printed %q", line)
		}
		address, _, _ := strings.Cut(f[4][:colon], "%")
		s := socket{protocol: f[0], address: address, port: f[4][colon+1:]}
		if m := process.FindStringSubmatch(line); m != nil {
			s.process, s.pid = m[1], m[2]
		}
		sockets = append(sockets, s)
	}
	return sockets, nil
}

// listener is a row of the table of what may listen.
type listener struct {
	protocol string
	port     string // empty for any
	process  string // as the kernel cuts it off, at 15 characters
	local    bool   // on loopback addresses alone
	needs    platforms.Capability
}

// expectedListeners is what may listen on an image that has the capability, if
// the row names one.
func expectedListeners() []listener {
	return []listener{
		{protocol: "tcp", port: "22", process: "sshd"},
		{protocol: "tcp", port: "22", process: "systemd"},                             // SSH by socket activation
		{protocol: "udp", port: "68", process: "systemd-network", needs: "networkd"},  // DHCP client
		{protocol: "udp", port: "546", process: "systemd-network", needs: "networkd"}, // DHCPv6 client
		{protocol: "tcp", port: "53", process: "systemd-resolve", local: true, needs: "resolved"},
		{protocol: "udp", port: "53", process: "systemd-resolve", local: true, needs: "resolved"},
		{protocol: "udp", process: "systemd-timesyn", needs: "time-sync"}, // NTP client, random ports
		{protocol: "udp", port: "323", process: "chronyd", local: true, needs: "time-sync"},
		{protocol: "udp", process: "chronyd", needs: "time-sync"},
		{protocol: "udp", port: "123", process: "ntpd", needs: "time-sync"},
		{protocol: "tcp", process: "containerd", local: true, needs: "containerd"}, // streams of CRI
		{protocol: "tcp", process: "dockerd", local: true, needs: "docker"},
	}
}

// unexpected returns the sockets that no row of the table explains.
func unexpected(sockets []socket, has func(platforms.Capability) bool) []socket {
	var found []socket
	for _, s := range sockets {
		known := false
		for _, l := range expectedListeners() {
			known = known || l.protocol == s.protocol && l.process == s.process && (l.port == "" || l.port == s.port) &&
				(!l.local || s.local()) && (l.needs == "" || has(l.needs))
		}
		if !known {
			found = append(found, s)
		}
	}
	return found
}

// explain says what the process of a socket is.
func explain(ctx context.Context, t *harness.T, s socket) string {
	if s.pid == "" {
		return "no process has it open"
	}
	got := ask(ctx, t,
		question{"command", "tr '\\0' ' ' </proc/" + s.pid + "/cmdline"},
		question{"unit", "cat /proc/" + s.pid + "/cgroup"})
	return fmt.Sprintf("process %s: %s\nin %s", s.pid, got["command"].out, got["unit"].out)
}
