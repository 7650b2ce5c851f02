package basic

import (
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// connection returns both ends of a TCP connection: both sides of SSH speak
// first, which a net.Pipe does not bear.
func connection(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// serveSSH answers one login on the returned connection.
func serveSSH(t *testing.T, change func(*ssh.ServerConfig)) net.Conn {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	refuse := errors.New("refused")
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, refuse },
		PasswordCallback:  func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, refuse },
	}
	change(config)
	config.AddHostKey(signer)
	client, server := connection(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer server.Close()
		conn, channels, requests, err := ssh.NewServerConn(server, config)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		for c := range channels {
			_ = c.Reject(ssh.Prohibited, "")
		}
		conn.Close()
	}()
	t.Cleanup(func() {
		client.Close()
		<-done
	})
	return client
}

func TestStranger(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*ssh.ServerConfig)
		want   string
	}{
		{"refused", func(*ssh.ServerConfig) {}, ""},
		{"any key", func(c *ssh.ServerConfig) {
			c.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }
		}, "could log in"},
		{"any password", func(c *ssh.ServerConfig) {
			c.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, nil }
		}, "could log in"},
		{"any answer", func(c *ssh.ServerConfig) {
			c.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
				_, err := ask("", "", []string{"Password: "}, []bool{false})
				return nil, err
			}
		}, "could log in"},
		{"nothing asked", func(c *ssh.ServerConfig) { c.NoClientAuth = true }, "could log in"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := strangerFault(tryLogin(serveSSH(t, c.change), "core"))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestStrangerOutOfReach(t *testing.T) {
	client, server := connection(t)
	go func() {
		_, _ = io.WriteString(server, "220 mail.example ESMTP\r\n")
		server.Close()
	}()
	err := strangerFault(tryLogin(client, "core"))
	if err == nil || !strings.Contains(err.Error(), "did not get as far") {
		t.Errorf("a server that is none gave %v", err)
	}
	err = strangerFault(attempt{greeted: true, err: io.EOF})
	if err == nil || !strings.Contains(err.Error(), "another reason") {
		t.Errorf("a connection that broke gave %v", err)
	}
}
