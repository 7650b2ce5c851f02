package sshx

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"seatrial/platforms"
)

// silent is a server that accepts connections and never says a word.
func silent(t *testing.T) DialFunc {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return dialTo(ln.Addr().String())
}

// closed is an address where nothing listens.
func closed(t *testing.T) DialFunc {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	return dialTo(ln.Addr().String())
}

func dialTo(address string) DialFunc {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
}

func TestDialErrors(t *testing.T) {
	s := newServer(t)
	stranger := s.config()
	stranger.Signers = []ssh.Signer{newSigner(t)}
	impostor := s.config()
	impostor.HostKey = newSigner(t).PublicKey()
	short := s.config()
	short.HandshakeTimeout, short.DialTimeout = 50*time.Millisecond, 50*time.Millisecond

	tests := []struct {
		name  string
		dial  DialFunc
		cfg   Config
		step  Step
		state string
		is    error
	}{
		{"refused", closed(t), s.config(), StepDial, "connection refused", nil},
		{"unroutable", func(context.Context) (net.Conn, error) {
			return nil, errors.New("connect tcp 10.0.0.2:22: no route to host")
		}, s.config(), StepDial, "no route to host", nil},
		{"dial hangs", func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, short, StepDial, "no answer to the dial", context.DeadlineExceeded},
		{"handshake hangs", silent(t), short, StepHandshake, "no answer to the handshake", context.DeadlineExceeded},
		{"closed in the handshake", func(context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			go func() { _, _ = there.Read(make([]byte, 100)); there.Close() }()
			return here, nil
		}, s.config(), StepHandshake, "connection closed during the handshake", io.EOF},
		{"unknown key", s.dial, stranger, StepLogin, "permission denied", ErrDenied},
		{"no key", s.dial, Config{User: "core"}, StepLogin, "permission denied", ErrDenied},
		{"other host key", s.dial, impostor, StepHandshake, "handshake failed", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Dial(t.Context(), tt.dial, tt.cfg)
			got, ok := errors.AsType[*DialError](err)
			if !ok {
				t.Fatalf("error %v, want a *DialError", err)
			}
			if got.Step != tt.step || got.state() != tt.state {
				t.Errorf("%s: %q; want %s: %q (%v)", got.Step, got.state(), tt.step, tt.state, err)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v is not %v", err, tt.is)
			}
		})
	}
	_, err := Dial(t.Context(), s.dial, impostor)
	if got, ok := errors.AsType[*HostKeyError](err); !ok || ssh.FingerprintSHA256(got.Got) != ssh.FingerprintSHA256(s.signer.PublicKey()) {
		t.Errorf("error %v, want a *HostKeyError with the server's key", err)
	}
}

func TestDialCancelled(t *testing.T) {
	checkGoroutines(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	dial := silent(t)
	_, err := Dial(ctx, func(ctx context.Context) (net.Conn, error) {
		defer cancel(cause)
		return dial(context.WithoutCancel(ctx))
	}, Config{User: "core"})
	if !errors.Is(err, cause) {
		t.Errorf("error %v, want %v", err, cause)
	}
}

func TestHostKeyIsRemembered(t *testing.T) {
	s := newServer(t)
	cfg := s.config()
	cfg.HostKey = nil
	first := s.connectWith(cfg)
	cfg.HostKey = first.HostKey()
	s.connectWith(cfg)
}

func TestKeepalive(t *testing.T) {
	s := newServer(t)
	cfg := s.config()
	cfg.KeepaliveInterval, cfg.KeepaliveMisses = 20*time.Millisecond, 2
	c := s.connectWith(cfg)
	if _, err := c.Run(t.Context(), platforms.Command{Line: "sleep 0.3"}); err != nil {
		t.Fatalf("a quiet command on a connection that is alive: %v", err)
	}
	s.deaf.Store(true)
	_, err := c.Run(t.Context(), platforms.Command{Line: "sleep 60"})
	if !errors.Is(err, platforms.ErrConnectionLost) || !strings.Contains(err.Error(), "did not answer for 40ms") {
		t.Errorf("error %v, want one that says that the guest is silent", err)
	}
	<-c.Done()
	if c.Err() == nil {
		t.Error("no reason for the end")
	}
}

func TestClose(t *testing.T) {
	c := newServer(t).connect()
	if err := c.Err(); err != nil {
		t.Errorf("error %v of a live connection", err)
	}
	c.Close()
	select {
	case <-c.Done():
	default:
		t.Error("not done after Close")
	}
	c.Close()
}

func TestDialFromGuest(t *testing.T) {
	s := newServer(t)
	c := s.connect()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		_, _ = io.Copy(nc, nc)
	}()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	nc, err := c.Dial(t.Context(), "tcp", ":"+port)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(nc, "ping"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4)
	if _, err := io.ReadFull(nc, buf); err != nil || string(buf) != "ping" {
		t.Errorf("read %q, %v", buf, err)
	}
	nc.Close()

	ln.Close()
	if _, err := c.Dial(t.Context(), "tcp", ":"+port); err == nil || errors.Is(err, platforms.ErrConnectionLost) {
		t.Errorf("a closed port: %v, want a refusal", err)
	}
	if _, err := c.Dial(t.Context(), "udp", ":53"); !errors.Is(err, platforms.ErrUnsupported) {
		t.Errorf("udp: %v, want ErrUnsupported", err)
	}
	c.Close()
	if _, err := c.Dial(t.Context(), "tcp", ":80"); !errors.Is(err, platforms.ErrConnectionLost) {
		t.Errorf("a closed connection: %v, want ErrConnectionLost", err)
	}
}

func TestWaitReady(t *testing.T) {
	s := newServer(t)
	s.deny.Store(3)
	refused := closed(t)
	var tries atomic.Int32
	dial := func(ctx context.Context) (net.Conn, error) {
		if tries.Add(1) <= 2 {
			return refused(ctx)
		}
		return s.dial(ctx)
	}
	var states []string
	c, err := WaitReady(t.Context(), dial, s.config(), func(state string) { states = append(states, state) })
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	want := []string{"waiting for ssh: connection refused", "waiting for ssh: permission denied"}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if n := tries.Load(); n != 6 {
		t.Errorf("%d tries, want 6", n)
	}
}

func TestWaitReadyGivesUp(t *testing.T) {
	s := newServer(t)
	s.deny.Store(1 << 20)
	tests := []struct {
		name string
		dial DialFunc
		want []string
	}{
		{"refused", closed(t), []string{"deadline exceeded", "connection refused"}},
		{"hung", silent(t), []string{"deadline exceeded", "ssh handshake"}},
		{"denied", s.dial, []string{"deadline exceeded", "permission denied"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, err := WaitReady(ctx, tt.dial, s.config(), nil)
			if !errors.Is(err, context.DeadlineExceeded) || slices.ContainsFunc(tt.want, func(w string) bool {
				return !strings.Contains(err.Error(), w)
			}) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	t.Run("other host key", func(t *testing.T) {
		cfg := s.config()
		cfg.HostKey = newSigner(t).PublicKey()
		if _, err := WaitReady(t.Context(), s.dial, cfg, nil); err == nil {
			t.Error("accepted")
		}
	})
}
