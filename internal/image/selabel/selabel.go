// Package selabel computes the SELinux context of files from a policy's
// file_contexts, as libselinux does (selabel_file(5)), so that the files of an
// image can be labelled on a host without SELinux and for any architecture.
package selabel

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
)

// None is the context of paths that the policy says not to label.
const None = "<<none>>"

// Labels is a compiled set of file contexts. It is safe for concurrent use.
type Labels struct {
	exact map[string][]spec // specs without metacharacters; they go first
	stems map[string][]spec // specs with metacharacters, by first path element
	any   []spec            // specs whose first path element has metacharacters
	subs  []substitution
}

type spec struct {
	re      *regexp.Regexp
	kind    byte // as in the file: '-', 'd', 'l', ...; 0 is any
	context string
	order   int
}

type substitution struct{ from, to string }

// Parse reads file contexts (in the order in which libselinux loads them: the
// main file, then homedirs, then local) and the substitutions of
// file_contexts.subs_dist.
func Parse(contexts []io.Reader, subs io.Reader) (*Labels, error) {
	l := &Labels{exact: map[string][]spec{}, stems: map[string][]spec{}}
	order := 0
	for _, r := range contexts {
		err := eachLine(r, func(fields []string) error {
			order++
			return l.add(fields, order)
		})
		if err != nil {
			return nil, fmt.Errorf("parse file contexts: %w", err)
		}
	}
	err := eachLine(subs, func(fields []string) error {
		if len(fields) != 2 {
			return fmt.Errorf("bad line %q", fields)
		}
		l.subs = append(l.subs, substitution{fields[0], fields[1]})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("parse file context substitutions: %w", err)
	}
	return l, nil
}

func eachLine(r io.Reader, do func(fields []string) error) error {
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		fields := strings.Fields(sc.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if err := do(fields); err != nil {
			return err
		}
	}
	return sc.Err()
}

func (l *Labels) add(fields []string, order int) error {
	s := spec{context: fields[len(fields)-1], order: order}
	switch {
	case len(fields) == 3 && len(fields[1]) == 2 && fields[1][0] == '-':
		s.kind = fields[1][1]
	case len(fields) != 2:
		return fmt.Errorf("bad line %q", fields)
	}
	pattern := fields[0]
	if !hasMeta(pattern) {
		name := unescape(pattern)
		l.exact[name] = append(l.exact[name], s)
		return nil
	}
	re, err := regexp.Compile("^(?:" + pattern + ")$")
	if err != nil {
		return err
	}
	s.re = re
	if stem := patternStem(pattern); stem != "" {
		l.stems[stem] = append(l.stems[stem], s)
	} else {
		l.any = append(l.any, s)
	}
	return nil
}

// hasMeta tells whether a pattern is more than a literal path.
func hasMeta(pattern string) bool {
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case '.', '^', '$', '?', '*', '+', '|', '[', '(', '{':
			return true
		}
	}
	return false
}

func unescape(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '\\' && i+1 < len(pattern) {
			i++
		}
		b.WriteByte(pattern[i])
	}
	return b.String()
}

// patternStem returns the pattern's first path element if that is literal and
// followed by a slash, such as "/usr".
func patternStem(pattern string) string {
	if pattern == "" || pattern[0] != '/' {
		return ""
	}
	end := strings.IndexByte(pattern[1:], '/')
	if end < 0 || strings.ContainsAny(pattern[:end+1], `\.^$?*+|[({`) {
		return ""
	}
	return pattern[:end+1]
}

// Context returns the context of a file by its absolute path in the image, ""
// if no pattern fits. As in libselinux, literal paths win over patterns, and of
// either the last in the files wins.
func (l *Labels) Context(name string, mode fs.FileMode) string {
	name = l.substitute(name)
	kind := kindOf(mode)
	if s := last(l.exact[name], name, kind); s != nil {
		return s.context
	}
	best := last(l.any, name, kind)
	if end := strings.IndexByte(name[min(1, len(name)):], '/'); end >= 0 {
		if s := last(l.stems[name[:end+1]], name, kind); s != nil && (best == nil || s.order > best.order) {
			best = s
		}
	}
	if best == nil {
		return ""
	}
	return best.context
}

func last(specs []spec, name string, kind byte) *spec {
	for i := len(specs) - 1; i >= 0; i-- {
		s := &specs[i]
		if (s.kind == 0 || s.kind == kind) && (s.re == nil || s.re.MatchString(name)) {
			return s
		}
	}
	return nil
}

// substitute applies the path aliases: each once, in their order.
func (l *Labels) substitute(name string) string {
	for _, s := range l.subs {
		if rest, ok := strings.CutPrefix(name, s.from); ok && (rest == "" || rest[0] == '/') {
			return s.to + rest
		}
	}
	return name
}

func kindOf(mode fs.FileMode) byte {
	switch {
	case mode.IsRegular():
		return '-'
	case mode.IsDir():
		return 'd'
	case mode&fs.ModeSymlink != 0:
		return 'l'
	case mode&fs.ModeNamedPipe != 0:
		return 'p'
	case mode&fs.ModeSocket != 0:
		return 's'
	case mode&fs.ModeCharDevice != 0:
		return 'c'
	}
	return 'b'
}
