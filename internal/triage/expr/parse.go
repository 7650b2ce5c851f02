package expr

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Bounds on expressions; far above what people write.
const (
	maxSource = 64 << 10
	maxDepth  = 100
)

// Parse reads an expression. An error is a *SyntaxError.
func (l Language) Parse(source string) (*Expr, error) {
	if len(source) > maxSource {
		return nil, &SyntaxError{maxSource, fmt.Sprintf("the expression is longer than %d bytes", maxSource)}
	}
	tokens, err := lex(source)
	if err != nil {
		return nil, err
	}
	p := parser{language: l, source: source, tokens: tokens}
	if p.peek().kind == tokEnd {
		return nil, &SyntaxError{0, "the expression is empty"}
	}
	root, err := p.or()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != tokEnd {
		return nil, p.unexpected("an operator")
	}
	return &Expr{root: root, source: source}, nil
}

// parser reads by recursive descent; its methods are those of the grammar.
type parser struct {
	language Language
	source   string
	tokens   []token // ends with tokEnd
	depth    int
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) take() token {
	t := p.tokens[0]
	if t.kind != tokEnd {
		p.tokens = p.tokens[1:]
	}
	return t
}

// unexpected is the error for the next token.
func (p *parser) unexpected(want string) *SyntaxError {
	t := p.peek()
	text := fmt.Sprintf("want %s, found %s", want, t)
	if t.kind == tokName && (t.text == "and" || t.text == "or" || t.text == "not") {
		text += `: the operators are "&&", "||" and "!"`
	}
	return &SyntaxError{t.offset, text}
}

func (p *parser) or() (node, *SyntaxError) {
	parts, err := p.chain("||", p.and)
	if err != nil || len(parts) == 1 {
		return first(parts), err
	}
	return or(parts), nil
}

func (p *parser) and() (node, *SyntaxError) {
	parts, err := p.chain("&&", p.not)
	if err != nil || len(parts) == 1 {
		return first(parts), err
	}
	return and(parts), nil
}

func first(parts []node) node {
	if len(parts) == 0 {
		return nil
	}
	return parts[0]
}

// chain reads parts with an operator between them.
func (p *parser) chain(op string, part func() (node, *SyntaxError)) ([]node, *SyntaxError) {
	var parts []node
	for {
		n, err := part()
		if err != nil {
			return nil, err
		}
		parts = append(parts, n)
		if p.peek().kind != op {
			return parts, nil
		}
		p.take()
	}
}

func (p *parser) not() (node, *SyntaxError) {
	if p.depth++; p.depth > maxDepth {
		return nil, &SyntaxError{p.peek().offset, fmt.Sprintf("the expression is nested more than %d deep", maxDepth)}
	}
	defer func() { p.depth-- }()
	switch t := p.peek(); t.kind {
	case "!":
		p.take()
		of, err := p.not()
		return not{of}, err
	case "(":
		p.take()
		n, err := p.or()
		if err != nil {
			return nil, err
		}
		if p.peek().kind != ")" {
			return nil, p.unexpected(`")" or an operator`)
		}
		p.take()
		return n, nil
	case tokRegexp:
		p.take()
		return p.match(t, p.language.Default, t)
	case tokName:
		return p.comparison()
	default:
		return nil, p.unexpected("a field, a regular expression, ! or (")
	}
}

func (p *parser) comparison() (node, *SyntaxError) {
	field := p.take()
	kind, ok := p.language.Fields[field.text]
	if !ok {
		return nil, &SyntaxError{field.offset, fmt.Sprintf("there is no field %q; the fields are %s", field.text,
			strings.Join(slices.Sorted(maps.Keys(p.language.Fields)), ", "))}
	}
	op := p.peek()
	switch op.kind {
	case "~", "!~":
		p.take()
		pattern := p.peek()
		if pattern.kind != tokRegexp {
			return nil, p.unexpected("a regular expression in `backquotes` after " + op.kind)
		}
		p.take()
		n, err := p.match(pattern, field.text, field)
		if err != nil {
			return nil, err
		}
		if op.kind == "!~" {
			holds := n.holdsV
			n.holdsV = func(value string) bool { return !holds(value) }
		}
		return n, nil
	case "==", "!=", "<", "<=", ">", ">=":
		p.take()
		value := p.peek()
		if value.kind != tokString {
			return nil, p.unexpected(`a "string" after ` + op.kind)
		}
		p.take()
		if kind != Version && op.kind != "==" && op.kind != "!=" {
			return nil, &SyntaxError{op.offset, fmt.Sprintf("%s has no order, only versions have; use ==, !=, ~ or !~", field.text)}
		}
		if kind == Version && value.value == "" {
			return nil, &SyntaxError{value.offset, "an empty string is not a version"}
		}
		return p.operand(field, value, field.text, comparer(kind, op.kind, value.value)), nil
	default:
		return nil, p.unexpected("an operator after " + field.text)
	}
}

// match makes the operand that holds where a pattern is found.
func (p *parser) match(pattern token, field string, from token) (*comparison, *SyntaxError) {
	re, err := regexp.Compile("(?m)" + pattern.value)
	if err != nil {
		text := err.Error()
		if bad, ok := errors.AsType[*syntax.Error](err); ok {
			text = fmt.Sprintf("%s: `%s`", bad.Code, strings.TrimPrefix(bad.Expr, "(?m)"))
		}
		return nil, &SyntaxError{pattern.offset + 1, "the regular expression does not compile: " + text}
	}
	return p.operand(from, pattern, field, re.MatchString), nil
}

// operand makes a comparison of the text between two tokens, both included.
func (p *parser) operand(from, to token, field string, holds func(string) bool) *comparison {
	return &comparison{field: field, holdsV: holds, text: p.source[from.offset : to.offset+len(to.text)], offset: from.offset}
}

func comparer(kind Kind, op, want string) func(string) bool {
	if kind == Text {
		return func(value string) bool { return (value == want) == (op == "==") }
	}
	return func(value string) bool {
		return value != "" && ordered(op, CompareVersions(value, want)) || value == "" && op == "!="
	}
}

// ordered reports whether a comparison's result is what an operator asks for.
func ordered(op string, result int) bool {
	switch op {
	case "==":
		return result == 0
	case "!=":
		return result != 0
	case "<":
		return result < 0
	case "<=":
		return result <= 0
	case ">":
		return result > 0
	default:
		return result >= 0
	}
}
