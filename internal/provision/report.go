package provision

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/vcontext/report"
	"github.com/coreos/vcontext/tree"
)

// Report is what validation found, in the order of the author's lines.
type Report struct {
	Errors   []Problem // the config must not be used
	Warnings []Problem // the config works, but perhaps not as meant
}

// Problem is one finding.
type Problem struct {
	// Line and Column count from 1 in the user data as its author wrote it;
	// 0 means unknown. An object in JSON is where its braces open, plus one.
	Line, Column int
	// Path names the field, as in "storage.files.0.path"; empty for the whole
	// document.
	Path    string
	Message string
}

func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
		if p.Column > 0 {
			b.Reset()
			fmt.Fprintf(&b, "line %d, column %d: ", p.Line, p.Column)
		}
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// InvalidError says why user data is refused.
type InvalidError struct {
	Kind     Kind
	Problems []Problem // at least one
}

func (e *InvalidError) Error() string {
	all := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		all[i] = p.String()
	}
	return fmt.Sprintf("user data is not valid %s: %s", e.Kind, strings.Join(all, "; "))
}

// err is an *InvalidError if the report has errors.
func (r Report) err(kind Kind) error {
	if len(r.Errors) == 0 {
		return nil
	}
	return &InvalidError{Kind: kind, Problems: r.Errors}
}

func (r *Report) errorf(format string, args ...any) {
	r.Errors = append(r.Errors, Problem{Message: fmt.Sprintf(format, args...)})
}

// add appends what o found.
func (r *Report) add(o Report) {
	r.Errors = append(r.Errors, o.Errors...)
	r.Warnings = append(r.Warnings, o.Warnings...)
}

// fromVcontext converts the report of Ignition's and Butane's validators. The
// fields' positions are looked up in source, the document as its author wrote
// it; with nil, a generated document, they have none.
func fromVcontext(vr report.Report, source tree.Node) Report {
	if source != nil {
		vr.Correlate(source)
	}
	var r Report
	for _, e := range vr.Entries {
		p := Problem{Message: e.Message, Path: strings.TrimPrefix(e.Context.String(), "$")}
		p.Path = strings.TrimPrefix(p.Path, ".")
		if source != nil && e.Marker.StartP != nil && e.Context.Len() > 0 {
			p.Line, p.Column = int(e.Marker.StartP.Line), int(e.Marker.StartP.Column)
		}
		if e.Kind.IsFatal() {
			r.Errors = append(r.Errors, p)
		} else {
			r.Warnings = append(r.Warnings, p)
		}
	}
	r.sort()
	return r
}

// sort orders the findings by position: validators walk maps.
func (r *Report) sort() {
	byPosition := func(a, b Problem) int {
		if d := a.Line - b.Line; d != 0 {
			return d
		}
		if d := a.Column - b.Column; d != 0 {
			return d
		}
		return strings.Compare(a.Path+a.Message, b.Path+b.Message)
	}
	slices.SortFunc(r.Errors, byPosition)
	slices.SortFunc(r.Warnings, byPosition)
}

// position converts a byte offset in raw to a line and a column of bytes.
func position(raw []byte, offset int64) (line, column int) {
	before := raw[:min(max(offset, 0), int64(len(raw)))]
	line = bytes.Count(before, []byte("\n")) + 1
	column = len(before) - (bytes.LastIndexByte(before, '\n') + 1) + 1
	return line, column
}

// yaml.v3 keeps line numbers in the text of its errors only; and its parser (as
// opposed to its scanner) counts from 0 there, with nothing for the first line.
var (
	yamlLine   = regexp.MustCompile(`(?m)^(?:yaml: )?[ \t]*line (\d+): (.*)$`)
	yamlParser = regexp.MustCompile(`^did not find expected (?:<|'|key|node)`)
)

// yamlProblems makes findings of an error of yaml.v3.
func yamlProblems(err error) []Problem {
	var ps []Problem
	for _, m := range yamlLine.FindAllStringSubmatch(err.Error(), -1) {
		line, convErr := strconv.Atoi(m[1])
		if convErr != nil {
			continue
		}
		ps = append(ps, Problem{Line: line, Message: m[2]})
	}
	if len(ps) == 0 {
		ps = []Problem{{Message: strings.TrimPrefix(err.Error(), "yaml: ")}}
	}
	for i := range ps {
		if yamlParser.MatchString(ps[i].Message) {
			ps[i].Line++
		}
	}
	return ps
}
