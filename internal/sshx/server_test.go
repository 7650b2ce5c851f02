package sshx

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"seatrial/platforms"
)

// server is an SSH server that runs what it is told with /bin/sh on this host,
// with a sudo of its own, and that can be made to misbehave.
type server struct {
	t       *testing.T
	signer  ssh.Signer
	login   ssh.Signer // the client's key
	tmp     string
	address string

	deny   atomic.Int32                                  // logins still to be refused
	deaf   atomic.Bool                                   // leave global requests without an answer
	handle func(line string, ch ssh.Channel) (done bool) // replaces a command
	resize chan platforms.Size

	mu    sync.Mutex
	ln    net.Listener
	conns map[net.Conn]bool
	tasks sync.WaitGroup
}

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// newServer starts a server on loopback. The test fails if goroutines, of
// server or client, outlive it.
func newServer(t *testing.T) *server {
	t.Helper()
	checkGoroutines(t)
	s := &server{
		t: t, signer: newSigner(t), login: newSigner(t), tmp: t.TempDir(),
		resize: make(chan platforms.Size, 10), conns: map[net.Conn]bool{},
	}
	sudo := "#!/bin/sh\n[ \"$1\" = -n ] || exit 1\nshift\nexec \"$@\"\n"
	if err := os.WriteFile(filepath.Join(s.tmp, "sudo"), []byte(sudo), 0o755); err != nil {
		t.Fatal(err)
	}
	s.start("127.0.0.1:0")
	t.Cleanup(func() { s.stop(); s.tasks.Wait() })
	return s
}

func (s *server) start(address string) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	s.ln, s.address = ln, ln.Addr().String()
	s.mu.Unlock()
	s.tasks.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[nc] = true
			s.mu.Unlock()
			s.tasks.Go(func() { s.serve(nc) })
		}
	})
}

// stop closes the listener and cuts all connections.
func (s *server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ln.Close()
	for nc := range s.conns {
		nc.Close()
	}
}

func (s *server) dial(ctx context.Context) (net.Conn, error) {
	s.mu.Lock()
	address := s.address
	s.mu.Unlock()
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

func (s *server) config() Config {
	return Config{
		User: "core", Signers: []ssh.Signer{s.login}, HostKey: s.signer.PublicKey(),
		PollInterval: 10 * time.Millisecond,
	}
}

func (s *server) connect() *Client {
	s.t.Helper()
	return s.connectWith(s.config())
}

func (s *server) connectWith(cfg Config) *Client {
	s.t.Helper()
	c, err := Dial(s.t.Context(), s.dial, cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func (s *server) serve(nc net.Conn) {
	defer nc.Close()
	cfg := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if string(key.Marshal()) != string(s.login.PublicKey().Marshal()) {
				return nil, errors.New("unknown key")
			}
			return nil, nil
		},
	}
	if s.deny.Add(-1) >= 0 {
		cfg.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
			return nil, errors.New("not yet")
		}
	}
	cfg.AddHostKey(s.signer)
	conn, channels, requests, err := ssh.NewServerConn(nc, cfg)
	if err != nil {
		return
	}
	defer conn.Close()
	s.tasks.Go(func() {
		for r := range requests {
			if r.WantReply && !s.deaf.Load() {
				_ = r.Reply(false, nil)
			}
		}
	})
	for nch := range channels {
		switch nch.ChannelType() {
		case "session":
			ch, requests, err := nch.Accept()
			if err == nil {
				s.tasks.Go(func() { s.session(ch, requests) })
			}
		case "direct-tcpip":
			s.tasks.Go(func() { forward(nch) })
		default:
			_ = nch.Reject(ssh.UnknownChannelType, "")
		}
	}
}

