package reports_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
	"seatrial/reports"
	"seatrial/reports/tap"
)

// TestHostile gives text that does its worst to every format and sees that it
// stays text.
func TestHostile(t *testing.T) {
	r := diagnosed(judged(readStream(t, "hostile"), rollup.Policy{}))
	checks := map[string]func(t *testing.T, text string, r rollup.Result){
		"json": checkJSON, "junit": checkXML, "tap": checkTAP, "matrix": checkMarkdown, "html": checkHTML,
		"csv": checkCSV, "slide": checkMarkdown, "issue": checkMarkdown, "github": checkCommands,
	}
	for _, f := range reports.Formats() {
		t.Run(f.Name, func(t *testing.T) {
			var buf bytes.Buffer
			if err := f.Write(&buf, r, reports.Options{}); err != nil {
				t.Fatal(err)
			}
			text := buf.String()
			if !utf8.ValidString(text) {
				t.Error("not valid UTF-8")
			}
			for i, c := range text {
				if c != '\n' && c != '\t' && (unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c)) {
					t.Errorf("character %U after %q", c, text[max(0, i-40):i])
				}
			}
			if !strings.Contains(text, "alert(1)") {
				t.Error("the text was swallowed")
			}
			check := checks[f.Name]
			if check == nil {
				t.Fatal("this format has no check")
			}
			check(t, text, r)
		})
	}
}

// diagnosed adds all that triage can say, in the worst of texts.
func diagnosed(r rollup.Result) rollup.Result {
	text := rollup.Printable(hostileText)
	seen := &rollup.Seen{Run: text, Version: text, Time: time.Unix(1, 0)}
	cause := rollup.Cause{Category: text, Tracker: "javascript:alert(1)" + text, Owner: text, Rule: text, At: text + ":1:2", From: text, Unsure: true}
	for i := range r.Results {
		row := &r.Results[i]
		row.Cluster, row.Causes, row.Category, row.Tracker = text, []rollup.Cause{cause, {Category: "=cmd|calc"}}, text, "javascript:alert(1)"
		row.Known = &rollup.KnownFailure{Pattern: text, Action: text, Tracker: text, Reason: text, Category: text, Until: text, Expired: true, At: text}
		row.History = []rollup.Past{{Seen: *seen, Verdict: rollup.Verdict(text), Cluster: text}, {Verdict: rollup.Fail}}
		row.Trend = &rollup.Trend{Label: text, Method: text, Text: text, FirstFailed: seen, LastPassed: seen, Runs: 3}
		row.Parity = &rollup.Parity{Label: text + " only", Peers: []rollup.Peer{{Platform: text, Arch: text, Accel: text, Image: text, Verdict: rollup.Pass}}}
	}
	r.Clusters = []rollup.Cluster{{ID: text, Title: text, Class: event.Class(text), Category: text, Tracker: "https://x.invalid/\"onclick=" + text, Causes: []rollup.Cause{cause},
		FirstSeen: seen, Excerpt: text, Reproduce: text, At: text}}
	r.Policy = []rollup.Note{{Kind: text, Pattern: text, At: text, Text: text, Evidence: []string{text}}}
	for i := range r.Gate.Reasons {
		r.Gate.Reasons[i].Severity, r.Gate.Reasons[i].Evidence = rollup.Blocks, "artifacts/../../"+text
	}
	return r
}

func checkJSON(t *testing.T, text string, _ rollup.Result) {
	var back rollup.Result
	if err := json.Unmarshal([]byte(text), &back); err != nil {
		t.Error(err)
	}
}

func checkXML(t *testing.T, text string, _ rollup.Result) {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && (e.Name.Local == "script" || e.Name.Local == "b") {
			t.Errorf("element %s", e.Name.Local)
		}
	}
}

