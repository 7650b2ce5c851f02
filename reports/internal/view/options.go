package view

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"seatrial/internal/rollup"
)

// Options is what a report may need besides the result.
type Options struct {
	// Artifacts is the run directory, for looking into what tests left behind;
	// nil if it is not at hand. Nothing is expected to be there.
	Artifacts fs.FS
	// Attachments stands before the paths of attachments in JUnit, which are
	// relative to the run directory: Jenkins wants them absolute, GitLab from
	// the project's directory.
	Attachments string
	// Cluster restricts the reports that are made per cluster to one; "" is all.
	Cluster string
}

// Has reports whether a file of the run directory may be linked to: it is
// there, or nobody can tell.
func (o Options) Has(name string) bool {
	if o.Artifacts == nil {
		return true
	}
	_, err := fs.Stat(o.Artifacts, name)
	return err == nil
}

// Attachment is the path under which a reader of JUnit finds an artifact.
func (o Options) Attachment(name string) string { return path.Join(o.Attachments, name) }

// Line is a line of an artifact. N is 0 where the number is not known.
type Line struct {
	N    int
	Text string
	Mark bool // the line that it is about
}

// Bounds of an excerpt.
const (
	excerptBytes = 8 << 10 // read on each side
	excerptWidth = 400     // bytes of a line
	maxCompared  = 20      // bytes of the finding's text
)

// Excerpt returns the lines around a finding, at most n before and n after it.
// It reads a bounded piece of the file, however long the file and its lines
// are, and returns nothing if the file is not there or has changed.
func (o Options) Excerpt(f rollup.Finding, n int) []Line {
	if o.Artifacts == nil || f.File == "" || f.Line < 1 {
		return nil
	}
	start := max(0, f.Offset-excerptBytes)
	data, err := o.read(f.File, start, int(f.Offset-start)+excerptBytes)
	if err != nil || int64(len(data)) < f.Offset-start {
		return nil
	}
	// What a terminal would not show may stand before the finding in its line.
	begin := bytes.LastIndexByte(data[:f.Offset-start], '\n') + 1
	before, after := data[:begin], data[begin:]
	line, _, _ := bytes.Cut(after, []byte("\n"))
	if !strings.Contains(short(line), strings.ToValidUTF8(f.Text[:min(len(f.Text), maxCompared)], "")) {
		return nil // this is another file
	}
	var lines []Line
	head := bytes.Split(bytes.TrimSuffix(before, []byte("\n")), []byte("\n"))
	if len(before) == 0 {
		head = nil
	}
	if start > 0 && len(head) > 0 {
		head = head[1:] // half a line
	}
	head = head[max(0, len(head)-n):]
	for i, text := range head {
		lines = append(lines, Line{N: f.Line - len(head) + i, Text: short(text)})
	}
	tail := bytes.Split(after, []byte("\n"))
	for i, text := range tail[:min(len(tail), n+1)] {
		if i == len(tail)-1 && len(text) == 0 {
			break // the end of the file, or of what was read
		}
		lines = append(lines, Line{N: f.Line + i, Text: short(text), Mark: i == 0})
	}
	return lines
}

// Tail returns the last lines of an artifact, at most n.
func (o Options) Tail(name string, n int) []Line {
	if o.Artifacts == nil {
		return nil
	}
	info, err := fs.Stat(o.Artifacts, name)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	start := max(0, info.Size()-excerptBytes)
	data, err := o.read(name, start, excerptBytes)
	if err != nil {
		return nil
	}
	text := strings.TrimRight(string(data), "\r\n")
	if start > 0 {
		if _, whole, ok := strings.Cut(text, "\n"); ok {
			text = whole
		}
	}
	var lines []Line
	for _, line := range LastLines(text, n) {
		lines = append(lines, Line{Text: short([]byte(line))})
	}
	return lines
}

// read reads a piece of a file.
func (o Options) read(name string, at int64, n int) ([]byte, error) {
	file, err := o.Artifacts.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r, ok := file.(io.ReaderAt)
	if !ok {
		return nil, fmt.Errorf("read %s: %w", name, errors.ErrUnsupported)
	}
	data := make([]byte, n)
	got, err := r.ReadAt(data, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data[:got], nil
}

// Plain returns the longest piece of a finding's line that stands in the file as
// it is shown, between sequences that set colors; "" if the file is not there.
func (o Options) Plain(f rollup.Finding) string {
	if o.Artifacts == nil || f.File == "" {
		return ""
	}
	data, err := o.read(f.File, f.Offset, excerptWidth)
	if err != nil {
		return ""
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	longest := ""
	for _, piece := range strings.Split(decolor(string(bytes.TrimRight(line, "\r")), "\n"), "\n") {
		if piece = strings.TrimSpace(piece); len(piece) > len(longest) {
			longest = piece
		}
	}
	return longest
}

// escape is an escape sequence of terminals (ECMA-48).
var escape = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[ -/]*[0-Z\\^-~])`)

func decolor(line, by string) string { return escape.ReplaceAllString(line, by) }

// short makes a line of a guest readable and cuts it.
func short(line []byte) string {
	line = bytes.TrimRight(line, "\r")
	cut := len(line) > 4*excerptWidth
	clean := decolor(string(line[:min(len(line), 4*excerptWidth)]), "")
	cut = cut || len(clean) > excerptWidth
	text := rollup.Printable(clean[:min(len(clean), excerptWidth)])
	text = strings.ReplaceAll(text, "\n", " ")
	if cut {
		text += "…"
	}
	return text
}

// ErrNoCluster is wrapped by the error for a cluster that the run does not have.
var ErrNoCluster = errors.New("no such cluster in this run")
