package vnet

import (
	"encoding/binary"
	"hash/fnv"
	"net"
	"net/netip"
)

// Addresses of a segment: the gateway is the first, machines follow from the eleventh on, so that
// the ones between stay free for services of the runner.
const (
	gatewayHostNumber = 1
	firstHostNumber   = 11
)

// Prefixes plans the prefixes of a cluster's index-th network (0 to 255): 10.77.index.0/24, which
// keeps clear of the ranges that container engines and Kubernetes take by default, and a unique
// local IPv6 /64 (RFC 4193) whose global ID follows from seed.
func Prefixes(seed uint64, index uint8) (v4, v6 netip.Prefix) {
	v4 = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, index, 0}), 24)
	var a [16]byte
	binary.BigEndian.PutUint64(a[:], hash64(seed, "prefix"))
	a[0] = 0xfd
	a[6], a[7] = 0, index
	return v4, netip.PrefixFrom(netip.AddrFrom16(a), slaacBits)
}

// MAC returns the address of a machine's NIC: locally administered unicast, the same for the same
// seed, machine and nic, where nic tells the NICs of one machine apart.
func MAC(seed uint64, machine, nic string) net.HardwareAddr {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], hash64(seed, "mac", machine, nic))
	mac := net.HardwareAddr(b[:6])
	mac[0] = mac[0]&^1 | 2
	return mac
}

// gatewayMAC is the gateway's address, the same in networks of the same prefixes: a machine that is
// restored in another cluster still knows its gateway.
func gatewayMAC(c Config) net.HardwareAddr {
	return MAC(0, GatewayPort, c.IPv4.String()+c.IPv6.String())
}

// SLAAC returns the address that a machine forms in an IPv6 /64 from its MAC (modified EUI-64,
// RFC 4291, appendix A): what Linux and systemd-networkd do unless told otherwise.
func SLAAC(prefix netip.Prefix, mac net.HardwareAddr) netip.Addr {
	a := prefix.Masked().Addr().As16()
	copy(a[8:], []byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
	return netip.AddrFrom16(a)
}

// linkLocal returns the IPv6 link-local address that belongs to mac.
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return SLAAC(netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfe, 0x80}), slaacBits), mac)
}

// nthAddr returns the n-th address of a prefix; ok is false when it is outside of it or, for IPv4,
// the broadcast address.
func nthAddr(p netip.Prefix, n uint32) (addr netip.Addr, ok bool) {
	b := p.Masked().Addr().AsSlice()
	tail := b[len(b)-4:]
	binary.BigEndian.PutUint32(tail, binary.BigEndian.Uint32(tail)+n)
	addr, _ = netip.AddrFromSlice(b)
	return addr, p.Contains(addr) && addr != broadcast(p)
}

// broadcast returns the last address of an IPv4 prefix, and the zero Addr for an IPv6 one, which
// has no broadcast.
func broadcast(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() {
		return netip.Addr{}
	}
	a := p.Masked().Addr().As4()
	v := binary.BigEndian.Uint32(a[:]) | ^uint32(0)>>p.Bits()
	binary.BigEndian.PutUint32(a[:], v)
	return netip.AddrFrom4(a)
}

// hash64 mixes a seed and strings into one number; the strings are length-delimited by a zero byte.
func hash64(seed uint64, parts ...string) uint64 {
	h := fnv.New64a()
	h.Write(binary.BigEndian.AppendUint64(nil, seed))
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	// FNV leaves neighboring inputs with similar high bits; this is the finalizer of splitmix64.
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