// checkTAP reads the report as a TAP consumer does.
func checkTAP(t *testing.T, text string, r rollup.Result) {
	point := regexp.MustCompile(`^(not )?ok (\d+) - `)
	points, inYAML := 0, false
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		top := !strings.HasPrefix(line, "    ")
		line = strings.TrimPrefix(line, "    ")
		switch {
		case line == "  ---":
			inYAML = true
		case line == "  ...":
			inYAML = false
		case inYAML:
			if !regexp.MustCompile(`^  [a-z_]+:( .*)?$|^  - ".*"$`).MatchString(line) {
				t.Errorf("line %d in YAML: %q", i+1, line)
			}
		case i == 0:
			if line != "TAP version 14" {
				t.Errorf("begins with %q", line)
			}
		case strings.HasPrefix(line, "1.."), strings.HasPrefix(line, "# Subtest: "):
		case point.MatchString(line):
			if top {
				points++
			}
			bare := strings.NewReplacer(`\\`, "", `\#`, "").Replace(line)
			if before, _, directive := strings.Cut(bare, "#"); directive && !strings.Contains(bare, " # SKIP ") {
				t.Errorf("line %d has a directive after %q", i+1, before)
			}
		default:
			t.Errorf("line %d: %q", i+1, line)
		}
	}
	if points != len(r.Results) {
		t.Errorf("%d test points for %d rows", points, len(r.Results))
	}
}

// checkCSV reads the report as a spreadsheet does.
func checkCSV(t *testing.T, text string, r rollup.Result) {
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(records) != len(r.Results)+1 {
		t.Errorf("%d records for %d rows: %v", len(records), len(r.Results), err)
	}
	for _, record := range records {
		for _, value := range record {
			if value != "" && strings.ContainsRune("=+-@\t\r", rune(value[0])) {
				t.Errorf("a formula: %q", value)
			}
		}
	}
}

// checkCommands reads the lines as the runner of GitHub Actions does.
func checkCommands(t *testing.T, text string, _ rollup.Result) {
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if !regexp.MustCompile(`^::(error|warning|notice) title=[^:,]*::[^\n]*$`).MatchString(line) {
			t.Errorf("line %d: %q", i+1, line)
		}
	}
}

