package junit

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
	"seatrial/internal/triage/policy"
	"seatrial/reports/internal/view"
)

// schemas is where the published schemas are looked for. They are not part of
// this repository: see TestSchemas.
var schemas = flag.String("schemas", "../../testdata/schemas", "directory with junit-10.xsd and surefire-test-report.xsd")

// recorded returns the recorded runs, folded and judged so that required
// tests are missing, too.
func recorded(t *testing.T) map[string]rollup.Result {
	t.Helper()
	paths, err := filepath.Glob("../../testdata/runs/*.jsonl")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no recorded runs: %v", err)
	}
	results := make(map[string]rollup.Result)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fold, d := rollup.New(), event.NewDecoder(bytes.NewReader(data))
		for {
			e, err := d.Decode()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			fold.Add(e)
		}
		results[filepath.Base(path)] = rollup.Judge(fold.Result(), rollup.Policy{Required: policy.Require("cl.required", "cl.basic/required")})
	}
	return results
}

func written(t *testing.T, r rollup.Result) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := Write(&buf, r, view.Options{}); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// rule says what an element may have: what Jenkins' junit-10 and Surefire's
// surefire-test-report 3.0.2 both allow.
type rule struct {
	attrs    string // names; those that must be there end in "!"
	children string // names in order; those that may be there once end in "?", often in "*"
}

func rules() map[string]rule {
	rerun := rule{"message type!", "stackTrace! system-out? system-err?"}
	result := rule{"message type!", ""}
	return map[string]rule{
		"testsuites":   {"name time tests failures errors", "testsuite*"},
		"testsuite":    {"name! time timestamp tests! errors! skipped! failures! group", "properties? testcase*"},
		"properties":   {"", "property*"},
		"property":     {"name! value!", ""},
		"testcase":     {"name! classname! time! group", "failure* rerunFailure* flakyFailure* skipped? error? rerunError* flakyError* system-out? system-err?"},
		"failure":      result,
		"error":        result,
		"skipped":      {"message", ""},
		"rerunFailure": rerun, "flakyFailure": rerun, "rerunError": rerun, "flakyError": rerun,
		"stackTrace": {}, "system-out": {}, "system-err": {},
	}
}

// node is an element.
type node struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []node     `xml:",any"`
	Text     string     `xml:",chardata"`
}

