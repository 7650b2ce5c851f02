package policy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/internal/triage"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", name, diff)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Each file bad-*.yaml of testdata has mistakes; the golden file beside it has
// the errors. Its first line says how it is read.
func TestMistakes(t *testing.T) {
	parse := map[string]func(string, []byte) error{
		"rules":    func(n string, d []byte) error { _, err := ParseRules(n, d); return err },
		"known":    func(n string, d []byte) error { _, err := ParseKnown(n, d); return err },
		"required": func(n string, d []byte) error { _, err := ParseRequired(n, d); return err },
	}
	files, err := filepath.Glob("testdata/bad-*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files: ", err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			kind := strings.Split(name, "-")[1]
			err := parse[strings.TrimSuffix(kind, ".yaml")](name, read(t, name))
			if err == nil {
				t.Fatal("no error")
			}
			golden(t, strings.TrimSuffix(name, ".yaml")+".golden", err.Error()+"\n")
		})
	}
}

// slide has failures as the seed of the project lists them; the rules know
// causes by what they leave behind, not by the names of tests.
func slide() []triage.Failure {
	f := func(test string, class event.Class, message, output, console string) triage.Failure {
		return triage.Failure{Test: test, Arch: "arm64", Platform: "qemu", Accel: "tcg", Version: "2920.0.0", Class: class, Message: message, Output: output, Console: console}
	}
	return []triage.Failure{
		f("cl.basic", event.Harness, "the test ignored its context", "", ""),
		f("cl.internet", event.LostConnection, "connection reset", "", ""),
		f("docker.userns", event.Assertion, "docker run: permission denied", "", "audit: type=1400 audit(1.2:3): avc:  denied  { read } for pid=1"),
		f("docker.btrfs-storage", event.Assertion, "unexpected docker info", "Security Options: seccomp missing", ""),
		f("cl.etcd-member.etcdctlv3", event.Assertion, "etcdctl: context deadline exceeded", "etcd-member.service: failed", ""),
		f("cl.flannel.udp", event.Assertion, "no route to the other node", "waiting for etcd", ""),
		f("cl.flannel.vxlan", event.Assertion, "no route to the other node", "", ""),
	}
}

func TestDiagnose(t *testing.T) {
	rules, err := ParseRules("rules.yaml", read(t, "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	groups := make(map[string][]string)
	for _, f := range slide() {
		for _, h := range rules.Diagnose(f).Headings() {
			mark := ""
			if h.Unsure {
				mark = "?"
			}
			groups[h.Category] = append(groups[h.Category], f.Test+mark)
		}
	}
	want := map[string][]string{
		"Test Harness Oddities": {"cl.basic", "cl.internet"},
		"SELinux":               {"docker.userns"},
		"seccomp":               {"docker.btrfs-storage"},
		"etcd":                  {"cl.etcd-member.etcdctlv3", "cl.flannel.udp?"},
		"":                      {"cl.flannel.udp", "cl.flannel.vxlan"},
	}
	if diff := cmp.Diff(want, groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

func TestExplain(t *testing.T) {
	rules, err := ParseRules("rules.yaml", read(t, "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range slide() {
		all.WriteString(rules.Explain(f).String() + "\n")
	}
	golden(t, "explain.golden", all.String())
}

// The position of a mistake is right in every way of writing a scalar. The
// mistake is where the expression says "wrong".
func TestPositions(t *testing.T) {
	for _, style := range []string{
		"when: arch == \"a\" && wrong == \"b\"",
		"when: arch == \"a\" &&\n         wrong == \"b\"",
		"when: >-\n      arch == \"a\" &&\n\n      # no comment\n      wrong == \"b\"",
		"when: |  # a header\n      arch == \"é\" &&\n        wrong == \"b\"",
		"when: 'arch == \"it''s\" && wrong == \"b\"'",
		"when: \"arch == \\\"\\u0061\\\" &&\\n wrong == \\\"b\\\"\"",
		"when: |\r\n      arch == \"a\" &&\r\n        wrong == \"b\"\r",
		"when: \"arch == \\\"a\\\" \\\n      && wrong == \\\"b\\\"\"",
	} {
		style = strings.ReplaceAll(style, "      # no comment\n", "")
		file := "rules:\n  - category: x\n    " + style + "\n"
		_, err := ParseRules("f", []byte(file))
		at := strings.Index(file, "wrong")
		line := strings.Count(file[:at], "\n") + 1
		column := len([]rune(file[strings.LastIndex(file[:at], "\n")+1:at])) + 1
		if want := fmt.Sprintf("f:%d:%d: there is no field", line, column); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", file, err, want)
		}
	}
}

// Rules see the start and the end of a huge text, without its escapes.
func TestRulesOnHostileText(t *testing.T) {
	rules, err := ParseRules("f", []byte("rules:\n  - {category: a, when: 'console ~ `^begin here`'}\n  - {category: b, when: 'console ~ `at the end$`'}\n  - {category: c, when: 'console ~ `hidden`'}\n"))
	if err != nil {
		t.Fatal(err)
	}
	filler := strings.Repeat("\x00\x1b[0m", 1<<20)
	d := rules.Diagnose(triage.Failure{Console: "be\x1b[31mgin here" + filler + "hidden" + filler + "at the end"})
	var got []string
	for _, r := range d.Candidates {
		got = append(got, r.Category)
	}
	if !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("matched %v", got)
	}
}

func FuzzPolicies(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := 2 // YAML knows several line ends
		for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
			lines += strings.Count(string(data), end)
		}
		check := func(err error) {
			if err == nil {
				return
			}
			for _, e := range err.(Errors) {
				if e.Line < 1 || e.Line > lines || e.Column < 1 || e.Text == "" {
					t.Errorf("%q: %v", data, e)
				}
			}
		}
		rules, err := ParseRules("f", data)
		if check(err); err == nil {
			_ = rules.Explain(triage.Failure{Test: "t"}).String()
		}
		known, err := ParseKnown("f", data)
		if check(err); err == nil {
			known.Audit(nil, day("2026-11-23"))
		}
		_, err = ParseRequired("f", data)
		check(err)
	})
}