// TestTAPParser has the recorded runs read by Perl's TAP::Parser, which is
// behind prove, and counts what it found.
func TestTAPParser(t *testing.T) {
	const program = `my $p = TAP::Parser->new({ source => $ARGV[0] }); 1 while $p->next;
		my @errors = grep { !/version 14/ } $p->parse_errors;
		printf "%d tests, %d failed, %d skipped, %d todo, errors: %s", $p->tests_run, scalar($p->failed), scalar($p->skipped), scalar($p->todo), join "; ", @errors;`
	if err := exec.Command("perl", "-MTAP::Parser", "-e", "1").Run(); err != nil {
		t.Skipf("no TAP::Parser (package perl): %v", err)
	}
	for _, name := range recordings(t) {
		r := judged(readStream(t, name), policyFor(name))
		file := filepath.Join(t.TempDir(), "report.tap")
		var buf bytes.Buffer
		if err := tap.Write(&buf, r, reports.Options{}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := exec.CommandContext(t.Context(), "perl", "-MTAP::Parser", "-e", program, file).Output()
		if err != nil {
			t.Fatal(err)
		}
		n := r.Counts()
		todo := n[rollup.Known] + n[rollup.Fixed]
		want := fmt.Sprintf("%d tests, %d failed, %d skipped, %d todo, errors: ",
			len(r.Results), n[rollup.Fail]+n[rollup.Error]+n[rollup.Missing], n[rollup.Skip], todo)
		if string(got) != want {
			t.Errorf("%s: read as %s, want %s", name, got, want)
		}
	}
}

func checkMarkdown(t *testing.T, text string, _ rollup.Result) {
	columns, fence := 0, ""
	for i, line := range strings.Split(text, "\n") {
		if marker := regexp.MustCompile("^`{3,}").FindString(line); marker != "" && (fence == "" || marker == fence) {
			if fence != "" && line != fence {
				continue // a fence of the same length with text is none
			}
			if fence == "" {
				fence = marker
			} else {
				fence = ""
			}
			continue
		}
		if fence != "" {
			continue
		}
		bare := regexp.MustCompile(`\\.`).ReplaceAllString(line, "")
		if regexp.MustCompile("<[a-z/!]|`|@|\\]\\(").MatchString(bare) {
			t.Errorf("line %d is not plain: %q", i+1, bare)
		}
		n := strings.Count(bare, "|")
		switch {
		case n == 0:
			columns = 0
		case columns == 0:
			columns = n
		case n != columns:
			t.Errorf("line %d has %d bars, the table has %d: %q", i+1, n, columns, bare)
		}
	}
	if fence != "" {
		t.Error("a code block does not end")
	}
}

// checkHTML looks at the page and at the pieces of it that the script shows.
func checkHTML(t *testing.T, text string, r rollup.Result) {
	scripts := regexp.MustCompile(`(?s)<script[^>]*>(.*?)</script>`).FindAllStringSubmatch(text, -1)
	if n := strings.Count(text, "<script"); n != 3 || len(scripts) != 3 {
		t.Fatalf("%d scripts, want two with data and one with code", n)
	}
	var pieces []string
	if err := json.Unmarshal([]byte(scripts[1][1]), &pieces); err != nil || len(pieces) != len(r.Results) {
		t.Fatalf("%d pieces for %d rows: %v", len(pieces), len(r.Results), err)
	}
	if !json.Valid([]byte(scripts[0][1])) {
		t.Error("the data is not JSON")
	}
	for _, s := range scripts {
		text = strings.ReplaceAll(text, s[1], "")
	}
	text += strings.Join(pieces, "")
	for _, tag := range regexp.MustCompile(`<[a-z][^>]*>`).FindAllString(text, -1) {
		if !regexp.MustCompile(`^<(a|article|aside|b|body|button|code|dd|details|dialog|div|dl|dt|form|h[1-4]|head|header|html|i|input|kbd|label|li|main|meta|ol|option|p|path|pre|script|section|select|small|span|strong|style|summary|svg|table|tbody|td|th|thead|title|tr|ul)\b`).MatchString(tag) {
			t.Errorf("tag %s", tag)
		}
		if regexp.MustCompile(` (on[a-z]+|style|src)=`).MatchString(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(tag, "")) {
			t.Errorf("attribute of %s", tag)
		}
	}
	for _, attr := range regexp.MustCompile(`href="[^"]*"`).FindAllString(text, -1) {
		if !regexp.MustCompile(`^href="(#(matrix"|[tq]/)|(\./)?artifacts/)`).MatchString(attr) || regexp.MustCompile(`[^#]*/\.\./`).MatchString(attr) {
			t.Errorf("link %s", attr)
		}
	}
	if strings.Contains(text, "ZgotmplZ") {
		t.Error("the template refused a value")
	}
}

// TestBig sees that reports of a big run that failed throughout stay within
// what their readers take.
func TestBig(t *testing.T) {
	fold := rollup.New()
	output := strings.Repeat("some line of output with words\n", 3000)
	fold.Add(event.Event{Body: &event.RunStarted{ID: "big"}})
	for i := range 400 {
		c := cellOf(fmt.Sprintf("cl.test%d", i), "arm64", "tcg")
		fold.Add(event.Event{Body: &event.Output{Cell: c, N: 1, Text: output}})
		fold.Add(event.Event{Body: &event.AttemptFinished{Cell: c, N: 1, Outcome: event.Fail, Message: output}})
		fold.Add(event.Event{Body: &event.TestFinished{Cell: c, Outcome: event.Fail, Message: output, Attempts: 1}})
	}
	r := rollup.Judge(fold.Result(), rollup.Policy{})
	limits := map[string]int{"matrix": 1 << 20, "html": 16 << 20, "junit": 30 << 20}
	for _, f := range reports.Formats() {
		files := 0
		err := f.Save(f.File, r, reports.Options{}, func(name string, content func(io.Writer) error) error {
			var buf bytes.Buffer
			if err := content(&buf); err != nil {
				return err
			}
			files++
			if limit := limits[f.Name]; limit > 0 && buf.Len() > limit {
				t.Errorf("%s has %d bytes", name, buf.Len())
			}
			if want := "junit-2.xml"; f.Name == "junit" && files == 2 && name != want {
				t.Errorf("the second file is %s, want %s", name, want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if files > 1 != (f.Name == "junit") {
			t.Errorf("%s: %d files", f.Name, files)
		}
	}
}

// TestHugeLine writes reports of a run whose console has a line of 1 GiB
// before the finding, and sees that neither memory nor the reports grow.
func TestHugeLine(t *testing.T) {
	dir := t.TempDir()
	const huge = 1 << 30
	const name = "artifacts/qemu-arm64/cl.basic/1/m1/console.txt"
	if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("\nOops: after the huge line\nlast words\n"), huge); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	c := cellOf("cl.basic", "arm64", "tcg")
	fold := rollup.New()
	for _, b := range []event.Body{
		&event.RunStarted{ID: "huge"}, &event.TestPlanned{Cell: c}, &event.AttemptStarted{Cell: c, N: 1, Start: "cold"},
		&event.MachineReady{Cell: c, N: 1, Machine: "m1", Seconds: 1},
		&event.Finding{Cell: c, N: 1, Machine: "m1", Source: "console", Boot: 1, Line: 2, Offset: huge + 1, Rule: "oops", Title: "oops", Text: "Oops: after the huge line", Fatal: true},
		&event.AttemptFinished{Cell: c, N: 1, Outcome: event.Fail, Class: event.Timeout, Message: "oops"},
		&event.TestFinished{Cell: c, Outcome: event.Fail, Class: event.Timeout, Message: "oops", Attempts: 1},
	} {
		fold.Add(event.Event{Body: b})
	}
	r := rollup.Judge(fold.Result(), rollup.Policy{})
	for _, f := range reports.Formats() {
		var buf bytes.Buffer
		allocated := allocates(func() { err = f.Write(&buf, r, reports.Options{Artifacts: os.DirFS(dir)}) })
		if err != nil {
			t.Fatal(err)
		}
		if buf.Len() > 1<<20 || allocated > 64<<20 {
			t.Errorf("%s has %d bytes and took %d MiB", f.Name, buf.Len(), allocated>>20)
		}
		if (f.Name == "html" || f.Name == "issue") && !strings.Contains(buf.String(), "last words") {
			t.Errorf("%s does not show what came after the line", f.Name)
		}
	}
}

var long = flag.Bool("long", false, "let the test of floods take 1 GiB instead of 64 MiB")

// TestFlood sees that a test which logs without end costs no memory.
func TestFlood(t *testing.T) {
	size := 64 << 20
	if *long {
		size = 1 << 30
	}
	c := cellOf("cl.basic", "arm64", "tcg")
	fold := rollup.New()
	text := strings.Repeat("x", 64<<10) // an event has no more
	grown := allocates(func() {
		for range size / len(text) {
			fold.Add(event.Event{Body: &event.Output{Cell: c, N: 1, Text: text}})
		}
	})
	fold.Add(event.Event{Body: &event.AttemptFinished{Cell: c, N: 1, Outcome: event.Fail}})
	fold.Add(event.Event{Body: &event.TestFinished{Cell: c, Outcome: event.Fail, Attempts: 1}})
	if n := len(fold.Result().Results[0].Attempts[0].Output); n > 70<<10 {
		t.Errorf("%d bytes of output are kept", n)
	}
	t.Logf("%d MiB went through", grown>>20)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 32<<20 {
		t.Errorf("%d MiB stay", m.HeapAlloc>>20)
	}
}

// allocates returns the bytes that f allocates.
func allocates(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
