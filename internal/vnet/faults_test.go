package vnet

import (
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDropIsDeterministic(t *testing.T) {
	run := func(seed uint64, extra bool) (fate []bool) {
		im := Impairment{Links: []LinkFault{{From: "a", To: "b", Drop: 0.3}, {Drop: 0.9}}}
		f, err := im.compile(seed, func(string) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			if extra { // traffic of others must not change the fate of this pair's frames
				f.judge("b", "a")
				f.judge("c", "b")
			}
			lost, _ := f.judge("a", "b")
			fate = append(fate, lost)
		}
		return fate
	}
	first := run(1, false)
	if diff := cmp.Diff(first, run(1, true)); diff != "" {
		t.Errorf("the same seed gave another fate:\n%s", diff)
	}
	if cmp.Equal(first, run(2, false)) {
		t.Error("another seed gave the same fate")
	}
	lost := 0
	for _, l := range first {
		if l {
			lost++
		}
	}
	if lost < 250 || lost > 350 {
		t.Errorf("%d of 1000 frames lost, want about 300", lost)
	}
}

func TestLinkFaultMatching(t *testing.T) {
	im := Impairment{Links: []LinkFault{
		{From: "a", To: "b"},
		{From: "a", Drop: 1},
		{To: "c", Delay: time.Second},
	}}
	f, err := im.compile(1, func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		from, to string
		lost     bool
		wait     time.Duration
	}{
		{"a", "b", false, 0},
		{"a", "c", true, 0},
		{"a", GatewayPort, true, 0},
		{"b", "c", false, time.Second},
		{"b", "a", false, 0},
	} {
		if lost, wait := f.judge(tt.from, tt.to); lost != tt.lost || wait != tt.wait {
			t.Errorf("%s to %s: lost %v, wait %v; want %v, %v", tt.from, tt.to, lost, wait, tt.lost, tt.wait)
		}
	}
}

func TestBadImpairment(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	if _, err := n.AddHost(Host{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		im   Impairment
		want string
	}{
		{Impairment{Links: []LinkFault{{From: "x"}}}, `no machine is called "x"`},
		{Impairment{Partition: [][]string{{"a"}, {"y"}}}, `no machine is called "y"`},
		{Impairment{Partition: [][]string{{"a"}, {"a"}}}, "two groups"},
		{Impairment{Links: []LinkFault{{Drop: 1.5}}}, "probability"},
		{Impairment{Links: []LinkFault{{Drop: math.NaN()}}}, "probability"},
		{Impairment{Links: []LinkFault{{Delay: -1}}}, "negative"},
	} {
		if err := n.Impair(tt.im); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want one with %q", tt.im, err, tt.want)
		}
	}
	if n.fabric.faults.Load() != nil {
		t.Error("a bad impairment is in force")
	}
}

func TestPartitionAndHeal(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	a, b, c := newGuest(t, n, "a"), newGuest(t, n, "b"), newGuest(t, n, "c")
	for _, g := range []*guest{a, b, c} {
		g.listenEcho(t, netip.AddrPortFrom(g.IPv4, 7))
	}
	reach := func(from, to *guest) bool {
		t.Helper()
		conn, err := from.dial(within(t, 300*time.Millisecond), "tcp", netip.AddrPortFrom(to.IPv4, 7))
		if err != nil {
			return false
		}
		checkEcho(t, conn)
		return true
	}
	check := func(step string, ab, ac, gateway bool) {
		t.Helper()
		if got := reach(a, b); got != ab {
			t.Errorf("%s: a reaches b: %v", step, got)
		}
		if got := reach(a, c); got != ac {
			t.Errorf("%s: a reaches c: %v", step, got)
		}
		conn, err := n.DialContext(within(t, 300*time.Millisecond), "tcp", "a:7")
		if (err == nil) != gateway {
			t.Errorf("%s: runner reaches a: %v", step, err)
		}
		if err == nil {
			checkEcho(t, conn)
		}
	}
	await(t, func() bool { return reach(a, b) && reach(a, c) })
	check("healthy", true, true, true)
	if err := n.Impair(Impairment{Partition: [][]string{{"a", "c"}, {"b"}}}); err != nil {
		t.Fatal(err)
	}
	check("partition", false, true, true)
	if err := n.Impair(Impairment{Partition: [][]string{{"a"}, {"b", GatewayPort}}}); err != nil {
		t.Fatal(err)
	}
	check("with the gateway", false, true, false)
	n.Heal()
	check("healed", true, true, true)
	if n.Stats()["b"].Faulted == 0 {
		t.Error("no frames counted as lost")
	}
}
