package suites

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// account is what became of a test of kola: a line of testdata/kola.txt.
type account struct {
	name    string
	distros []string
	kind    string // here, merged, out or planned
	arg     string // a test, a reason or an area
	why     string
}

func readAccounts(t *testing.T) []account {
	t.Helper()
	data, err := os.ReadFile("testdata/kola.txt")
	if err != nil {
		t.Fatal(err)
	}
	var accounts []account
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 3 {
			t.Fatalf("testdata/kola.txt: %q has %d fields, want 3", line, len(fields))
		}
		what, why, _ := strings.Cut(fields[2], ": ")
		kind, arg, _ := strings.Cut(what, " ")
		accounts = append(accounts, account{fields[0], strings.Split(fields[1], ","), kind, arg, why})
	}
	return accounts
}

// TestKolaAccount holds testdata/kola.txt to the catalogue, and the catalogue to
// it: every test of kola is here, or it is said why not.
func TestKolaAccount(t *testing.T) {
	have := map[string]bool{}
	for _, s := range All() {
		for _, test := range s.Tests {
			have[test.Name] = true
		}
	}
	reasons := []string{"removed", "hardware", "ostree", "product"}
	seen := map[string]bool{}
	onFlatcar, out := 0, 0
	for _, a := range readAccounts(t) {
		if seen[a.name] {
			t.Errorf("%s is there twice", a.name)
		}
		seen[a.name] = true
		if slices.Contains(a.distros, "cl") {
			onFlatcar++
		}
		switch a.kind {
		case "here":
			if !have[a.name] || a.arg != "" {
				t.Errorf("%s is said to be here, and is not in the catalogue", a.name)
			}
		case "merged":
			if !have[a.arg] || have[a.name] || a.why == "" {
				t.Errorf("%s is said to be merged into %s: the catalogue has %v and %v, and the reason is %q", a.name, a.arg, have[a.name], have[a.arg], a.why)
			}
		case "out":
			if have[a.name] || !slices.Contains(reasons, a.arg) || a.why == "" {
				t.Errorf("%s is left out: in the catalogue %v, reason %q (one of %v): %q", a.name, have[a.name], a.arg, reasons, a.why)
			}
			if slices.Contains(a.distros, "cl") {
				out++
			}
		case "planned":
			if have[a.name] || a.arg == "" {
				t.Errorf("%s is said to be planned (%s), and is in the catalogue: %v; edit testdata/kola.txt", a.name, a.arg, have[a.name])
			}
		default:
			t.Errorf("%s: %q is not an account", a.name, a.kind)
		}
	}
	if len(seen) != 172 || onFlatcar != 152 {
		t.Errorf("kola has 172 tests, 152 of them for Flatcar; the account has %d and %d", len(seen), onFlatcar)
	}
	if out > 15 {
		t.Errorf("%d tests that kola runs on Flatcar are left out, of at most 15", out)
	}
}
