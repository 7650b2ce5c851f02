package basic

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"seatrial/harness"
)

func authVerify() harness.Test {
	return harness.Test{
		Name:         "coreos.auth.verify",
		NonExclusive: true,
		Doc:          "A stranger with a key of his own and a guessed password cannot log in by SSH.",
		Run: func(ctx context.Context, t *harness.T) {
			m := t.Machine(0)
			user := m.Must(ctx, "id -un")
			conn, err := m.Dial(ctx, "tcp", "127.0.0.1:22")
			t.Check(err)
			defer conn.Close()
			ctx, cancel := context.WithTimeout(ctx, t.Scale(20*time.Second))
			defer cancel()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			if err := strangerFault(tryLogin(conn, user)); err != nil {
				t.Errorf("as %s: %v", user, err)
			}
		},
		Sabotage: []harness.Sabotage{{
			// The server asks a program for the keys of a user, and is told the
			// very key that was offered.
			Name: "any-key-accepted",
			Break: `cp -p /etc/ssh/sshd_config /run/seatrial-sshd-config
printf 'AuthorizedKeysCommand /usr/bin/echo %%t %%k\nAuthorizedKeysCommandUser nobody\n' | cat - /run/seatrial-sshd-config >/etc/ssh/sshd_config
systemctl restart ssh || systemctl restart sshd`,
			Undo: `cat /run/seatrial-sshd-config >/etc/ssh/sshd_config && rm /run/seatrial-sshd-config
systemctl restart ssh || systemctl restart sshd`,
			Message: `a stranger could log in`,
		}},
	}
}

// attempt is how a stranger's login went.
type attempt struct {
	greeted bool  // the server proved its identity: the key exchange came to its end
	err     error // of the login; nil means that it succeeded
}

// tryLogin offers a new key, and then a guessed password in both ways that SSH
// has for it.
func tryLogin(conn net.Conn, user string) attempt {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return attempt{err: err}
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return attempt{err: err}
	}
	const guess = "123456"
	a := attempt{}
	client, _, _, err := ssh.NewClientConn(conn, "stranger", &ssh.ClientConfig{
		User: user,
		Auth: []ssh.AuthMethod{
			ssh.PublicKeys(signer),
			ssh.Password(guess),
			ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
				answers := make([]string, len(questions))
				for i := range answers {
					answers[i] = guess
				}
				return answers, nil
			}),
		},
		HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error {
			a.greeted = true
			return nil
		},
	})
	a.err = err
	if err == nil {
		client.Close()
	}
	return a
}

// strangerFault wants the server to have refused, and not merely to have been
// out of reach.
func strangerFault(a attempt) error {
	switch {
	case a.err == nil:
		return errors.New("a stranger could log in by SSH")
	case !a.greeted:
		return errors.Join(errors.New("the SSH server did not get as far as to ask who it is"), a.err)
	case !strings.Contains(a.err.Error(), "unable to authenticate"):
		return errors.Join(errors.New("the login failed for another reason than a refusal"), a.err)
	}
	return nil
}
