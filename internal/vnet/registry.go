package vnet

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// registry knows the machines of a network and the names it answers for.
type registry struct {
	cfg Config
	own []netip.Addr // the gateway's

	mu      sync.RWMutex
	hosts   map[string]Host
	records map[string][]netip.Addr // by lower-case name without trailing dot
}

func newRegistry(cfg Config, own []netip.Addr) *registry {
	r := &registry{cfg: cfg, own: own, hosts: make(map[string]Host), records: make(map[string][]netip.Addr)}
	r.records[GatewayPort+"."+cfg.Domain] = own
	return r
}

// add completes a host and takes it in.
func (r *registry) add(h Host) (Host, error) {
	if err := checkLabel(h.Name); err != nil {
		return Host{}, err
	}
	if h.Name == GatewayPort {
		return Host{}, fmt.Errorf("the name %q is the gateway's", GatewayPort)
	}
	if h.MAC == nil {
		h.MAC = MAC(r.cfg.Seed, h.Name, r.cfg.Name)
	}
	if len(h.MAC) != len(etherAddr{}) || etherAddr(h.MAC).isGroup() {
		return Host{}, fmt.Errorf("MAC %s is not a unicast Ethernet address", h.MAC)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !h.IPv4.IsValid() && r.cfg.IPv4.IsValid() {
		addr, err := r.freeIPv4()
		if err != nil {
			return Host{}, err
		}
		h.IPv4 = addr
	}
	if !h.IPv6.IsValid() && r.cfg.IPv6.IsValid() {
		h.IPv6 = SLAAC(r.cfg.IPv6, h.MAC)
	}
	if err := r.check(h); err != nil {
		return Host{}, err
	}
	h.MAC = slices.Clone(h.MAC)
	r.hosts[h.Name] = h
	name := strings.ToLower(h.Name) + "." + r.cfg.Domain
	r.records[name] = append(r.records[name], h.addrs()...)
	return h, nil
}

// freeIPv4 returns the lowest address that no machine has.
func (r *registry) freeIPv4() (netip.Addr, error) {
	for n := uint32(firstHostNumber); ; n++ {
		addr, ok := nthAddr(r.cfg.IPv4, n)
		if !ok {
			return netip.Addr{}, fmt.Errorf("no address left in %s", r.cfg.IPv4)
		}
		if _, taken := r.holder(addr); !taken {
			return addr, nil
		}
	}
}

// check reports what is wrong with a complete host, or what it clashes with.
func (r *registry) check(h Host) error {
	var errs []error
	for _, x := range []struct {
		addr   netip.Addr
		prefix netip.Prefix
	}{{h.IPv4, r.cfg.IPv4}, {h.IPv6, r.cfg.IPv6}} {
		if !x.addr.IsValid() {
			continue
		}
		base := x.prefix.Masked().Addr()
		if !x.prefix.Contains(x.addr) || x.addr == base || x.addr == broadcast(x.prefix) || slices.Contains(r.own, x.addr) {
			errs = append(errs, fmt.Errorf("%s is not an address for a machine in %s", x.addr, x.prefix))
		} else if other, taken := r.holder(x.addr); taken {
			errs = append(errs, fmt.Errorf("%s belongs to %s", x.addr, other))
		}
	}
	for _, other := range r.hosts {
		if strings.EqualFold(other.Name, h.Name) {
			errs = append(errs, fmt.Errorf("the name %s is taken", other.Name))
		}
		if bytes.Equal(other.MAC, h.MAC) {
			errs = append(errs, fmt.Errorf("MAC %s belongs to %s", h.MAC, other.Name))
		}
	}
	return errors.Join(errs...)
}

// addrs returns the addresses that a host has.
func (h Host) addrs() []netip.Addr {
	return slices.DeleteFunc([]netip.Addr{h.IPv4, h.IPv6}, func(a netip.Addr) bool { return !a.IsValid() })
}

// holder returns the machine that has an address. The caller holds the lock.
func (r *registry) holder(addr netip.Addr) (name string, ok bool) {
	for _, h := range r.hosts {
		if h.IPv4 == addr || h.IPv6 == addr {
			return h.Name, true
		}
	}
	return "", false
}

// hasMAC reports whether a MAC was given to another machine than the named one.
func (r *registry) hasMAC(mac etherAddr, but string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, h := range r.hosts {
		if h.Name != but && etherAddr(h.MAC) == mac {
			return true
		}
	}
	return false
}

// byAddr is holder for callers without the lock.
func (r *registry) byAddr(addr netip.Addr) (name string, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.holder(addr)
}

// known reports whether a machine has the name.
func (r *registry) known(name string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok := r.hosts[name]
	return ok
}

// byMAC returns the machine that has a MAC.
func (r *registry) byMAC(mac []byte) (Host, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, h := range r.hosts {
		if bytes.Equal(h.MAC, mac) {
			return h, true
		}
	}
	return Host{}, false
}

// addRecord adds addresses to a DNS name.
func (r *registry) addRecord(name string, addrs []netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	r.records[name] = append(r.records[name], addrs...)
}

// lookup returns the addresses of a name, in any case and with or without the trailing dot.
func (r *registry) lookup(name string) (addrs []netip.Addr, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	addrs, ok = r.records[strings.ToLower(strings.TrimSuffix(name, "."))]
	return slices.Clone(addrs), ok
}

// nameOf returns the DNS name of an address of the segment: a machine's or the gateway's.
func (r *registry) nameOf(addr netip.Addr) (name string, ok bool) {
	name, ok = r.byAddr(addr)
	if slices.Contains(r.own, addr) {
		name, ok = GatewayPort, true
	}
	return strings.ToLower(name) + "." + r.cfg.Domain, ok
}
