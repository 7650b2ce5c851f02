package ignition

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"seatrial/harness"
	"seatrial/internal/fixtures/authority"
	"seatrial/platforms"
)

const tlsText = "kola-data\n"

func security() harness.Test {
	return booted(harness.Test{
		Name: "coreos.ignition.security.tls",
		Doc:  "A config is merged from a server that Ignition knows by an authority of the config's own.",
		Run: func(ctx context.Context, t *harness.T) {
			ca, err := authority.New("fixtures")
			t.Check(err)
			server, err := ca.Server("fixture", t.FixtureAddress())
			t.Check(err)
			h, err := merges(tlsText)
			t.Check(err)
			url := "https://" + t.ServeTLS(ctx, httpsPort, h, server) + "/config"
			answers(ctx, t, url, "-k")
			c := config{Ignition: section{Version: "3.0.0", Config: merged{Merge: []resource{{Source: url}}}}}
			compare(ctx, t, c.trust(ca).boot(ctx, t), map[string]string{"data": tlsText})
		},
		Sabotage: []harness.Sabotage{rejected(httpsPort, noAnswer), {
			Name: "other-config", Message: `Ignition wrote "else" into /var/resource/data`,
			Serve: harness.Served{httpsPort: func(string) (http.Handler, error) { return merges("else") }},
		}},
	})
}

// merges serves a config that has a file with the text.
func merges(text string) (http.Handler, error) {
	raw, err := json.Marshal(files(map[string]resource{"data": data(text)}))
	return served(map[string]string{"/config": string(raw)}), err
}

// etcdPort is that of etcd's clients, which know servers by the same authorities.
const etcdPort = 2379

const caFile = "/run/seatrial-fixtures.pem"

func fetchURLs() harness.Test {
	return harness.Test{
		Name:    "coreos.tls.fetch-urls",
		Doc:     "curl, and wget where there is one, fetch from servers of an authority that they are told of, and from none without.",
		Timeout: time.Minute,
		Needs: harness.Needs{
			Platform: []platforms.Capability{platforms.Fixtures},
			Image:    []platforms.Capability{"curl"},
		},
		Run:      runFetchURLs,
		Sabotage: []harness.Sabotage{rejected(etcdPort, `cannot fetch https://.*:2379/: .*(refused|connect to)`), always(httpsPort, "else", `curl got "else" from https://`)},
	}
}

func runFetchURLs(ctx context.Context, t *harness.T) {
	ca, err := authority.New("fixtures")
	t.Check(err)
	server, err := ca.Server("fixture", t.FixtureAddress())
	t.Check(err)
	m := t.Machine(0)
	m.Upload(ctx, caFile, 0o644, ca.PEM)
	clients := map[string]string{"curl": "curl -sS -f --retry 2 --cacert " + caFile}
	if m.Status(ctx, "command -v wget") == 0 {
		clients["wget"] = "wget -nv -O - --tries=3 --ca-certificate=" + caFile
	}
	for _, port := range []uint16{httpsPort, 8443, etcdPort} {
		url := "https://" + t.ServeTLS(ctx, port, served(map[string]string{"/": tlsText}), server) + "/"
		for name, command := range clients {
			switch got, why := fetch(ctx, t, command, url); {
			case why != "":
				t.Errorf("%s cannot fetch %s: %s", name, url, why)
			case got != tlsText:
				t.Errorf("%s got %q from %s, want %q", name, got, url, tlsText)
			}
		}
		if _, why := fetch(ctx, t, "curl -sS -o /dev/null", url); why == "" {
			t.Errorf("curl fetches %s without knowing its authority", url)
		}
	}
}
