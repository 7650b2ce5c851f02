package clusterhost

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"seatrial/internal/qmp"
	"seatrial/platforms"
)

// connPair returns the two ends of a stream that can be half closed.
func connPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("unix", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

// Each direction ends by itself, and both are carried to their ends.
func TestJoin(t *testing.T) {
	client, hostClient := connPair(t)
	hostGuest, guest := connPair(t)
	joined := make(chan struct{})
	go func() {
		join(t.Context(), hostClient, hostGuest)
		close(joined)
	}()
	request := bytes.Repeat([]byte("request"), 1<<18)
	go func() {
		_, _ = client.Write(request) // a short write shows at the other end
		_ = closeWrite(client)
	}()
	if got, err := io.ReadAll(guest); err != nil || !bytes.Equal(got, request) {
		t.Errorf("the guest got %d bytes of %d, %v", len(got), len(request), err)
	}
	if _, err := io.WriteString(guest, "answer"); err != nil {
		t.Fatal(err)
	}
	guest.Close()
	if got, err := io.ReadAll(client); err != nil || string(got) != "answer" {
		t.Errorf("the client got %q, %v", got, err)
	}
	<-joined
}

// Joined connections that nobody uses end with their context.
func TestJoinEnds(t *testing.T) {
	_, hostClient := connPair(t)
	hostGuest, guest := connPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	joined := make(chan struct{})
	go func() {
		join(ctx, hostClient, hostGuest)
		close(joined)
	}()
	cancel()
	<-joined
	if _, err := guest.Read(make([]byte, 1)); err == nil {
		t.Error("the guest's end is open")
	}
}

func TestPacketConn(t *testing.T) {
	a, b := net.Pipe()
	sender, receiver := packetConn{a}, packetConn{b}
	datagrams := []string{"one", "", strings.Repeat("x", 65535), "truncated", "last"}
	go func() {
		for _, d := range datagrams {
			if _, err := sender.Write([]byte(d)); err != nil {
				t.Error(err)
			}
		}
		a.Close()
	}()
	for _, want := range datagrams {
		buf := make([]byte, 65535)
		if want == "truncated" {
			want, buf = "trunc", buf[:5]
		}
		if n, err := receiver.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("got %d bytes, want %d, %v", n, len(want), err)
		}
	}
	if _, err := receiver.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("at the end, Read gave %v", err)
	}
	if _, err := sender.Write(make([]byte, 65536)); err == nil {
		t.Error("a datagram too long was taken")
	}
}

// What callers tell apart is still told apart on the other side of the socket.
func TestWireErrors(t *testing.T) {
	refused := &qmp.Error{Command: "c", Class: "GenericError", Desc: "d"}
	for _, want := range []error{ErrNoMachine, ErrMachineEnded, refused, syscall.ECONNREFUSED} {
		in := errors.Join(errors.New("context"), want)
		got := toWire(in).err()
		if _, isQMP := errors.AsType[*qmp.Error](got); got.Error() != in.Error() || isQMP != (want == refused) || !isQMP && !errors.Is(got, want) {
			t.Errorf("%v became %v", in, got)
		}
	}
}

// Many readers follow a console from its beginning, each at its own pace.
func TestConsoleReaders(t *testing.T) {
	machine, hostEnd := connPair(t)
	c, err := openConsole(hostEnd, filepath.Join(t.TempDir(), "console.txt"))
	if err != nil {
		t.Fatal(err)
	}
	go c.run()
	results := make(chan string)
	for range 3 {
		go func() {
			var b bytes.Buffer
			if err := c.follow(t.Context(), &b); err != nil {
				t.Error(err)
			}
			results <- b.String()
		}()
	}
	want := strings.Repeat("a line of the console\r\n", 10000)
	if _, err := io.WriteString(machine, want); err != nil {
		t.Fatal(err)
	}
	machine.Close()
	for range 3 {
		if got := <-results; got != want {
			t.Errorf("a reader got %d bytes of %d", len(got), len(want))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.follow(ctx, io.Discard); err != nil {
		t.Errorf("following what has ended: %v", err)
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
}

// Of a kept host's expiries the last one counts.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{quit: make(chan struct{}), keep: time.Minute, log: discard()}
		begin := time.Now()
		go h.orphaned()
		time.Sleep(30 * time.Second)
		h.setKeep(time.Hour)
		<-h.quit
		if d := time.Since(begin); d != time.Hour+30*time.Second {
			t.Errorf("it ended after %v", d)
		}
	})
}

