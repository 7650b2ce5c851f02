package basic

import "testing"

func TestNTPServerFaults(t *testing.T) {
	for _, c := range []struct {
		name, properties string
		want             []string
	}{
		{"of the link", "LinkNTPServers=10.0.0.1\nSystemNTPServers=", nil},
		{"one of several", "LinkNTPServers=10.0.0.9 10.0.0.1 fd00::1\nSystemNTPServers=", nil},
		{"system's own", "LinkNTPServers=10.0.0.1\nSystemNTPServers=192.0.2.1", []string{"ignored: 192.0.2.1"}},
		{"none", "LinkNTPServers=\nSystemNTPServers=", []string{"names the time server 10.0.0.1"}},
		{"a longer address", "LinkNTPServers=10.0.0.11\nSystemNTPServers=", []string{"10.0.0.11"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantFaults(t, ntpServerFaults(c.properties, "10.0.0.1"), c.want...) })
	}
}
