package expr

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// token is a word of an expression. Its kind is the operator itself, or one of
// those below.
type token struct {
	kind   string
	text   string // as it was written
	value  string // of a string or regular expression
	offset int
}

const (
	tokEnd    = "end"
	tokName   = "name"
	tokString = "string"
	tokRegexp = "regexp"
)

func (t token) String() string {
	switch t.kind {
	case tokEnd:
		return "the end"
	case tokName:
		return strconv.Quote(t.text)
	case tokString:
		return "the string " + t.text
	case tokRegexp:
		return "the regular expression " + t.text
	default:
		return `"` + t.kind + `"`
	}
}

// operators, those first that begin with another one.
func operators() []string {
	return []string{"&&", "||", "==", "!=", "!~", "<=", ">=", "<", ">", "~", "!", "(", ")"}
}

// lex cuts an expression into tokens, ending with tokEnd.
func lex(source string) ([]token, *SyntaxError) {
	var tokens []token
	for at := 0; ; {
		at += len(source[at:]) - len(strings.TrimLeft(source[at:], " \t\r\n"))
		if at == len(source) {
			return append(tokens, token{kind: tokEnd, offset: at}), nil
		}
		t, err := next(source, at)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		at += len(t.text)
	}
}

// next returns the token that begins at an offset.
func next(source string, at int) (token, *SyntaxError) {
	rest := source[at:]
	for _, op := range operators() {
		if strings.HasPrefix(rest, op) {
			return token{kind: op, text: op, offset: at}, nil
		}
	}
	switch c := rest[0]; {
	case c == '`':
		return lexRegexp(rest, at)
	case c == '"':
		return lexString(rest, at)
	case isNameByte(c):
		end := 1
		for end < len(rest) && (isNameByte(rest[end]) || rest[end] == '-' || rest[end] >= '0' && rest[end] <= '9') {
			end++
		}
		return token{kind: tokName, text: rest[:end], offset: at}, nil
	}
	r, size := utf8.DecodeRuneInString(rest)
	hint := ""
	switch {
	case r == utf8.RuneError && size == 1:
		return token{}, &SyntaxError{at, "invalid UTF-8"}
	case r == '\'':
		hint = `: strings stand in "double quotes", regular expressions in ` + "`backquotes`"
	case r == '=':
		hint = `: equality is "=="`
	case r == '&' || r == '|':
		hint = fmt.Sprintf(": write %q", string([]rune{r, r}))
	case r >= '0' && r <= '9':
		hint = `: versions stand in "double quotes"`
	}
	return token{}, &SyntaxError{at, fmt.Sprintf("unexpected %q%s", r, hint)}
}

func isNameByte(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }

func lexRegexp(rest string, at int) (token, *SyntaxError) {
	end := strings.IndexByte(rest[1:], '`')
	if end < 0 {
		return token{}, &SyntaxError{at, "the regular expression has no closing backquote"}
	}
	return token{kind: tokRegexp, text: rest[:end+2], value: rest[1 : end+1], offset: at}, nil
}

func lexString(rest string, at int) (token, *SyntaxError) {
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return token{}, &SyntaxError{at, `the string is not one of Go's: it needs a closing ", and \ before " and \`}
	}
	value, err := strconv.Unquote(quoted)
	if err != nil {
		return token{}, &SyntaxError{at, fmt.Sprintf("the string %s: %v", quoted, err)}
	}
	return token{kind: tokString, text: quoted, value: value, offset: at}, nil
}
