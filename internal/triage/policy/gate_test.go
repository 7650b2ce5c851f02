package policy

import (
	"strings"
	"testing"
)

func TestParseGate(t *testing.T) {
	g, err := ParseGate("g.yaml", []byte("channel: c\nrules: {flaky: block, fail: regression}\nerrors: 2\nattempts: 3\nrequired: [a, {name: b}]\nstatistics: {runs: 9, pity: 2.5}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if g.Channel != "c" || g.Effects["flaky"] != GateBlock || g.Effects["fail"] != GateRegression || g.Effects["missing"] != GateBlock ||
		g.Errors != 2 || g.Attempts != 3 || len(g.Required.Tests) != 2 || g.Thresholds.MinBase != 9 || g.Thresholds.Pity != 2.5 || g.Thresholds.MinFailures != 3 {
		t.Errorf("%+v", g)
	}
}

// TestBadGates: a mistake never opens the gate.
func TestBadGates(t *testing.T) {
	tests := []struct{ file, want string }{
		{"", "g.yaml:1:1: the file has no policy"},
		{"rules: {fail: block}", "g.yaml:1:1: a gate policy needs the field channel"},
		{"channel: c\nrule: {}", "g.yaml:2:1: a gate policy has no field \"rule\""},
		{"channel: c\nrules: {fail: ignore}", "g.yaml:2:15: fail is block, warn or regression, not \"ignore\""},
		{"channel: c\nrules: {missing: ignore}", "g.yaml:2:18: missing is block or warn"},
		{"channel: c\nrules: {expired: regression}", "g.yaml:2:18: expired is block, warn or ignore"},
		{"channel: c\nrules: [fail]", "g.yaml:2:8: rules is a mapping"},
		{"channel: c\nerrors: many", "g.yaml:2:9: errors is a number from 0 to 1000000, not \"many\""},
		{"channel: c\nerrors: .nan", "g.yaml:2:9: errors is a number"},
		{"channel: c\nattempts: 0", "g.yaml:2:11: attempts is a number from 1"},
		{"channel: c\nrequired: []", "g.yaml:2:11: required names no tests"},
		{"channel: c\nrequired: cl.basic", "g.yaml:2:11: required is a list"},
		{"channel: c\nstatistics: {confidence: 100}", "g.yaml:2:26: confidence is a number from 50 to 99.999"},
		{"channel: c\nchannel: d", "g.yaml:2:1: channel appears twice"},
		{"channel: [", "g.yaml:"},
	}
	for _, tt := range tests {
		g, err := ParseGate("g.yaml", []byte(tt.file))
		if err == nil || g != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want an error with %q", tt.file, err, tt.want)
		}
	}
}
