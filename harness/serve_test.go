package harness

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"seatrial/harness/event"
	"seatrial/internal/fixtures/authority"
	"seatrial/platforms/fake"
)

// says answers every request with a text.
func says(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

// fetch asks the fixture at addr from machine 0.
func fetch(ctx context.Context, t *T, addr string) string {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return t.Machine(0).Dial(ctx, network, addr)
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr, nil)
	t.Check(err)
	resp, err := transport.RoundTrip(req)
	t.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	t.Check(err)
	return string(body)
}

func TestServe(t *testing.T) {
	f, _ := try(t, fake.Options{}, func(ctx context.Context, t *T) {
		for _, text := range []string{"first", "second"} {
			addr := t.Serve(ctx, 80, says(text))
			if got := fetch(ctx, t, addr); got != text {
				t.Errorf("%s answers %q, want %q", addr, got, text)
			}
		}
	})
	if f.Outcome != event.Pass {
		t.Errorf("it ended as %s: %s", f.Outcome, f.Message)
	}
}

// TestServeTLS: what is served in place of another comes with its own certificate.
func TestServeTLS(t *testing.T) {
	f, _ := try(t, fake.Options{}, func(ctx context.Context, t *T) {
		for _, name := range []string{"first", "second"} {
			ca, err := authority.New(name)
			t.Check(err)
			config, err := ca.Server("fixture", t.FixtureAddress())
			t.Check(err)
			addr := t.ServeTLS(ctx, 443, says(name), config)
			raw, err := t.Machine(0).Dial(ctx, "tcp", addr)
			t.Check(err)
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(ca.PEM)
			conn := tls.Client(raw, &tls.Config{RootCAs: roots, ServerName: t.FixtureAddress().String()})
			t.Check(conn.HandshakeContext(ctx))
			t.Check(conn.Close())
		}
	})
	if f.Outcome != event.Pass {
		t.Errorf("it ended as %s: %s", f.Outcome, f.Message)
	}
}

// TestServeSabotage: a fixture can be the broken thing, and is whole again
// afterwards.
func TestServeSabotage(t *testing.T) {
	test := named("reads", func(ctx context.Context, t *T) {
		if got := fetch(ctx, t, t.Serve(ctx, 80, says("good"))); got != "good" {
			t.Errorf("it says %q", got)
		}
	})
	bad := func(arch string) (http.Handler, error) { return says("bad on " + arch), nil }
	failing := func(string) (http.Handler, error) { return nil, errors.New("cannot be made") }
	test.Sabotage = []Sabotage{
		{Name: "bad", Serve: Served{80: bad}, Message: `it says "bad on amd64"`},
		{Name: "other-port", Serve: Served{81: bad}, Message: "bad"},
		{Name: "broken", Serve: Served{80: failing}, Message: "bad"},
	}
	if err := Validate([]Suite{{Name: "s", Tests: []Test{test}}}); err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, fake.Options{})
	e.run(t.Context(), t, Twins([]Suite{{Name: "s", Tests: []Test{test}}})[0].Tests...)
	want := []string{"untouched pass ", "bad pass ", "other-port fail ended as pass/", "broken error cannot be made"}
	for i, s := range of[*event.SubtestFinished](e) {
		name, rest, _ := strings.Cut(want[i], " ")
		outcome, message, _ := strings.Cut(rest, " ")
		if s.Name != name || string(s.Outcome) != outcome || !strings.Contains(s.Message, message) {
			t.Errorf("part %d is %s %s %q, want %q", i, s.Name, s.Outcome, s.Message, want[i])
		}
	}
}
