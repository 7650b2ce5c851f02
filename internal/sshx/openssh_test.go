package sshx

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"seatrial/platforms"
)

// openSSH prepares an OpenSSH server for the current user, one process for
// each connection, and returns how to reach it.
func openSSH(t *testing.T) (DialFunc, Config) {
	t.Helper()
	const sshd = "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		t.Skip("no OpenSSH server on this host (package openssh-server)")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if me.Uid == "0" {
		// sshd separates privileges below a directory that a boot makes.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Skipf("OpenSSH server cannot run here: %v", err)
		}
	}
	dir := t.TempDir()
	login := newSigner(t)
	_, hostKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(hostKey, "")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := write("sshd_config", fmt.Appendf(nil,
		"HostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n",
		write("host_key", pem.EncodeToMemory(block)),
		write("authorized_keys", ssh.MarshalAuthorizedKey(login.PublicKey()))))

	return serveOpenSSH(t, sshd, config), Config{User: me.Username, Signers: []ssh.Signer{login}}
}

// serveOpenSSH runs sshd on loopback, with the connection as its standard input.
func serveOpenSSH(t *testing.T, sshd, config string) DialFunc {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var servers sync.WaitGroup
	t.Cleanup(func() { ln.Close(); servers.Wait() })
	servers.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			file, err := nc.(*net.TCPConn).File()
			nc.Close()
			if err != nil {
				t.Error(err)
				return
			}
			cmd := exec.Command(sshd, "-i", "-e", "-f", config)
			cmd.Stdin, cmd.Stdout = file, file
			err = cmd.Start()
			file.Close()
			if err != nil {
				t.Error(err)
				return
			}
			servers.Go(func() { _ = cmd.Wait() }) // it may end by a signal
		}
	})
	return dialTo(ln.Addr().String())
}

func TestOpenSSH(t *testing.T) {
	checkGoroutines(t)
	dial, cfg := openSSH(t)
	c, err := WaitReady(t.Context(), dial, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, c *Client)
	}{
		{"commands", openSSHCommands},
		{"many at once", openSSHManyAtOnce},
		{"cancel kills", openSSHCancelKills},
		{"files", openSSHFiles},
		{"shell on a terminal", openSSHShell},
		{"boot ID", openSSHBootID},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, c) })
	}
}

func openSSHCommands(t *testing.T, c *Client) {
	run := func(line string) platforms.Result {
		t.Helper()
		result, err := c.Run(t.Context(), platforms.Command{Line: line})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	if r := run("echo out; echo err >&2; exit 9"); r.ExitCode != 9 || string(r.Stdout) != "out\n" || string(r.Stderr) != "err\n" {
		t.Errorf("result %+v", r)
	}
	for signal, code := range map[string]int{"TERM": 143, "KILL": 137, "SEGV": 139, "USR1": 138} {
		if r := run("kill -" + signal + " $$"); r.ExitCode != code || r.Signal != signal {
			t.Errorf("signal %s: result %+v, want %d", signal, r, code)
		}
	}
	if r := run("head -c 20000000 /dev/zero"); !r.Truncated || len(r.Stdout) != platforms.MaxOutput {
		t.Errorf("20 MB of output: kept %d, truncated %v", len(r.Stdout), r.Truncated)
	}
}

func openSSHManyAtOnce(t *testing.T, c *Client) {
	var tasks sync.WaitGroup
	for i := range 2 * maxSessions {
		tasks.Go(func() {
			result, err := c.Run(t.Context(), platforms.Command{Line: fmt.Sprintf("exit %d", i)})
			if err != nil || result.ExitCode != i {
				t.Errorf("command %d: %+v, %v", i, result, err)
			}
		})
	}
	tasks.Wait()
}

func openSSHCancelKills(t *testing.T, c *Client) {
	if c.cfg.User == "root" {
		t.Skip("OpenSSH delivers no signals to sessions of root")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var pid int
	out := writerFunc(func(p []byte) (int, error) {
		_, err := fmt.Sscan(string(p), &pid)
		cancel()
		return len(p), err
	})
	_, err := c.Run(ctx, platforms.Command{Line: "echo $$; exec sleep 600", Stdout: out})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want a cancellation", err)
	}
	waitUntil(t, "the command is dead", func() bool {
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	})
}

func openSSHFiles(t *testing.T, c *Client) {
	if c.cfg.User != "root" {
		t.Skip("needs a login as root, or sudo without password")
	}
	name := filepath.Join(t.TempDir(), "sub", "file")
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if err := c.Files().Upload(t.Context(), name, 0o640, bytes.NewReader(want)); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := c.Files().Download(t.Context(), name, &got); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes, %v; want %d", got.Len(), err, len(want))
	}
	if err := c.Files().Download(t.Context(), name+"x", &got); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
}

func openSSHShell(t *testing.T, c *Client) {
	if c.cfg.User != "root" {
		t.Skip("an OpenSSH server without privileges makes no terminals")
	}
	resized := make(chan platforms.Size, 1)
	resized <- platforms.Size{Columns: 100, Rows: 40}
	var out bytes.Buffer
	stdin := strings.NewReader("stty size; while [ \"$(stty size)\" != \"40 100\" ]; do sleep 0.1; done; echo resi''zed; exit 4\n")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	result, err := c.Shell(ctx, stdin, &out, &out, &platforms.Terminal{Name: "dumb", Size: platforms.Size{Columns: 80, Rows: 24}, Resized: resized})
	if err != nil || result.ExitCode != 4 || !strings.Contains(out.String(), "resized") {
		t.Errorf("result %+v, %v, output %q", result, err, out.String())
	}
}

func openSSHBootID(t *testing.T, c *Client) {
	if id, err := c.BootID(t.Context()); err != nil || len(id) != 36 {
		t.Errorf("%q, %v", id, err)
	}
}
