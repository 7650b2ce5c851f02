package view

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seatrial/internal/rollup"
)

func TestExcerpt(t *testing.T) {
	dir := t.TempDir()
	const name = "console.txt"
	o := Options{Artifacts: os.DirFS(dir)}
	long := strings.Repeat("x", 3*excerptBytes)
	tests := []struct {
		name, content string
		line          int
		at            string // what the line begins with
		want          string
	}{
		{"in the middle", "a\nb\nc\nd\ne\nf\n", 3, "c", "1 a|2 b|3 c*|4 d|5 e"},
		{"at the start", "a\nb\nc\nd\n", 1, "a", "1 a*|2 b|3 c"},
		{"at the end", "a\nb\nc\n", 3, "c", "1 a|2 b|3 c*"},
		{"without a newline", "a\nb", 2, "b", "1 a|2 b*"},
		{"alone", "a\n", 1, "a", "1 a*"},
		{"after a huge line", long + "\nb\nc\n", 2, "b", "2 b*|3 c"},
		{"before a huge line", "a\nb\n" + long, 2, "b", "1 a|2 b*|3 " + strings.Repeat("x", excerptWidth) + "…"},
		{"hostile", "\x1b[31ma\x00\x1b\r\nb\xff\n", 2, "b", `1 a\x00\x1b|2 b\xff*`},
		{"after what is not seen", "a\n\r\x1b[Kb\nc\n", 2, "\r\x1b[Kb", `1 a|2  b*|3 c`},
		{"colors", "\x1bM\r\x1b[K[\x1b[0;1;31mFAILED\x1b[0m] to start\x1b]0;title\x07\nb\n", 2, "b", `1  [FAILED] to start|2 b*`},
		{"empty lines", "a\n\nb\n\nc\n", 3, "b", "1 a|2 |3 b*|4 |5 c"},
	}
	for _, tt := range tests {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(tt.content), 0o644); err != nil {
			t.Fatal(err)
		}
		offset := 0
		for range tt.line - 1 {
			offset += strings.IndexByte(tt.content[offset:], '\n') + 1
		}
		if !strings.HasPrefix(tt.content[offset:], tt.at) {
			t.Fatalf("%s: line %d does not begin with %q", tt.name, tt.line, tt.at)
		}
		var got []string
		for _, l := range o.Excerpt(rollup.Finding{File: name, Line: tt.line, Offset: int64(offset)}, 2) {
			text := fmt.Sprintf("%d %s", l.N, l.Text)
			if l.Mark {
				text += "*"
			}
			got = append(got, text)
		}
		if joined := strings.Join(got, "|"); joined != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, joined, tt.want)
		}
	}
	for name, f := range map[string]rollup.Finding{
		"no file":             {File: "none.txt", Line: 1},
		"another text":        {File: name, Line: 1, Text: "something else"},
		"beyond the end":      {File: name, Line: 9, Offset: 1 << 40},
		"not of a file":       {Line: 1},
		"outside of the run":  {File: "../" + name, Line: 1},
		"a directory":         {File: ".", Line: 1},
		"no number of a line": {File: name},
	} {
		if got := o.Excerpt(f, 2); got != nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if got := (Options{}).Excerpt(rollup.Finding{File: name, Line: 1}, 2); got != nil {
		t.Errorf("without a run directory: got %v", got)
	}
}

func TestPlain(t *testing.T) {
	dir := t.TempDir()
	o := Options{Artifacts: os.DirFS(dir)}
	const first = "one\n"
	if err := os.WriteFile(filepath.Join(dir, "c.txt"), []byte(first+"[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mdocker\x1b[0m.\r\nlast"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, want := o.Plain(rollup.Finding{File: "c.txt", Offset: int64(len(first))}), "] Failed to start"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := o.Plain(rollup.Finding{File: "none"}); got != "" {
		t.Errorf("of no file: %q", got)
	}
}

func TestTail(t *testing.T) {
	dir := t.TempDir()
	o := Options{Artifacts: os.DirFS(dir)}
	for content, want := range map[string]string{
		"": "", "a\nb\nc\n": "b|c", "a": "a", "a\n\n\n": "a", strings.Repeat("y", 2*excerptBytes) + "\nb\n": "b",
	} {
		if err := os.WriteFile(filepath.Join(dir, "console.txt"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range o.Tail("console.txt", 2) {
			got = append(got, l.Text)
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%.20q: got %q, want %q", content, got, want)
		}
	}
	if o.Tail("none", 2) != nil || o.Tail(".", 2) != nil || (Options{}).Tail("console.txt", 2) != nil {
		t.Error("a tail of nothing")
	}
	if !o.Has("console.txt") || o.Has("none") || !(Options{}).Has("none") {
		t.Error("Has is wrong")
	}
	if got := (Options{Attachments: "/ws/run"}).Attachment("artifacts/x"); got != "/ws/run/artifacts/x" {
		t.Errorf("attachment %s", got)
	}
}
