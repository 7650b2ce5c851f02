package vnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	dnsPort        = 53
	recordLifetime = 60 // seconds
	forwardTimeout = 5 * time.Second
	resolvConf     = "/etc/resolv.conf"
)

// nameServer answers for the segment, and asks upstream for the rest.
type nameServer struct {
	hosts    *registry
	domain   string // absolute: with trailing dot
	upstream []netip.AddrPort
	log      *slog.Logger
	ctx      context.Context // ends with the network
}

// startDNS serves names on each of the gateway's addresses.
func (n *Network) startDNS(ctx context.Context) error {
	s := &nameServer{hosts: n.hosts, domain: dns.Fqdn(n.cfg.Domain), log: n.cfg.Log, ctx: ctx}
	if n.cfg.Internet {
		s.upstream = n.cfg.Resolvers
		if s.upstream == nil {
			var err error
			if s.upstream, err = hostResolvers(resolvConf); err != nil {
				return err
			}
		}
	}
	for _, addr := range n.hosts.own {
		if err := n.serveDNS(ctx, s, netip.AddrPortFrom(addr, dnsPort)); err != nil {
			return err
		}
	}
	return nil
}

// serveDNS serves UDP and TCP on an address until the network closes.
func (n *Network) serveDNS(ctx context.Context, h dns.Handler, addr netip.AddrPort) error {
	packets, err := n.ListenPacket(addr)
	if err != nil {
		return err
	}
	streams, err := n.Listen(addr)
	if err != nil {
		return errors.Join(err, packets.Close())
	}
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: h}, {Listener: streams, Handler: h}} {
		if err := n.startServer(ctx, server); err != nil {
			return fmt.Errorf("serve DNS on %s: %w", addr, err)
		}
	}
	return nil
}

// startServer runs a server until ctx ends. It returns when the server runs: only then can it be
// shut down.
func (n *Network) startServer(ctx context.Context, server *dns.Server) error {
	started := make(chan struct{})
	ended := make(chan error, 1)
	server.NotifyStartedFunc = func() { close(started) }
	n.wg.Go(func() { ended <- server.ActivateAndServe() })
	select {
	case err := <-ended:
		return err
	case <-started:
	}
	n.wg.Go(func() {
		<-ctx.Done()
		if err := server.Shutdown(); err != nil {
			n.cfg.Log.Debug("DNS server not shut down", "err", err)
		}
	})
	return nil
}

// hostResolvers returns the name servers of a resolv.conf file.
func hostResolvers(path string) ([]netip.AddrPort, error) {
	config, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("find the host's name servers: %w", err)
	}
	var servers []netip.AddrPort
	for _, s := range config.Servers {
		if addr, err := netip.ParseAddr(s); err == nil {
			servers = append(servers, netip.AddrPortFrom(addr, dnsPort))
		}
	}
	return servers, nil
}

// ServeDNS implements [dns.Handler].
func (s *nameServer) ServeDNS(w dns.ResponseWriter, request *dns.Msg) {
	reply := s.answer(request)
	if reply == nil {
		_, tcp := w.RemoteAddr().(*net.TCPAddr)
		reply = s.forward(request, tcp)
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		size := dns.MinMsgSize
		if opt := request.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		reply.Truncate(size)
	}
	if err := w.WriteMsg(reply); err != nil {
		s.log.Debug("DNS reply not sent", "err", err)
	}
}

// answer answers what the segment knows; nil if the question is for the world.
func (s *nameServer) answer(request *dns.Msg) *dns.Msg {
	reply := new(dns.Msg).SetReply(request)
	reply.Authoritative = true
	reply.RecursionAvailable = len(s.upstream) > 0
	if opt := request.IsEdns0(); opt != nil {
		reply.SetEdns0(dns.DefaultMsgSize, false)
	}
	if len(request.Question) != 1 || request.Opcode != dns.OpcodeQuery {
		return reply.SetRcode(request, dns.RcodeNotImplemented)
	}
	q := request.Question[0]
	if addr, ok := reverseAddr(q.Name); ok {
		if name, ok := s.hosts.nameOf(addr); ok {
			if q.Qtype == dns.TypePTR || q.Qtype == dns.TypeANY {
				head := dns.RR_Header{Name: q.Name, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: recordLifetime}
				reply.Answer = append(reply.Answer, &dns.PTR{Hdr: head, Ptr: dns.Fqdn(name)})
			}
			return reply
		}
	}
	if addrs, ok := s.hosts.lookup(q.Name); ok {
		reply.Answer = addressRecords(q, addrs)
		return reply
	}
	if len(s.upstream) > 0 && !dns.IsSubDomain(s.domain, dns.CanonicalName(q.Name)) {
		return nil
	}
	if dns.CanonicalName(q.Name) != dns.CanonicalName(s.domain) {
		reply.Rcode = dns.RcodeNameError
	}
	return reply
}

// addressRecords returns the answers to a question about a name with these addresses.
func addressRecords(q dns.Question, addrs []netip.Addr) []dns.RR {
	var records []dns.RR
	for _, a := range addrs {
		head := dns.RR_Header{Name: q.Name, Class: dns.ClassINET, Ttl: recordLifetime}
		switch {
		case a.Is4() && (q.Qtype == dns.TypeA || q.Qtype == dns.TypeANY):
			head.Rrtype = dns.TypeA
			records = append(records, &dns.A{Hdr: head, A: a.AsSlice()})
		case a.Is6() && (q.Qtype == dns.TypeAAAA || q.Qtype == dns.TypeANY):
			head.Rrtype = dns.TypeAAAA
			records = append(records, &dns.AAAA{Hdr: head, AAAA: a.AsSlice()})
		}
	}
	return records
}

// reverseAddr returns the address that a name below in-addr.arpa or ip6.arpa stands for.
func reverseAddr(name string) (netip.Addr, bool) {
	name = dns.CanonicalName(name)
	if digits, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		labels := strings.Split(digits, ".")
		slices.Reverse(labels)
		addr, err := netip.ParseAddr(strings.Join(labels, "."))
		return addr, err == nil && addr.Is4()
	}
	if digits, ok := strings.CutSuffix(name, ".ip6.arpa."); ok {
		labels := strings.Split(digits, ".")
		slices.Reverse(labels)
		var b strings.Builder
		for i, nibble := range labels {
			if i > 0 && i%4 == 0 {
				b.WriteByte(':')
			}
			b.WriteString(nibble)
		}
		addr, err := netip.ParseAddr(b.String())
		return addr, err == nil && len(labels) == 32
	}
	return netip.Addr{}, false
}

// forward asks the host's name servers in turn.
func (s *nameServer) forward(request *dns.Msg, tcp bool) *dns.Msg {
	ctx, cancel := context.WithTimeout(s.ctx, forwardTimeout)
	defer cancel()
	client := &dns.Client{Timeout: forwardTimeout}
	if tcp {
		client.Net = "tcp"
	}
	for _, server := range s.upstream {
		reply, _, err := client.ExchangeContext(ctx, request, server.String())
		if err == nil {
			return reply
		}
		s.log.Debug("name server of the host did not answer", "server", server, "err", err)
	}
	return new(dns.Msg).SetRcode(request, dns.RcodeServerFailure)
}
