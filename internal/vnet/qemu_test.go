package vnet

import (
	"bytes"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// TestQEMU boots a machine without a disk: the iPXE in its network card's ROM configures the card by
// DHCP, over QEMU's stream netdev, which the capture shows.
func TestQEMU(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a machine")
	}
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skipf("needs QEMU for amd64: %v", err)
	}
	n := newNetwork(t, testConfig(t))
	host, err := n.AddHost(Host{Name: "node1"})
	if err != nil {
		t.Fatal(err)
	}
	var file syncBuffer
	stop, err := n.Capture(&file, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	socket := filepath.Join(t.TempDir(), "node1.sock")
	if _, err := n.ListenUnix(socket, host.Name); err != nil {
		t.Fatal(err)
	}
	machine := exec.Command(qemu, "-nodefaults", "-machine", "q35,accel=tcg", "-m", "64", "-display", "none",
		"-netdev", "stream,id=n0,server=off,addr.type=unix,addr.path="+socket,
		"-device", "virtio-net-pci,netdev=n0,mac="+host.MAC.String())
	var complaints bytes.Buffer
	machine.Stderr = &complaints
	if err := machine.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = machine.Process.Kill()
		_ = machine.Wait()
	}()

	want := []dhcpv4.MessageType{
		dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeAck,
	}
	deadline := time.Now().Add(60 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		got := dhcpMessages(readPcap(t, file.snapshot(), time.Time{}), host.IPv4)
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("DHCP messages in the capture: %v, want %v\n%s", got, want, &complaints)
		}
		<-tick.C
	}
}

// dhcpMessages returns the kinds of the DHCP messages in a capture, without repetitions. Offers and
// acknowledgements count only if they give the address.
func dhcpMessages(frames [][]byte, addr netip.Addr) (kinds []dhcpv4.MessageType) {
	for _, frame := range frames {
		h := header.IPv4(frame[header.EthernetMinimumSize:])
		if header.Ethernet(frame).Type() != header.IPv4ProtocolNumber || !h.IsValid(len(h)) || h.TransportProtocol() != header.UDPProtocolNumber {
			continue
		}
		message, err := dhcpv4.FromBytes(header.UDP(h.Payload()).Payload())
		if err != nil || message.OpCode == dhcpv4.OpcodeBootReply && !message.YourIPAddr.Equal(addr.AsSlice()) {
			continue
		}
		kinds = append(kinds, message.MessageType())
	}
	slices.SortFunc(kinds, func(a, b dhcpv4.MessageType) int { return order(a) - order(b) })
	return slices.Compact(kinds)
}

// order is the place of a message in an exchange.
func order(m dhcpv4.MessageType) int {
	return slices.Index([]dhcpv4.MessageType{
		dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeAck,
	}, m)
}

// syncBuffer can be read while it is written. A capture writes whole records.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) snapshot() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.b.Bytes())
}
