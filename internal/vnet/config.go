package vnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Config describes a network. The zero value of a field marked optional selects its default.
type Config struct {
	Name string // of the network within its cluster, part of every error and log line

	// IPv4 and IPv6 are the segment's prefixes. At least one is needed; the zero Prefix leaves the
	// protocol out. IPv4 is a /8 to /28, IPv6 a /64, since machines form their address from the MAC.
	// [Prefixes] plans both.
	IPv4, IPv6 netip.Prefix

	Domain string // optional: DNS domain of the machines, "test" if empty
	Seed   uint64 // of MAC addresses and faults

	// NoDefaultRoute leaves the default route out of what the machines are told: for the second
	// network of a machine whose first one already has it.
	NoDefaultRoute bool

	// Internet lets machines reach beyond the segment: TCP and UDP are relayed by DialOutside, and
	// unknown names are resolved by Resolvers.
	Internet bool
	// DialOutside opens a relayed connection; optional, net.Dialer by default. It is only asked for
	// addresses that are neither the host's own nor loopback, link-local or multicast.
	DialOutside func(ctx context.Context, network, address string) (net.Conn, error)
	// Resolvers answer the names that are not of the segment; optional, the name servers of
	// /etc/resolv.conf by default. Not used without Internet.
	Resolvers []netip.AddrPort

	Log *slog.Logger     // optional: diagnosis; discarded by default
	Now func() time.Time // optional: the clock of NTP and captures; time.Now by default
}

// Host is a machine as the gateway knows it.
type Host struct {
	Name string // one DNS label; also the name of the machine's switch port
	MAC  net.HardwareAddr
	IPv4 netip.Addr
	IPv6 netip.Addr
}

const (
	minIPv4Bits = 8
	maxIPv4Bits = 28
	slaacBits   = 64
)

// withDefaults returns the configuration with its optional fields filled in, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if !c.IPv4.IsValid() && !c.IPv6.IsValid() {
		errs = append(errs, errors.New("neither an IPv4 nor an IPv6 prefix is set"))
	}
	if p := c.IPv4; p.IsValid() && (!p.Addr().Is4() || p.Bits() < minIPv4Bits || p.Bits() > maxIPv4Bits) {
		errs = append(errs, fmt.Errorf("prefix %s is not an IPv4 prefix of /%d to /%d", p, minIPv4Bits, maxIPv4Bits))
	}
	if p := c.IPv6; p.IsValid() && (!p.Addr().Is6() || p.Addr().Is4In6() || p.Bits() != slaacBits) {
		errs = append(errs, fmt.Errorf("prefix %s is not an IPv6 prefix of /%d", p, slaacBits))
	}
	if c.Domain == "" {
		c.Domain = "test"
	}
	c.Domain = strings.ToLower(strings.Trim(c.Domain, "."))
	for label := range strings.SplitSeq(c.Domain, ".") {
		if err := checkLabel(label); err != nil {
			errs = append(errs, fmt.Errorf("domain %q: %w", c.Domain, err))
		}
	}
	if len(errs) > 0 {
		return Config{}, errors.Join(errs...)
	}
	c.IPv4, c.IPv6 = c.IPv4.Masked(), c.IPv6.Masked()
	if c.DialOutside == nil {
		c.DialOutside = new(net.Dialer).DialContext
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

// checkLabel reports why s is not a host name label (RFC 1123, section 2.1).
func checkLabel(s string) error {
	const maxLabel = 63
	if s == "" || len(s) > maxLabel {
		return fmt.Errorf("label %q must have 1 to %d characters", s, maxLabel)
	}
	for i, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		inner := i > 0 && i < len(s)-1
		if !letter && !(c == '-' && inner) {
			return fmt.Errorf("label %q may hold only letters, digits and inner hyphens", s)
		}
	}
	return nil
}
