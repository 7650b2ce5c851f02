package flannel

import "testing"

func TestParseCounters(t *testing.T) {
	const table = `table inet seatrial {
	chain counts {
		type filter hook prerouting priority mangle; policy accept;
		iifname "ens2" udp dport 8472 counter packets 24 bytes 3024 comment "seatrial-backend"
		iifname "ens2" ip saddr 10.99.0.0/16 counter packets 1 bytes 84 comment "seatrial-naked"
	}
}
`
	backend, naked, err := parseCounters(table)
	if backend != 24 || naked != 1 || err != nil {
		t.Errorf("counters are %d and %d, %v", backend, naked, err)
	}
	for _, bad := range []string{"", "counter packets 24 bytes 1 comment \"seatrial-backend\"", "counter packets x bytes"} {
		if _, _, err := parseCounters(bad); err == nil {
			t.Errorf("%q gave no error", bad)
		}
	}
}
