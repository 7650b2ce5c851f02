// Package ignition is the suite of what a machine fetches: by Ignition while it
// boots for the first time, and by TLS clients of its own.
//
// The fixtures listen before a machine needs them, and are asked from one that
// runs: what cannot be reached from there is no fault of Ignition's. kola has the
// same tests with files of the internet, or of a server that may not listen yet.
package ignition

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/internal/fixtures/authority"
	"seatrial/platforms"
)

// Suite returns the suite.
func Suite() harness.Suite {
	return harness.Suite{
		Name:  "ignition",
		Doc:   "What Ignition fetches while a machine boots, and what TLS clients fetch afterwards.",
		Tests: []harness.Test{local(), remote(), versioned(), security(), fetchURLs()},
	}
}

// booted completes a test that boots a machine from a config with references to
// fixtures. Machine 0 runs before that one.
func booted(t harness.Test) harness.Test {
	t.Timeout = 3 * time.Minute
	t.Needs = harness.Needs{
		Platform: []platforms.Capability{platforms.Fixtures, platforms.MultiMachine, platforms.UserDataCap, platforms.FirstBoot},
		Image:    []platforms.Capability{"ignition", "curl"},
	}
	return t
}

// rejected is the sabotage of a port that machine 0 cannot reach.
func rejected(port uint16, message string) harness.Sabotage {
	return harness.Sabotage{
		Name: fmt.Sprintf("port-%d-rejected", port),
		Break: fmt.Sprintf(`nft 'add table inet sabotage; add chain inet sabotage out { type filter hook output priority 0; }
add rule inet sabotage out tcp dport %d reject with tcp reset'`, port),
		Undo:    `nft delete table inet sabotage`,
		Message: message,
	}
}

const noAnswer = `the fixture https?://.* does not answer m0: .*(refused|connect to)`

// config is what a machine is booted from, as Ignition's specification 3.0 has it.
type config struct {
	Ignition section `json:"ignition"`
	Storage  storage `json:"storage,omitzero"`
}

type section struct {
	Version  string `json:"version"`
	Config   merged `json:"config,omitzero"`
	Security policy `json:"security,omitzero"`
}

type merged struct {
	Merge []resource `json:"merge"`
}

type policy struct {
	TLS struct {
		CertificateAuthorities []resource `json:"certificateAuthorities"`
	} `json:"tls"`
}

type storage struct {
	Files []file `json:"files"`
}

type file struct {
	Path     string   `json:"path"`
	Mode     int      `json:"mode"`
	Contents resource `json:"contents"`
}

// resource is a reference to content, with what it is verified by.
type resource struct {
	Source       string       `json:"source"`
	Compression  string       `json:"compression,omitempty"`
	Verification verification `json:"verification,omitzero"`
}

type verification struct {
	Hash string `json:"hash"`
}

// data is a reference to a text within the config.
func data(text string) resource {
	return resource{Source: "data:;base64," + base64.StdEncoding.EncodeToString([]byte(text))}
}

// files makes a config of files below /var/resource by their names.
func files(contents map[string]resource) config {
	c := config{Ignition: section{Version: "3.0.0"}}
	for name, r := range contents {
		c.Storage.Files = append(c.Storage.Files, file{Path: dir + name, Mode: 0o644, Contents: r})
	}
	slices.SortFunc(c.Storage.Files, func(a, b file) int { return slices.Compare([]byte(a.Path), []byte(b.Path)) })
	return c
}

const dir = "/var/resource/"

// trust lets Ignition know servers by an authority.
func (c config) trust(a *authority.Authority) config {
	c.Ignition.Security.TLS.CertificateAuthorities = []resource{data(string(a.PEM))}
	return c
}

// boot starts a machine from the config.
func (c config) boot(ctx context.Context, t *harness.T) *harness.Machine {
	raw, err := json.Marshal(c)
	t.Check(err)
	return t.Boot(ctx, platforms.MachineSpec{UserData: raw})
}

// answers ends the test unless a fixture answers machine 0.
func answers(ctx context.Context, t *harness.T, url, options string) {
	if _, why := fetch(ctx, t, "curl -sS -f -o /dev/null "+options, url); why != "" {
		t.Fatalf("the fixture %s does not answer %s: %s", url, t.Machine(0).ID(), why)
	}
}

// fetch runs a client on machine 0, and returns what it got or why it got
// nothing.
func fetch(ctx context.Context, t *harness.T, client, url string) (got, why string) {
	res, err := t.Machine(0).Exec(ctx, platforms.Command{Line: client + " " + url})
	t.Check(err)
	if res.ExitCode != 0 {
		return "", fmt.Sprintf("exit status %d: %s", res.ExitCode, strings.TrimSpace(string(res.Stderr)))
	}
	return string(res.Stdout), ""
}

// compare reads files on a machine, and says which are not as they were served.
func compare(ctx context.Context, t *harness.T, m *harness.Machine, want map[string]string) {
	for name, text := range want {
		res, err := m.Exec(ctx, platforms.Command{Line: "cat " + dir + name})
		t.Check(err)
		switch {
		case res.ExitCode != 0:
			t.Errorf("Ignition left no file: %s", res.Stderr)
		case string(res.Stdout) != text:
			t.Errorf("Ignition wrote %q into %s%s, want %q", res.Stdout, dir, name, text)
		}
	}
}
