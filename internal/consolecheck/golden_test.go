package consolecheck

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the findings into the headers of recorded consoles")

// madeFields say what was recorded: on which machine, by which script. LABEL, IMAGE,
// QEMU and BOOT are those of recordings that internal/tools/record made.
var madeFields = []string{"ARCH", "ACCEL", "MADE-BY", "LABEL", "IMAGE", "QEMU", "BOOT"}

// The files of testdata/consoles are consoles of real guests below a header of
// madeFields and findings: TITLE, RULE and SEVERITY are those of the worst finding
// that is nothing's consequence; each FINDING line is a finding in the order of its
// report. -update writes the findings.
func TestRecordedConsoles(t *testing.T) {
	files := recordings(t)
	for _, name := range files {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(name, "../../testdata/consoles/"), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			header, console, ok := bytes.Cut(data, []byte("\n\n"))
			if !ok {
				t.Fatal("no empty line after the header")
			}
			made, recorded := readHeader(t, string(header))
			got := describe(scan(Config{Accel: made["ACCEL"]}, string(console)))
			if *update {
				var out bytes.Buffer
				for _, field := range madeFields {
					if made[field] != "" {
						fmt.Fprintf(&out, "%s: %s\n", field, made[field])
					}
				}
				fmt.Fprintf(&out, "%s\n\n%s", strings.Join(got, "\n"), console)
				if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(recorded, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// The corpus has to be wide enough to mean something, and each recording of a fault
// names the script that made it.
func TestCorpus(t *testing.T) {
	scripts := map[string]bool{}
	for _, file := range []string{"make/faults.txtar", "make/held-out.txtar"} {
		archive, err := txtar.ParseFile("../../testdata/consoles/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			scripts[f.Name+" of "+file] = true
		}
	}
	titles := map[string]bool{}
	byArch := map[string]int{}
	for _, name := range recordings(t) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		header, _, _ := strings.Cut(string(data), "\n\n")
		made, findings := readHeader(t, header)
		if script := made["MADE-BY"]; strings.Contains(script, " of make/") && !scripts[script] {
			t.Errorf("%s: there is no %s", name, script)
		}
		byArch[made["ARCH"]]++
		title, found := strings.CutPrefix(findings[0], "TITLE: ")
		if found && title != "none" {
			titles[title] = true
		}
	}
	t.Logf("%d titles; recordings: %v", len(titles), byArch)
	if len(titles) < 60 || byArch["amd64"] < 25 || byArch["arm64"] < 25 {
		t.Errorf("%d titles and recordings %v; want 60 titles, and 25 recordings of each architecture", len(titles), byArch)
	}
}

// recordings lists the recorded consoles.
func recordings(t *testing.T) []string {
	t.Helper()
	alone, err := filepath.Glob("../../testdata/consoles/*.txt")
	faults, err2 := filepath.Glob("../../testdata/consoles/*/*/*.txt") // faults and held-out
	if err != nil || err2 != nil || len(alone) == 0 {
		t.Fatalf("no recorded consoles: %v, %v", err, err2)
	}
	return append(alone, faults...)
}

// readHeader divides a header into what was made and the findings recorded.
func readHeader(t *testing.T, header string) (made map[string]string, findings []string) {
	t.Helper()
	made = map[string]string{}
	for line := range strings.Lines(header) {
		line = strings.TrimSuffix(line, "\n")
		field, value, ok := strings.Cut(line, ": ")
		if slices.Contains(madeFields, field) {
			made[field] = value
		} else {
			findings = append(findings, line)
		}
		if !ok {
			t.Errorf("header line %q", line)
		}
	}
	for _, field := range madeFields[:3] {
		if made[field] == "" {
			t.Errorf("header has no %s", field)
		}
	}
	return made, findings
}

// describe writes findings as in a header.
func describe(findings []Finding) []string {
	worst := Finding{Title: "none", Rule: "none"}
	var lines []string
	for _, f := range findings {
		secondary := ""
		if f.Secondary {
			secondary = " secondary"
		} else if f.Severity > worst.Severity {
			worst = f
		}
		lines = append(lines, fmt.Sprintf("FINDING: %s %s boot %d line %d%s: %s",
			f.Severity, f.Rule, f.Boot, f.Line, secondary, f.Title))
	}
	severity := "none"
	if worst.Severity != 0 {
		severity = worst.Severity.String()
	}
	return append([]string{"TITLE: " + worst.Title, "RULE: " + worst.Rule, "SEVERITY: " + severity}, lines...)
}
