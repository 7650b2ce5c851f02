package platformtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"seatrial/platforms"
)

// banner is what an SSH server says first.
const banner = "SSH-"

func testDial(t *testing.T, f *fixture) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*f.CommandTime)
	defer cancel()
	address := f.a.Addresses()[0].String()
	for _, host := range []string{"", "127.0.0.1", "localhost", address} {
		conn, err := f.a.Dial(ctx, "tcp", net.JoinHostPort(host, "22"))
		if err != nil {
			t.Errorf("dial host %q: %v", host, err)
			continue
		}
		got := make([]byte, len(banner))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != banner {
			t.Errorf("host %q: read %q, %v", host, got, err)
		}
		if err := conn.Close(); err != nil {
			t.Errorf("host %q: close: %v", host, err)
		}
	}
	if conn, err := f.a.Dial(ctx, "tcp", ":1"); err == nil {
		conn.Close()
		t.Error("a port that nobody listens on was connected to")
	}
}

// reach is a command that prints the first bytes that a server sends.
func reach(a netip.Addr, port string) string {
	return fmt.Sprintf("timeout 10 bash -c 'head -c %d </dev/tcp/%s/%s'", len(banner), a, port)
}

func testPeers(t *testing.T, f *fixture) {
	for _, pair := range [][2]platforms.Machine{{f.a, f.b}, {f.b, f.a}} {
		for _, addr := range pair[1].Addresses() {
			if got := f.run(t, pair[0], reach(addr, "22")); got != banner {
				t.Errorf("%s reached %s at %s and got %q", pair[0].ID(), pair[1].ID(), addr, got)
			}
		}
	}
}

func testListener(t *testing.T, f *fixture) {
	l, ok := f.cluster.(platforms.Listener)
	if !ok {
		t.Fatal("the cluster does not implement platforms.Listener")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*f.CommandTime)
	defer cancel()
	listener, err := l.Listen(ctx, "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan string, 2)
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
			served <- host
			_, _ = io.WriteString(conn, banner) // the guest's side is looked at
			conn.Close()
		}
	}()
	if got := f.run(t, f.a, reach(l.FixtureAddress(), port)); got != banner {
		t.Errorf("the machine read %q", got)
	}
	if from := <-served; from != f.a.Addresses()[0].String() {
		t.Errorf("the connection came from %s", from)
	}
	if err := listener.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	<-accepted
	if r := f.exec(t, f.a, platforms.Command{Line: reach(l.FixtureAddress(), port)}); r.ExitCode == 0 {
		t.Errorf("after the end the machine read %q", r.Stdout)
	}
	again, err := l.Listen(ctx, "tcp", listener.Addr().String())
	if err != nil {
		t.Fatalf("listen where the connections of an earlier listener were closed: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func testImpairer(t *testing.T, f *fixture) {
	i, ok := f.cluster.(platforms.Impairer)
	if !ok {
		t.Fatal("the cluster does not implement platforms.Impairer")
	}
	impair := func(im platforms.Impairment) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), f.CommandTime)
		defer cancel()
		if err := i.Impair(ctx, im); err != nil {
			t.Fatal(err)
		}
	}
	reaches := func() bool {
		t.Helper()
		r := f.exec(t, f.a, platforms.Command{Line: reach(f.b.Addresses()[0], "22")})
		return r.ExitCode == 0 && strings.HasPrefix(string(r.Stdout), banner)
	}
	defer impair(platforms.Impairment{})
	for _, tt := range []struct {
		name string
		im   platforms.Impairment
		want bool
	}{
		{"partition", platforms.Impairment{Groups: [][]string{{"a"}, {"b"}}}, false},
		{"one group", platforms.Impairment{Groups: [][]string{{"a", "b"}}}, true},
		{"in no group", platforms.Impairment{Groups: [][]string{{"a"}}}, false},
		{"all lost", platforms.Impairment{Drop: 1}, false},
		{"healed", platforms.Impairment{}, true},
		{"delay", platforms.Impairment{Delay: 50 * time.Millisecond, Jitter: 10 * time.Millisecond}, true},
	} {
		impair(tt.im)
		if got := reaches(); got != tt.want {
			t.Errorf("%s: a reaches b: %v", tt.name, got)
		}
	}
	if err := i.Impair(t.Context(), platforms.Impairment{Groups: [][]string{{"a", "nobody"}}}); err == nil {
		t.Error("a group of an unknown machine was accepted")
	}
}
