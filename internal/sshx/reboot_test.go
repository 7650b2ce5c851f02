package sshx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// rebooting makes a server answer to BootID and `systemctl reboot`.
func rebooting(s *server, reboot func(ch ssh.Channel)) *atomic.Int32 {
	var boot atomic.Int32
	s.handle = func(line string, ch ssh.Channel) bool {
		switch {
		case strings.HasSuffix(line, "/boot_id"):
			_, _ = io.WriteString(ch, fmt.Sprintf("boot-%d\n", boot.Load()))
			report(ch, nil)
			return true
		case line == "sudo -n systemctl reboot":
			reboot(ch)
			return true
		}
		return false
	}
	return &boot
}

func TestReboot(t *testing.T) {
	s := newServer(t)
	boot := rebooting(s, func(ch ssh.Channel) {
		report(ch, nil)
		s.stop()
		s.start(s.address)
	})
	// The first new connection still meets the guest that is going down.
	var tries atomic.Int32
	dial := func(ctx context.Context) (net.Conn, error) {
		boot.Store(tries.Add(1) - 1)
		return s.dial(ctx)
	}
	var states []string
	c := s.connect()
	next, err := c.Reboot(t.Context(), dial, func(state string) { states = append(states, state) })
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if id, err := next.BootID(t.Context()); err != nil || id != "boot-1" {
		t.Errorf("boot ID %q, %v; want boot-1", id, err)
	}
	if len(states) == 0 || states[0] != "shutting down" {
		t.Errorf("states %q", states)
	}
	<-c.Done()
}

func TestRebootErrors(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		s := newServer(t)
		rebooting(s, func(ch ssh.Channel) {
			_, _ = io.WriteString(ch.Stderr(), "a password is required\n")
			_, _ = ch.SendRequest("exit-status", false, []byte{0, 0, 0, 1})
		})
		_, err := s.connect().Reboot(t.Context(), s.dial, nil)
		if err == nil || !strings.Contains(err.Error(), "password is required") {
			t.Errorf("error %v, want sudo's", err)
		}
	})
	t.Run("guest stays", func(t *testing.T) {
		s := newServer(t)
		rebooting(s, func(ch ssh.Channel) { report(ch, nil) })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := s.connect().Reboot(ctx, s.dial, nil)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not go down") {
			t.Errorf("error %v, want one that says that the guest stayed", err)
		}
	})
	t.Run("guest does not come back", func(t *testing.T) {
		s := newServer(t)
		rebooting(s, func(ssh.Channel) { s.stop() })
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := s.connect().Reboot(ctx, s.dial, nil)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("error %v, want one that says why", err)
		}
	})
}