func (n node) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// validate returns what is wrong with an element and those in it.
func validate(n node) []string {
	name := n.XMLName.Local
	r, known := rules()[name]
	if !known {
		return []string{"unknown element " + name}
	}
	var faults []string
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%s %q: ", name, n.attr("name"))+fmt.Sprintf(format, args...))
	}
	attrs := strings.Fields(r.attrs)
	for _, a := range n.Attrs {
		if !slices.Contains(attrs, a.Name.Local) && !slices.Contains(attrs, a.Name.Local+"!") {
			fault("attribute %s", a.Name.Local)
		}
	}
	for _, a := range attrs {
		must, ok := strings.CutSuffix(a, "!")
		if ok && !slices.ContainsFunc(n.Attrs, func(x xml.Attr) bool { return x.Name.Local == must }) {
			fault("no attribute %s", must)
		}
	}
	if time := n.attr("time"); !regexp.MustCompile(`^([0-9]+\.[0-9]{3})?$`).MatchString(time) {
		fault("time %q", time)
	}
	if at := n.attr("timestamp"); !regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})?$`).MatchString(at) {
		fault("timestamp %q", at)
	}
	if !regexp.MustCompile(r.pattern()).MatchString(n.sequence()) {
		fault("children%s", n.sequence())
	}
	for _, c := range n.Children {
		faults = append(faults, validate(c)...)
	}
	return faults
}

// pattern is the regular expression for the sequence of children.
func (r rule) pattern() string {
	p := "^"
	for _, c := range strings.Fields(r.children) {
		name, count := strings.TrimRight(c, "!?*"), strings.TrimLeft(c, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-")
		p += "( " + name + ")" + strings.TrimSuffix(count, "!")
	}
	return p + "$"
}

func (n node) sequence() string {
	var s strings.Builder
	for _, c := range n.Children {
		s.WriteString(" " + c.XMLName.Local)
	}
	return s.String()
}

// TestDialect holds every recorded run to the rules of the dialect.
func TestDialect(t *testing.T) {
	for name, r := range recorded(t) {
		t.Run(name, func(t *testing.T) {
			var root node
			if err := xml.Unmarshal(written(t, r), &root); err != nil {
				t.Fatal(err)
			}
			for _, f := range validate(root) {
				t.Error(f)
			}
			seen := make(map[string]bool)
			total := [3]int{}
			for _, suite := range root.Children {
				n := countCases(t, suite, seen)
				if want := [4]string{suite.attr("tests"), suite.attr("failures"), suite.attr("errors"), suite.attr("skipped")}; fmt.Sprint(n) != fmt.Sprint(want) {
					t.Errorf("suite %s says %v, has %v", suite.attr("name"), want, n)
				}
				for i := range total {
					total[i] += n[i]
				}
			}
			if want := [3]string{root.attr("tests"), root.attr("failures"), root.attr("errors")}; fmt.Sprint(total) != fmt.Sprint(want) {
				t.Errorf("the file says %v, has %v", want, total)
			}
		})
	}
}

// countCases counts tests, failures, errors and skips of a suite and checks
// what no schema can say.
func countCases(t *testing.T, suite node, seen map[string]bool) [4]int {
	t.Helper()
	var n [4]int
	for _, c := range suite.Children {
		if c.XMLName.Local != "testcase" {
			continue
		}
		n[0]++
		key := c.attr("classname") + "\n" + c.attr("name")
		if seen[key] {
			t.Errorf("two cases are %q", key)
		}
		seen[key] = true
		for _, child := range c.Children {
			switch child.XMLName.Local {
			case "failure":
				n[1]++
			case "error":
				n[2]++
			case "skipped":
				n[3]++
			case "system-out":
				if len(child.Text) > maxSystemOut+1000 {
					t.Errorf("system-out of %d bytes", len(child.Text))
				}
				continue
			}
			if strings.TrimSpace(child.attr("message")) == "" {
				t.Errorf("%q: %s without message", key, child.XMLName.Local)
			}
		}
	}
	return n
}

// TestDialectCheck sees that the check of the dialect can fail.
func TestDialectCheck(t *testing.T) {
	const good = `<testcase name="a" classname="b" time="1.000"><failure type="t"></failure><system-out></system-out></testcase>`
	for _, tt := range []struct{ old, new string }{
		{`name="a"`, ``}, {`time="1.000"`, `time="1e3"`}, {`time=`, `file="x" time=`}, {`type="t"`, ``},
		{`<system-out></system-out>`, `<system-out></system-out><error type="t"></error>`},
		{`<failure type="t"></failure>`, `<flakyFailure type="t"></flakyFailure>`},
		{`<system-out></system-out>`, `<properties></properties>`}, {`system-out`, `other`},
	} {
		var n node
		if err := xml.Unmarshal([]byte(strings.ReplaceAll(good, tt.old, tt.new)), &n); err != nil {
			t.Fatal(err)
		}
		if len(validate(n)) == 0 {
			t.Errorf("with %q for %q it is held to be valid", tt.new, tt.old)
		}
	}
	var n node
	if err := xml.Unmarshal([]byte(good), &n); err != nil {
		t.Fatal(err)
	}
	if faults := validate(n); faults != nil {
		t.Errorf("faults in a good case: %v", faults)
	}
}

// TestSchemas validates the recorded runs with the published schemas, the
// whole file with Jenkins' and each suite with Surefire's. The schemas are not
// kept here; get junit-10.xsd from the xunit plugin of Jenkins and
// surefire-test-report.xsd from Maven Surefire, and name their directory with
// -schemas.
func TestSchemas(t *testing.T) {
	for _, file := range []string{"junit-10.xsd", "surefire-test-report.xsd"} {
		if _, err := os.Stat(filepath.Join(*schemas, file)); err != nil {
			t.Skipf("no schema to validate with (TestDialect checks the same rules): %v", err)
		}
	}
	if _, err := exec.LookPath("xmllint"); err != nil {
		t.Skipf("no xmllint (package libxml2-utils): %v", err)
	}
	for name, r := range recorded(t) {
		t.Run(name, func(t *testing.T) {
			lint(t, "junit-10.xsd", written(t, r))
			for _, suite := range build(r, view.Options{}) {
				suite.Time = "0.000"
				data, err := xml.MarshalIndent(struct {
					XMLName xml.Name `xml:"testsuite"`
					testsuite
				}{testsuite: suite}, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				lint(t, "surefire-test-report.xsd", data)
			}
		})
	}
}

func lint(t *testing.T, schema string, data []byte) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "xmllint", "--noout", "--schema", filepath.Join(*schemas, schema), "-")
	cmd.Stdin = bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", schema, err, out)
	}
}

func TestSplit(t *testing.T) {
	row := rollup.Row{Test: "t", Suite: "s", Platform: "p", Arch: "a", Outcome: event.Fail, Message: strings.Repeat("m", 300)}
	var r rollup.Result
	for i := range 10_000 {
		row.Test = strconv.Itoa(i)
		row.Suite = strconv.Itoa(i / 3000)
		r.Results = append(r.Results, row)
	}
	r = rollup.Judge(r, rollup.Policy{})
	parts := Parts(r, view.Options{})
	if len(parts) != 3 {
		t.Fatalf("%d parts, want 3", len(parts))
	}
	seen := make(map[string]bool)
	total := 0
	for _, write := range parts {
		var buf bytes.Buffer
		if err := write(&buf); err != nil {
			t.Fatal(err)
		}
		var root node
		if err := xml.Unmarshal(buf.Bytes(), &root); err != nil {
			t.Fatal(err)
		}
		cases := 0
		for _, suite := range root.Children {
			n := countCases(t, suite, seen)
			cases += n[0]
			if suite.attr("tests") != strconv.Itoa(n[0]) || suite.attr("failures") != strconv.Itoa(n[0]) {
				t.Errorf("suite of %d cases says %v", n[0], suite.Attrs)
			}
		}
		if cases > maxCases || cases == 0 {
			t.Errorf("%d cases in a part", cases)
		}
		total += cases
	}
	if total != 10_000 {
		t.Errorf("%d cases in all", total)
	}
	if n := len(split(build(r, view.Options{}), maxCases, 1<<20)); n < 6 {
		t.Errorf("%d parts of at most 1 MiB", n)
	}
	if n := len(Parts(rollup.Result{}, view.Options{})); n != 1 {
		t.Errorf("%d parts of nothing", n)
	}
}

func TestNoDuplicates(t *testing.T) {
	r := rollup.Result{Results: []rollup.Row{
		{Test: "a", Suite: "s", Platform: "p", Arch: "x", Subtests: []rollup.Subtest{{Name: "b"}, {Name: "b"}}},
		{Test: "a/b", Suite: "s", Platform: "p", Arch: "x"},
		{Test: "a/b", Suite: "s", Platform: "p", Arch: "y"},
	}}
	var got []string
	for _, suite := range build(r, view.Options{}) {
		for _, c := range suite.Cases {
			got = append(got, c.Classname+" "+c.Name)
		}
	}
	want := []string{"p.x.s a", "p.x.s a/b", "p.x.s a/b (2)", "p.x.s a/b (3)", "p.y.s a/b"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClassname(t *testing.T) {
	tests := []struct {
		row  rollup.Row
		want string
	}{
		{rollup.Row{Platform: "qemu", Arch: "arm64", Suite: "docker"}, "qemu.arm64.docker"},
		{rollup.Row{Platform: "qemu", Arch: "arm64", Suite: "docker", Variant: "tcg-img-1.2"}, "qemu.arm64.docker.tcg-img-1_2"},
		{rollup.Row{Platform: "qemu", Arch: "arm64"}, "qemu.arm64"},
		{rollup.Row{}, "none"},
	}
	for _, tt := range tests {
		if got := classname(tt.row); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
