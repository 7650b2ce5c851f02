package vnet

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"time"
)

// SNTP, RFC 4330: a server that answers each client packet from its own clock.
const (
	ntpPort       = 123
	ntpSize       = 48
	ntpModeMask   = 7
	ntpClient     = 3
	ntpServer     = 4
	ntpVersions   = 7 << 3
	ntpStratum    = 1          // the host's clock is the reference of the cluster
	ntpPrecision  = 0xec       // 2^-20 s, as a signed exponent
	ntpEraSeconds = 2208988800 // from 1900 to 1970
)

// startNTP serves time on each of the gateway's addresses.
func (n *Network) startNTP() error {
	for _, addr := range n.hosts.own {
		conn, err := n.ListenPacket(netip.AddrPortFrom(addr, ntpPort))
		if err != nil {
			return err
		}
		if err := n.track(conn); err != nil {
			return errors.Join(err, conn.Close())
		}
		n.wg.Go(func() { n.serveNTP(conn) })
	}
	return nil
}

func (n *Network) serveNTP(conn net.PacketConn) {
	buf := make([]byte, mtu)
	for {
		size, from, err := conn.ReadFrom(buf)
		if err != nil {
			return // closed
		}
		now := n.cfg.Now().Add(time.Duration(n.clockOffset.Load()))
		if reply, ok := ntpReply(buf[:size], now); ok {
			if _, err := conn.WriteTo(reply, from); err != nil {
				n.cfg.Log.Debug("NTP reply not sent", "to", from, "err", err)
			}
		}
	}
}

// ntpReply answers a client's packet; ok is false if it is none.
func ntpReply(request []byte, now time.Time) (reply []byte, ok bool) {
	if len(request) < ntpSize || request[0]&ntpModeMask != ntpClient {
		return nil, false
	}
	reply = make([]byte, 0, ntpSize)
	reply = append(reply, request[0]&ntpVersions|ntpServer, ntpStratum, request[2], ntpPrecision)
	reply = append(reply, make([]byte, 8)...) // root delay and dispersion
	reply = append(reply, "LOCL"...)          // reference: an uncalibrated local clock
	reply = binary.BigEndian.AppendUint64(reply, ntpTime(now))
	reply = append(reply, request[40:48]...) // originate: the client's transmit time
	reply = binary.BigEndian.AppendUint64(reply, ntpTime(now))
	return binary.BigEndian.AppendUint64(reply, ntpTime(now)), true
}

// ntpTime returns seconds since 1900 in 32.32 fixed point; it wraps in 2036, as NTP means it to.
func ntpTime(t time.Time) uint64 {
	seconds := uint64(t.Unix() + ntpEraSeconds)
	fraction := uint64(t.Nanosecond()) << 32 / uint64(time.Second)
	return seconds<<32 | fraction
}
