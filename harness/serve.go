package harness

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Serve answers HTTP requests to a port of the address that FixtureAddress
// returns, until the attempt ends; it returns "address:port". What was served
// there before, by another subtest, is replaced.
func (t *T) Serve(ctx context.Context, port uint16, h http.Handler) string {
	return t.ServeTLS(ctx, port, h, nil)
}

// ServeTLS is Serve over TLS.
func (t *T) ServeTLS(ctx context.Context, port uint16, h http.Handler, config *tls.Config) string {
	if t.served[port] != nil {
		other, err := t.served[port](t.Arch())
		if err != nil {
			t.broken(err)
		}
		h = other
	}
	t.Check(t.cluster.serve(ctx, port, h, config))
	return net.JoinHostPort(t.FixtureAddress().String(), strconv.Itoa(int(port)))
}

// Served makes what a sabotage serves in place of what the test does, by port
// and for an architecture.
type Served map[uint16]func(arch string) (http.Handler, error)

// switchable is a handler that another one can take the place of.
type switchable struct {
	mu     sync.RWMutex
	h      http.Handler
	config *tls.Config // of who connects; nil without TLS
}

func (s *switchable) set(h http.Handler, config *tls.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.h, s.config = h, config
}

func (s *switchable) current(*tls.ClientHelloInfo) (*tls.Config, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.config, nil
}

func (s *switchable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	h := s.h
	s.mu.RUnlock()
	h.ServeHTTP(w, r)
}

// serve sets the handler of a port, and listens on it when it is the first.
func (c *cluster) serve(ctx context.Context, port uint16, h http.Handler, config *tls.Config) error {
	c.mu.Lock()
	s, ok := c.handlers[port]
	if ok {
		s.set(h, config)
	}
	c.mu.Unlock()
	if ok {
		return nil
	}
	l, err := c.listen(ctx, port)
	if err != nil {
		return err
	}
	s = &switchable{h: h, config: config}
	if config != nil {
		l = tls.NewListener(l, &tls.Config{GetConfigForClient: s.current})
	}
	c.mu.Lock()
	if c.handlers == nil {
		c.handlers = map[uint16]*switchable{}
	}
	c.handlers[port] = s
	c.mu.Unlock()
	// It ends with the listener, which the cluster closes.
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: fixtureTimeout,
		ErrorLog: slog.NewLogLogger(c.a.log.Handler(), slog.LevelDebug), // tests have clients that refuse a server
	}
	go func() { _ = server.Serve(l) }()
	return nil
}

// fixtureTimeout bounds how long a client of a fixture may take to ask.
const fixtureTimeout = time.Minute
