package clusterhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"seatrial/internal/vnet"
	"seatrial/platforms"
)

// captureLimit bounds the packet capture of one network, in bytes.
const captureLimit = 256 << 20

// network is a virtual network with its capture.
type network struct {
	vnet    *vnet.Network
	info    NetworkInfo
	members map[string]bool // names of the announced machines; guarded by the host's mutex

	endCapture func() error // nil without a capture
}

// openNetworks makes all networks of a cluster, or none.
func openNetworks(spec Spec, log *slog.Logger) ([]*network, error) {
	var networks []*network
	for i, n := range spec.Networks {
		opened, err := openNetwork(spec, n, uint8(i), log)
		if err != nil {
			for _, n := range networks {
				err = errors.Join(err, n.close())
			}
			return nil, err
		}
		networks = append(networks, opened)
	}
	return networks, nil
}

func openNetwork(spec Spec, n Network, index uint8, log *slog.Logger) (*network, error) {
	// The same in every cluster: a machine that is restored in another one finds its network as it was.
	v4, v6 := vnet.Prefixes(0, index)
	if n.IPv4.IsValid() {
		v4 = n.IPv4
	}
	if n.IPv6.IsValid() {
		v6 = n.IPv6
	}
	v, err := vnet.New(vnet.Config{
		Name:           n.Name,
		IPv4:           v4,
		IPv6:           v6,
		Seed:           spec.Seed,
		NoDefaultRoute: index > 0,
		Internet:       spec.Internet,
		Log:            log,
	})
	if err != nil {
		return nil, err
	}
	opened := &network{vnet: v, members: make(map[string]bool)}
	gateway4, gateway6 := v.Gateway()
	opened.info = NetworkInfo{Name: n.Name, IPv4: v4, IPv6: v6, GatewayIPv4: gateway4, GatewayIPv6: gateway6}
	if n.Capture != "" {
		if err := opened.capture(n.Capture); err != nil {
			return nil, errors.Join(err, v.Close())
		}
	}
	return opened, nil
}

// capture starts the packet capture.
func (n *network) capture(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("network %s: capture: %w", n.info.Name, err)
	}
	stop, err := n.vnet.Capture(f, captureLimit)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	n.endCapture = func() error { return errors.Join(stop(), f.Close()) }
	return nil
}

// announce gives a machine its addresses: the wanted ones if they are free.
func (n *network) announce(name, nic string, wanted NIC) (NIC, error) {
	mac, err := net.ParseMAC(wanted.MAC)
	var h vnet.Host
	if err == nil {
		h, err = n.vnet.AddHost(vnet.Host{Name: name, MAC: mac, IPv4: wanted.IPv4})
	}
	if err != nil {
		h, err = n.vnet.AddHost(vnet.Host{Name: name})
	}
	if err != nil {
		return NIC{}, err
	}
	n.members[name] = true
	return NIC{ID: nic, Network: n.info.Name, MAC: h.MAC.String(), IPv4: h.IPv4, IPv6: h.IPv6}, nil
}

// contains reports whether an address is of the network.
func (n *network) contains(a netip.Addr) bool {
	return n.info.IPv4.Contains(a) || n.info.IPv6.Contains(a)
}

// impair translates to the switch's terms: faults between machines, none on the way to and from
// the gateway, and a group for each machine that is in none.
func (n *network) impair(i platforms.Impairment) error {
	var im vnet.Impairment
	if i.Drop != 0 || i.Delay != 0 || i.Jitter != 0 {
		im.Links = []vnet.LinkFault{
			{From: vnet.GatewayPort},
			{To: vnet.GatewayPort},
			// The switch's jitter goes both ways.
			{Drop: i.Drop, Delay: i.Delay + i.Jitter/2, Jitter: i.Jitter / 2},
		}
	}
	if len(i.Groups) > 0 {
		alone := make(map[string]bool)
		for name := range n.members {
			alone[name] = true
		}
		for _, group := range i.Groups {
			var here []string
			for _, name := range group {
				if n.members[name] {
					here = append(here, name)
					delete(alone, name)
				}
			}
			im.Partition = append(im.Partition, here)
		}
		for name := range alone {
			im.Partition = append(im.Partition, []string{name})
		}
	}
	return n.vnet.Impair(im)
}

// dial opens a connection from the gateway of the network that the address belongs to; a name or
// another address is looked for in the first one.
func (h *host) dial(ctx context.Context, protocol, address string) (net.Conn, error) {
	chosen := h.networks[0]
	if target, err := netip.ParseAddrPort(address); err == nil {
		for _, n := range h.networks {
			if n.contains(target.Addr()) {
				chosen = n
			}
		}
	}
	conn, err := chosen.vnet.DialContext(ctx, protocol, address)
	if err != nil {
		return nil, withErrno(err)
	}
	return conn, nil
}

// withErrno adds the error number to an error of the network stack, which has its text only.
func withErrno(err error) error {
	for text, errno := range map[string]syscall.Errno{
		"connection was refused":     syscall.ECONNREFUSED,
		"no route to host":           syscall.EHOSTUNREACH,
		"host is unreachable":        syscall.EHOSTUNREACH,
		"network is unreachable":     syscall.ENETUNREACH,
		"connection reset by peer":   syscall.ECONNRESET,
		"operation timed out":        syscall.ETIMEDOUT,
		"connection attempt aborted": syscall.ECONNABORTED,
	} {
		if strings.Contains(err.Error(), text) {
			return fmt.Errorf("%w: %w", err, errno)
		}
	}
	return err
}

func (n *network) close() error {
	var err error
	if n.endCapture != nil {
		err = n.endCapture()
	}
	return errors.Join(err, n.vnet.Close())
}