func (s *server) session(ch ssh.Channel, requests <-chan *ssh.Request) {
	defer ch.Close()
	var cmd *exec.Cmd
	var tasks sync.WaitGroup
	defer tasks.Wait()
	for r := range requests {
		switch r.Type {
		case "exec", "shell":
			var msg struct{ Line string }
			if r.Type == "exec" {
				_ = ssh.Unmarshal(r.Payload, &msg)
			}
			_ = r.Reply(true, nil)
			if s.handle != nil && s.handle(msg.Line, ch) {
				return
			}
			cmd = s.command(msg.Line, ch)
			if err := cmd.Start(); err != nil {
				s.t.Error(err)
				return
			}
			tasks.Go(func() { report(ch, cmd.Wait()); ch.Close() })
		case "signal":
			var msg struct{ Name string }
			_ = ssh.Unmarshal(r.Payload, &msg)
			if cmd != nil && msg.Name == "KILL" {
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			}
		case "pty-req", "window-change":
			s.resize <- sizeOf(r)
			if r.WantReply {
				_ = r.Reply(true, nil)
			}
		default:
			if r.WantReply {
				_ = r.Reply(false, nil)
			}
		}
	}
	if cmd != nil { // the client is gone
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}

func sizeOf(r *ssh.Request) platforms.Size {
	if r.Type == "pty-req" {
		var msg struct {
			Term                         string
			Columns, Rows, Width, Height uint32
			Modes                        string
		}
		_ = ssh.Unmarshal(r.Payload, &msg)
		return platforms.Size{Columns: int(msg.Columns), Rows: int(msg.Rows)}
	}
	var msg struct{ Columns, Rows, Width, Height uint32 }
	_ = ssh.Unmarshal(r.Payload, &msg)
	return platforms.Size{Columns: int(msg.Columns), Rows: int(msg.Rows)}
}

// command is the process for a line; an empty one is a shell that reads its
// commands from the channel.
func (s *server) command(line string, ch ssh.Channel) *exec.Cmd {
	cmd := exec.Command("/bin/sh")
	if line != "" {
		cmd.Args = append(cmd.Args, "-c", line)
	}
	cmd.Env = []string{"PATH=" + s.tmp + ":" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	// Wait must not wait for input that a command does not read.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		s.t.Error(err)
		return cmd
	}
	s.tasks.Go(func() { _, _ = io.Copy(stdin, ch); stdin.Close() })
	return cmd
}

func report(ch ssh.Channel, err error) {
	var status syscall.WaitStatus
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status = exit.Sys().(syscall.WaitStatus)
	}
	if !status.Signaled() {
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status.ExitStatus())}))
		return
	}
	names := map[syscall.Signal]string{syscall.SIGKILL: "KILL", syscall.SIGTERM: "TERM", syscall.SIGUSR1: "USR1"}
	_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
		Name   string
		Core   bool
		Text   string
		Locale string
	}{Name: names[status.Signal()]}))
}

func forward(nch ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	_ = ssh.Unmarshal(nch.ExtraData(), &to)
	nc, err := net.Dial("tcp", net.JoinHostPort(to.Host, fmt.Sprint(to.Port)))
	if err != nil {
		_ = nch.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer nc.Close()
	ch, requests, err := nch.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	go ssh.DiscardRequests(requests)
	go func() { _, _ = io.Copy(nc, ch); nc.Close() }()
	_, _ = io.Copy(ch, nc)
}

// checkGoroutines fails the test if it ends with goroutines of this package or
// of the SSH library that it did not begin with.
func checkGoroutines(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		var left []string
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
			if left = ours(); len(left) == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%d goroutines left:\n%s", len(left), strings.Join(left, "\n\n"))
	})
}

func ours() []string {
	buf := make([]byte, 1<<20)
	var found []string
	for i, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if i > 0 && (strings.Contains(g, "internal/sshx") || strings.Contains(g, "x/crypto/ssh")) &&
			!strings.Contains(g, "testing.tRunner") && !strings.Contains(g, "testing.(*T).Run") {
			found = append(found, g)
		}
	}
	return found
}
