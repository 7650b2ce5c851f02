package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Bounds on policy files.
const (
	maxFile   = 4 << 20 // bytes
	maxErrors = 20      // reported of one file
)

// Position is a place in a policy file. Line and Column count from 1, columns
// in characters.
type Position struct {
	File         string
	Line, Column int
}

func (p Position) String() string {
	if p.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Error is a mistake in a policy file.
type Error struct {
	Position
	Text string
}

func (e *Error) Error() string { return e.Position.String() + ": " + e.Text }

// Errors are the mistakes in a file, in its order; at least one.
type Errors []*Error

func (es Errors) Error() string {
	all := make([]string, len(es))
	for i, e := range es {
		all[i] = e.Error()
	}
	return strings.Join(all, "\n")
}

// source is a file in the course of being read. Mistakes are collected.
type source struct {
	name string
	data []byte
	errs Errors
	more int // mistakes beyond those collected
}

func (s *source) at(n *yaml.Node) Position { return Position{s.name, max(n.Line, 1), max(n.Column, 1)} }

func (s *source) errorf(n *yaml.Node, format string, args ...any) {
	s.errorAt(s.at(n), format, args...)
}

func (s *source) errorAt(p Position, format string, args ...any) {
	if len(s.errs) == maxErrors {
		s.more++
		return
	}
	s.errs = append(s.errs, &Error{p, fmt.Sprintf(format, args...)})
}

// err returns what was collected in the order of the file, or nil.
func (s *source) err() error {
	if len(s.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(s.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if s.more > 0 {
		last := s.errs[len(s.errs)-1]
		return append(s.errs, &Error{last.Position, fmt.Sprintf("and %d more mistakes", s.more)})
	}
	return s.errs
}

// load parses a file of one YAML document and returns its root, nil if there is
// nothing in it but comments or if it does not parse.
func load(name string, data []byte) (*source, *yaml.Node) {
	s := &source{name: name, data: data}
	if len(data) > maxFile {
		s.errorAt(Position{name, 1, 1}, "the file is larger than %d MiB", maxFile>>20)
		return s, nil
	}
	var document, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	err := decoder.Decode(&document)
	if err == nil {
		if next := decoder.Decode(&second); !errors.Is(next, io.EOF) {
			if err = next; err == nil {
				s.errorf(&second, "a second document begins; a policy file has only one")
			}
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.syntaxError(err)
	}
	if len(s.errs) > 0 || len(document.Content) == 0 || isNull(document.Content[0]) {
		return s, nil
	}
	return s, document.Content[0]
}

// yaml.v3 keeps line numbers in the text of its errors only; and its parser (as
// opposed to its scanner) counts from 0 there, with nothing for the first line.
var (
	yamlLine   = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	yamlParser = regexp.MustCompile(`^did not find expected (?:<|'|key|node)`)
)

// syntaxError reports an error of the YAML parser, at the start of the text of
// the line that it names.
func (s *source) syntaxError(err error) {
	line, text := 1, err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
			if yamlParser.MatchString(text) {
				line++
			}
		}
	}
	all := bytes.Split(s.data, []byte("\n"))
	line = min(line, len(all))
	if strings.Contains(text, "tab character") { // the line named is where the text before it began
		if i := slices.IndexFunc(all[line-1:], func(l []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(l, " "), []byte("\t")) }); i > 0 {
			line += i
		}
	}
	found := all[line-1]
	column := len(found) - len(bytes.TrimLeft(found, " ")) + 1
	hint := ""
	if strings.Contains(text, "cannot start any token") || strings.Contains(text, "mapping values are not allowed") {
		hint = "; put an expression into a block: \"when: |\" and the expression on the next line"
	}
	s.errorAt(Position{s.name, line, column}, "not YAML: %s%s", text, hint)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
