// Package archtest holds the architecture's import rules as a test.
package archtest

import (
	"encoding/json"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// module is the path of the module whose packages are checked.
const module = "seatrial"

// rule says which of the module's packages a package may import. Patterns are
// those of path.Match, relative to the module.
type rule struct {
	pkg     string
	imports []string
	why     string
}

// rules is the table; the first row that matches a package counts, and a
// package that no row matches fails the test.
func rules() []rule {
	leaf := []string{"harness/event", "platforms"}
	return []rule{
		{"harness/event", nil, "the stream's types are what everything else agrees on"},
		{"platforms", nil, "contracts depend on nothing"},
		{"platforms/*", []string{"platforms", "platforms/platformtest", "internal/*"}, "a platform never knows the harness"},
		{"harness", []string{"platforms", "harness/event", "internal/schedule", "internal/provision", "internal/consolecheck"},
			"the engine knows contracts, not platforms"},
		{"suites", []string{"harness", "suites/*"}, "the one list of suites"},
		{"suites/internal/*", []string{"harness", "platforms", "internal/fixtures/*", "suites/internal/*"}, "what suites share"},
		{"suites/*", []string{"harness", "platforms", "internal/fixtures/*", "suites/internal/*", "suites/*/*"}, "a test says what it needs, not where it runs"},
		{"suites/*/*", nil, "a part of a suite that knows no machines"},
		{"reports", []string{"internal/rollup", "reports/*", "reports/internal/*", "harness/event"}, "the one list of formats"},
		{"reports/*", []string{"harness/event", "internal/rollup", "reports/internal/*"}, "a report is a view of the result"},
		{"reports/internal/*", []string{"harness/event", "internal/rollup", "reports/internal/*"}, "wording that reports share"},
		{"internal/rollup", []string{"harness/event", "internal/triage", "internal/triage/*", "internal/history", "internal/stats"}, "the result is a fold over events"},
		{"internal/runstore", []string{"harness/event", "internal/rollup"}, "the store keeps events and knows no policy"},
		{"internal/gate", []string{"harness/event", "internal/rollup", "internal/triage/policy"}, "the gate judges a result"},
		{"internal/clusterhost", append([]string{"internal/vnet", "internal/qmp"}, leaf...), "the cluster host owns networks and processes"},
		{"internal/cli", []string{"*", "*/*", "*/*/*"}, "the command line joins all parts"},
		{"internal/fixtures/*", append([]string{"internal/fixtures/*"}, leaf...), "a fixture is a server that knows no test"},
		{"internal/fixtures/*/program", nil, "a program that runs in a guest's containers"},
		{"internal/image/*", []string{"internal/image/*"}, "a part of the image builder"},
		{"internal/triage", []string{"harness/event", "internal/triage/*", "internal/stats"}, "triage is pure: it knows facts, not runs"},
		{"internal/triage/*", []string{"harness/event", "internal/triage", "internal/triage/*", "internal/stats"}, "a part of triage"},
		{"internal/*", append([]string{"internal/image/*"}, leaf...), "a leaf stands alone"},
		{"internal/tools/*", nil, "a tool of the project drives the program from outside"},
		{"cmd/*", []string{"internal/cli"}, "main does nothing itself"},
	}
}

// listed is the part of `go list -json` that the test needs.
type listed struct {
	ImportPath string
	Imports    []string
}

func TestImports(t *testing.T) {
	for _, pkg := range list(t) {
		name := strings.TrimPrefix(pkg.ImportPath, module+"/")
		i := slices.IndexFunc(rules(), func(r rule) bool { return match(r.pkg, name) })
		if i < 0 {
			t.Errorf("%s: no rule; add a row that says what it may import", name)
			continue
		}
		r := rules()[i]
		for _, imp := range pkg.Imports {
			of, ours := strings.CutPrefix(imp, module+"/")
			if ours && !slices.ContainsFunc(r.imports, func(p string) bool { return match(p, of) }) {
				t.Errorf("%s imports %s; it may import %v: %s", name, of, r.imports, r.why)
			}
		}
	}
}

func match(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// list returns the module's packages.
func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}
