package basic

import "testing"

func TestHostnameFaults(t *testing.T) {
	named := func(name string) answers {
		return answers{"name": said(name), "resolved": said("10.0.0.11 STREAM " + name)}
	}
	checkFaults(t, hostnameFaults, []faultCase{
		{"short", named("m0"), nil},
		{"qualified", named("ip-10-0-0-1.eu-central-1.compute.internal"), nil},
		{"localhost", named("localhost"), []string{"neither platform nor image"}},
		{"localhost.localdomain", named("localhost.localdomain"), []string{"neither platform nor image"}},
		{"empty", named(""), []string{"RFC 1123"}},
		{"none", named("(none)"), []string{"RFC 1123"}},
		{"unresolvable", named("m0").with("resolved", failed(2, "")), []string{"cannot resolve its own name"}},
	})
}

func TestResolverFaults(t *testing.T) {
	good := answers{"service": said("active"), "own": said("m0: 10.0.0.11"), "stub": said("10.0.0.11 STREAM m0")}
	checkFaults(t, resolverFaults, []faultCase{
		{"good", good, nil},
		{"stub not in use", good.with("stub", said("not in use")), nil},
		{"stopped", good.with("service", failed(3, "inactive")), []string{`systemd-resolved is "inactive"`}},
		{"name unknown", good.with("own", failed(1, "m0: resolve call failed: 'm0' not found")), []string{"own name"}},
		{"stub dead", good.with("stub", failed(2, "")), []string{"DNS stub"}},
	})
}

func TestLoopbackFaults(t *testing.T) {
	good := answers{
		"link":      said(`1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN`),
		"addresses": said("1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever\n1: lo    inet6 ::1/128 scope host \\       valid_lft forever"),
		"no-ipv6":   said("0"),
	}
	const onlyIPv4 = "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever"
	checkFaults(t, loopbackFaults, []faultCase{
		{"up", good, nil},
		{"down", good.with("link", said("1: lo: <LOOPBACK> mtu 65536 qdisc noop state DOWN")), []string{"not up"}},
		{"no IPv6 address", good.with("addresses", said(onlyIPv4)), []string{"lacks the address ::1/128"}},
		{"IPv6 switched off", good.with("addresses", said(onlyIPv4)).with("no-ipv6", said("1")), nil},
		{"no address", good.with("addresses", said("")), []string{"127.0.0.1/8", "::1/128"}},
	})
}
