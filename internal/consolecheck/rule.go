package consolecheck

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Rule is a row of the table: what a line looks like and what it means.
type Rule struct {
	// Name is unique, in lower case with dashes.
	Name string
	// Literals are substrings of at least four bytes. A line that has none of
	// them is not matched against Pattern.
	Literals []string
	// Pattern is a regular expression (RE2) over a line without escape
	// sequences, time stamp and the journal's "kernel: ".
	Pattern string
	// Except, when not empty, is a pattern for lines that do not count.
	Except string
	// Title is a template over the pattern's groups ($1); the result goes
	// through Normalize.
	Title string
	// Severity is the finding's severity; Emulated, when not 0, is the one on
	// an emulated CPU, where the kernel's ideas of time do not hold.
	Severity Severity
	Emulated Severity
	// Times, when not 0, is how often the pattern must match in a boot for one
	// finding; else each match is a finding.
	Times int
	// ConsoleOnly rules are not for journals.
	ConsoleOnly bool
	// Prompt rules also match a line that has not ended yet, and are tried
	// first. Their patterns begin with ^ and match whatever follows; they have
	// no Except.
	Prompt bool
	// Kernel says how the line takes part in the kernel's crash reports.
	Kernel KernelRole

	// Origin names who had the rule first, or documents the message.
	Origin string
	// Reason says why a line like this matters.
	Reason string
}

// KernelRole is how a rule's lines take part in the kernel's crash reports.
type KernelRole int

// The roles. A report goes on until its end marker, within limits; what the
// kernel reports in the middle of a report is secondary.
const (
	NoReport     KernelRole = iota
	Report                  // opens a report
	ReportInFunc            // opens a report; its title gains the function of the RIP or pc line
	Consequence             // opens a report, unless it follows one
)

// Rules returns the table. The first rule that matches a line takes it.
func Rules() []Rule {
	var all []Rule
	all = append(all, bootRules()...)
	all = append(all, crashRules()...)
	all = append(all, kernelRules()...)
	all = append(all, storageRules()...)
	all = append(all, systemRules()...)
	return append(all, programRules()...)
}

// rule is a Rule made ready.
type rule struct {
	Rule
	pattern, except *regexp.Regexp
	exemptAll       bool
	exemptTexts     []string // exempt are lines with one of these
}

// table is the compiled table, which takes some milliseconds to make. Users
// copy its rows.
var table = sync.OnceValue(func() []*rule {
	var rows []*rule
	for _, r := range Rules() {
		if row, err := compile(r); err == nil { // a test compiles each
			rows = append(rows, row)
		}
	}
	return rows
})

func compile(r Rule) (*rule, error) {
	switch {
	case r.Name == "":
		return nil, errors.New("rule without a name")
	case len(r.Literals) == 0:
		return nil, fmt.Errorf("rule %s: no literals", r.Name)
	case r.Severity < Warn || r.Severity > Dead:
		return nil, fmt.Errorf("rule %s: no severity", r.Name)
	case r.Prompt && (!strings.HasPrefix(r.Pattern, "^") || r.Except != ""):
		return nil, fmt.Errorf("rule %s: a prompt's pattern begins with ^ and has no exceptions", r.Name)
	}
	for _, l := range r.Literals {
		if len(l) < gramSize {
			return nil, fmt.Errorf("rule %s: literal %q is shorter than %d bytes", r.Name, l, gramSize)
		}
	}
	c := &rule{Rule: r}
	var err error
	if c.pattern, err = regexp.Compile(r.Pattern); err != nil {
		return nil, fmt.Errorf("rule %s: %w", r.Name, err)
	}
	if r.Except != "" {
		if c.except, err = regexp.Compile(r.Except); err != nil {
			return nil, fmt.Errorf("rule %s: %w", r.Name, err)
		}
	}
	return c, nil
}

// match returns the title that the rule gives to a line, and whether the line
// is the rule's.
func (r *rule) match(line string) (title string, ok bool) {
	if !containsAny(line, r.Literals) {
		return "", false
	}
	groups := r.pattern.FindStringSubmatchIndex(line)
	if groups == nil || r.except != nil && r.except.MatchString(line) {
		return "", false
	}
	return string(r.pattern.ExpandString(nil, r.Title, line, groups)), true
}

// exempt takes over those exemptions of a list ("name" or "name:text") that are
// the rule's.
func (r *rule) exempt(list []string) {
	for _, e := range list {
		switch name, text, partly := strings.Cut(e, ":"); {
		case name != r.Name:
		case partly:
			r.exemptTexts = append(r.exemptTexts, text)
		default:
			r.exemptAll = true
		}
	}
}

// exempts says whether a line that matches is exempt.
func (r *rule) exempts(line string) bool {
	return r.exemptAll || containsAny(line, r.exemptTexts)
}

func containsAny(line string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(line, p) {
			return true
		}
	}
	return false
}
