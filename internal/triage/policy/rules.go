package policy

import (
	"errors"
	"fmt"

	"gopkg.in/yaml.v3"

	"seatrial/internal/triage"
	"seatrial/internal/triage/expr"
)

// Action is what the gate is asked to do about a failure.
type Action string

// The actions. Skip is for known failures only: the test is not run.
const (
	Block      Action = "block"       // the failure counts
	Warn       Action = "warn"        // the failure is shown and does not block
	ExpectFail Action = "expect-fail" // the failure is known; that it goes away is news
	Skip       Action = "skip"
)

// Rules is a list of rules in the order of their files.
type Rules struct{ All []*Rule }

// Rule assigns a cause to the failures that it matches.
type Rule struct {
	At       Position
	Name     string // "rule 3" if the file gives none
	Category string
	Tracker  string // where the cause is tracked; a URL
	Owner    string
	Action   Action
	Unsure   bool // the cause is a guess
	when     *expr.Expr
	locate   func(offset int) Position // in when
}

// ruleLanguage has the fields that an expression may speak of.
func ruleLanguage() expr.Language {
	return expr.Language{Default: "output", Fields: map[string]expr.Kind{
		"test": expr.Text, "suite": expr.Text, "platform": expr.Text, "arch": expr.Text, "accel": expr.Text, "image": expr.Text,
		"version": expr.Version, "class": expr.Text, "signature": expr.Text, "output": expr.Text, "console": expr.Text,
	}}
}

// ParseRules reads a rules file; name stands in its positions. An error is an
// Errors.
//
//	rules:
//	  - name: seccomp on arm64            # optional
//	    when: arch == "arm64" && output ~ `seccomp`
//	    category: seccomp
//	    tracker: https://example.org/issues/12
//	    owner: kernel
//	    action: expect-fail               # block (default), warn, expect-fail
//	    unsure: true                      # a candidate only
//
// The language of "when" is that of package expr. YAML takes " #" for a comment
// and "!" at the start for a tag; an expression with those stands in a block
// ("when: |").
func ParseRules(name string, data []byte) (*Rules, error) {
	s, root := load(name, data)
	rules := &Rules{}
	for i, n := range s.list(root, "a rules file", "rules") {
		rules.All = append(rules.All, s.rule(n, i+1))
	}
	if err := s.err(); err != nil {
		return nil, err
	}
	return rules, nil
}

func (s *source) rule(n *yaml.Node, number int) *Rule {
	o, ok := s.object(n, "a rule", "name", "when", "category", "tracker", "owner", "action", "unsure")
	if !ok {
		return nil
	}
	r := &Rule{
		At: s.at(n), Name: o.text("name"), Category: o.need("category"), Tracker: o.text("tracker"), Owner: o.text("owner"),
		Action: oneOf(o, "action", Block, Warn, ExpectFail), Unsure: o.flag("unsure"),
	}
	if r.Name == "" {
		r.Name = fmt.Sprintf("rule %d", number)
	}
	when := o.field("when")
	if o.fields["when"] == nil {
		s.errorf(n, "a rule needs the field when")
	}
	if when != nil {
		r.locate = func(offset int) Position { return s.locate(when, offset) }
		r.when = s.expression(when)
	}
	return r
}

// expression reads an expression and reports a mistake at its place in the
// file.
func (s *source) expression(n *yaml.Node) *expr.Expr {
	if n.Kind != yaml.ScalarNode {
		s.errorf(n, "when is an expression, not %s; put it into a block: \"when: |\" and the expression on the next line", kindOf(n))
		return nil
	}
	if n.Style&yaml.TaggedStyle != 0 {
		s.errorf(n, `YAML takes the "!" for a tag; put the expression into a block: "when: |" and the expression on the next line`)
		return nil
	}
	e, err := ruleLanguage().Parse(n.Value)
	if bad, ok := errors.AsType[*expr.SyntaxError](err); ok {
		hint := ""
		if n.Style == 0 && n.LineComment != "" {
			hint = `; YAML takes " #" for a comment: put the expression into a block, "when: |"`
		}
		s.errorAt(s.locate(n, bad.Offset), "%s%s", bad.Text, hint)
	}
	return e
}

// maxText is how much of an output or console is looked at, half of it from the
// start and half from the end.
const maxText = 1 << 20

// recordOf gives a failure's fields to expressions. The output has the
// failure's message before it. Texts are plain, without escape sequences.
func recordOf(f triage.Failure) expr.Record {
	return expr.Record{
		"test": f.Test, "suite": f.Suite, "platform": f.Platform, "arch": f.Arch, "accel": f.Accel, "image": f.Image, "version": f.Version,
		"class": string(f.Class), "signature": triage.Sign(f).Text,
		"output":  triage.Plain(f.Message, maxText) + "\n" + triage.Plain(f.Output, maxText),
		"console": triage.Plain(f.Console, maxText),
	}
}

// Diagnosis is what rules make of a failure.
type Diagnosis struct {
	// Candidates are the rules that match, in order.
	Candidates []*Rule
	// Decided is the first candidate that is sure, nil if there is none.
	Decided *Rule
}

// Diagnose applies the rules to a failure.
func (rs *Rules) Diagnose(f triage.Failure) Diagnosis {
	var d Diagnosis
	record := recordOf(f)
	for _, r := range rs.All {
		if r.when.Match(record) {
			d.add(r)
		}
	}
	return d
}

func (d *Diagnosis) add(r *Rule) {
	d.Candidates = append(d.Candidates, r)
	if d.Decided == nil && !r.Unsure {
		d.Decided = r
	}
}

// Heading is a category under which a failure is listed.
type Heading struct {
	Category string // "" stands for unknown
	Unsure   bool   // shown with a question mark
}

// Headings returns the categories under which a failure is listed: that of the
// rule that decided, or the unknown one, after those that are only guesses.
func (d Diagnosis) Headings() []Heading {
	decided := Heading{}
	if d.Decided != nil {
		decided.Category = d.Decided.Category
	}
	var all []Heading
	seen := map[string]bool{decided.Category: true}
	for _, r := range d.Candidates {
		if r.Unsure && !seen[r.Category] {
			seen[r.Category] = true
			all = append(all, Heading{r.Category, true})
		}
	}
	return append(all, decided)
}