func TestNetwork(t *testing.T) {
	cfg, spec := testConfig(t), testSpec(t)
	pcap := filepath.Join(t.TempDir(), "net0.pcap")
	spec.Networks = []Network{{Name: "net0", Capture: pcap}, {Name: "net1"}}
	c := startHost(t, cfg, spec)
	nics, err := c.Announce(t.Context(), "m1", []string{"net0", "net1"}, nil)
	if err != nil || len(nics) != 2 || nics[0].IPv4 == nics[1].IPv4 || len(nics[0].Addrs()) != 2 {
		t.Errorf("announced %+v, %v", nics, err)
	}
	if again, err := c.Announce(t.Context(), "m1", nil, nil); err != nil || len(again) != 2 || again[0].MAC != nics[0].MAC {
		t.Errorf("announced again %+v, %v", again, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := c.Dial(ctx, "tcp", net.JoinHostPort(nics[0].IPv4.String(), "22")); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("dialing a machine that is off gave %v", err)
	}
	for _, address := range []string{"1.2.3.4:22", "nonsense"} {
		if _, err := c.Dial(ctx, "tcp", address); err == nil {
			t.Errorf("dialing %s gave no error", address)
		}
	}
	for _, im := range []platforms.Impairment{{Drop: 0.5, Groups: [][]string{{"m1"}}}, {}} {
		if err := c.Impair(ctx, im); err != nil {
			t.Errorf("%+v: %v", im, err)
		}
	}
	if err := c.Impair(ctx, platforms.Impairment{Groups: [][]string{{"m2"}}}); !errors.Is(err, ErrNoMachine) {
		t.Errorf("a group of an unknown machine gave %v", err)
	}
	l, err := c.Listen(ctx, "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	if addr := l.Addr().(*net.TCPAddr); addr.Port == 0 || addr.IP.String() != c.Networks()[0].GatewayIPv4.String() {
		t.Errorf("it listens at %v", addr)
	}
	if _, err := c.Listen(ctx, "tcp", l.Addr().String()); err == nil {
		t.Error("two listeners have one address")
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range [][2]string{{"udp", ":0"}, {"tcp", "nonsense"}, {"tcp", ":x"}, {"tcp", "host:1"}} {
		if _, err := c.Listen(ctx, bad[0], bad[1]); err == nil {
			t.Errorf("listening on %v gave no error", bad)
		}
	}
	if err := c.Destroy(ctx); err != nil {
		t.Error(err)
	}
	if !exists(pcap) {
		t.Error("there is no capture")
	}
}

// TestChannel: a stream to the guest, which ends with the guest's end of it.
func TestChannel(t *testing.T) {
	c := startHost(t, testConfig(t), testSpec(t))
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Announce(t.Context(), "m1", nil, nil); err != nil {
		t.Fatal(err)
	}
	echo := `channel={fd:channel}; cat <&$channel >&$channel & exec "$@"`
	err = c.Boot(t.Context(), Machine{Name: "m1", Dir: t.TempDir(), Processes: []Process{
		{Name: "qemu", Argv: []string{"sh", "-c", echo, "m1", exe, fakeGuest, "{fd:qmp}", "{fd:console}", "{fd:nic0}"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.Channel(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Errorf("it gave %q, %v", got, err)
	}
	if err := c.QMP(t.Context(), "m1", "close-port", nil, nil); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(got); err == nil {
		t.Errorf("after its end it gave %q", got[:n])
	}
	mustBootFake(t, c, "m2")
	if _, err := c.Channel(t.Context(), "m2"); err == nil {
		t.Error("a machine without a channel has one")
	}
}

// TestAlike: machines of different clusters can have the same addresses, those of one cannot.
func TestAlike(t *testing.T) {
	networks := []Network{{Name: "net0"}}
	one, two := startHost(t, testConfig(t), Spec{Seed: 1, Networks: networks}), startHost(t, testConfig(t), Spec{Seed: 2, Networks: networks})
	template, err := one.Announce(t.Context(), "template", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, err := two.Announce(t.Context(), "m1", nil, template)
	if err != nil || first[0] != template[0] {
		t.Errorf("the first has %+v, %v; want %+v", first, err, template)
	}
	second, err := two.Announce(t.Context(), "m2", nil, template)
	if err != nil || second[0].MAC == first[0].MAC || second[0].IPv4 == first[0].IPv4 || second[0].IPv6 == first[0].IPv6 {
		t.Errorf("the second has %+v, %v", second, err)
	}
	if g1, g2 := one.Networks()[0], two.Networks()[0]; g1 != g2 {
		t.Errorf("their networks are %+v and %+v", g1, g2)
	}
}
