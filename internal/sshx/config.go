package sshx

import (
	"context"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// DialFunc opens a connection to a guest's SSH port. It is called once for
// each try and must honor ctx.
type DialFunc func(ctx context.Context) (net.Conn, error)

// Config says how to log in. A zero duration stands for its default.
type Config struct {
	User string
	// Signers are the keys offered to the guest, in order.
	Signers []ssh.Signer
	// HostKey is the only key accepted from the guest. Nil accepts any;
	// Client.HostKey then tells which one it was, to pin it from then on.
	HostKey ssh.PublicKey

	// DialTimeout bounds one call of the DialFunc (5 s).
	DialTimeout time.Duration
	// HandshakeTimeout bounds key exchange and authentication together (20 s;
	// an emulated guest needs 5 s and more, so scale it by its slowness).
	HandshakeTimeout time.Duration
	// PollInterval is the pause of WaitReady between the end of a try and the
	// next one (200 ms).
	PollInterval time.Duration
	// KeepaliveInterval is the time between two probes of the peer (5 s);
	// negative sends none.
	KeepaliveInterval time.Duration
	// KeepaliveMisses is for how many intervals a probe may stay unanswered
	// before the connection counts as lost (3).
	KeepaliveMisses int
}

func (c Config) withDefaults() Config {
	setDefault(&c.DialTimeout, 5*time.Second)
	setDefault(&c.HandshakeTimeout, 20*time.Second)
	setDefault(&c.PollInterval, 200*time.Millisecond)
	setDefault(&c.KeepaliveInterval, 5*time.Second)
	setDefault(&c.KeepaliveMisses, 3)
	return c
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

// keyExchanges puts curve25519 before the post-quantum exchange that newer
// servers prefer: the traffic is of no lasting worth, and an emulated CPU takes
// long over it. The others are for guests in FIPS mode.
func keyExchanges() []string {
	return []string{
		ssh.KeyExchangeCurve25519,
		ssh.KeyExchangeECDHP256,
		ssh.KeyExchangeECDHP384,
		ssh.KeyExchangeMLKEM768X25519,
		ssh.KeyExchangeDH14SHA256,
	}
}

// ciphers and macs are ordered by their speed in an emulated guest. OpenSSL
// 3.0 under QEMU 7.2 (x86-64, -cpu max) does, in MB/s: aes-128-ctr 212 and
// sha512 87, so 62 together; chacha20-poly1305 22; aes-128-gcm 11, because its
// carry-less multiplication is a loop over bits; sha256 27. With KVM all of
// them are fast enough.
func ciphers() []string {
	return []string{
		ssh.CipherAES128CTR,
		ssh.CipherAES256CTR,
		ssh.CipherChaCha20Poly1305,
		ssh.CipherAES128GCM,
		ssh.CipherAES256GCM,
	}
}

func macs() []string {
	return []string{ssh.HMACSHA512ETM, ssh.HMACSHA256ETM, ssh.HMACSHA512, ssh.HMACSHA256}
}

// hostKeyAlgorithms lists what to ask the guest for. With a pinned key it is
// that key's own algorithms: the guest would else prove itself by another key
// that it has.
func hostKeyAlgorithms(pinned ssh.PublicKey) []string {
	if pinned == nil {
		return []string{
			ssh.KeyAlgoED25519,
			ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
			ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
		}
	}
	if pinned.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{pinned.Type()}
}
