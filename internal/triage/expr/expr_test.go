package expr

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func language() Language {
	return Language{Default: "output", Fields: map[string]Kind{"arch": Text, "class": Text, "output": Text, "version": Version}}
}

func record() Record {
	return Record{"arch": "arm64", "class": "boot", "output": "first\nseccomp: denied\nlast", "version": "3033.2.4"}
}

func TestMatch(t *testing.T) {
	tests := []struct {
		source string
		want   bool
	}{
		{`arch == "arm64"`, true},
		{`arch != "arm64"`, false},
		{"`seccomp`", true},
		{"`^seccomp: denied$`", true}, // (?m)
		{"output !~ `seccomp`", false},
		{"!`seccomp`", false},
		{"! !`seccomp`", true},
		{`arch == "amd64" || arch == "arm64" && class == "boot"`, true},
		{`(arch == "amd64" || arch == "arm64") && class == "x"`, false},
		{`arch == "arm64" || class == "x" && class == "y"`, true}, // && binds closer
		{`!(arch == "arm64" && class == "x")`, true},
		{`version < "3033.10"`, true},
		{`version >= "3033.2.4" && version <= "3033.2.4.0"`, true},
		{`version == "3033.2.4.0"`, true},
		{`version != "3033"`, true},
		{`version > "3033.2.4"`, false},
		{"class ~ `^(boot|timeout)$` &&\n\toutput ~ `denied`", true},
		{`class == "\x62oot"`, true},
	}
	for _, tt := range tests {
		e, err := language().Parse(tt.source)
		if err != nil {
			t.Errorf("%s: %v", tt.source, err)
			continue
		}
		if got := e.Match(record()); got != tt.want {
			t.Errorf("%s: %t", tt.source, got)
		}
		if e.String() != tt.source {
			t.Errorf("%s: prints as %s", tt.source, e)
		}
	}
}

func TestUnknownVersion(t *testing.T) {
	for op, want := range map[string]bool{"<": false, "<=": false, ">": false, ">=": false, "==": false, "!=": true} {
		e, err := language().Parse(`version ` + op + ` "1"`)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Match(Record{}); got != want {
			t.Errorf("unknown version %s 1: %t", op, got)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	tests := []struct {
		source string
		offset int
		text   string
	}{
		{``, 0, `the expression is empty`},
		{" \n", 0, `the expression is empty`},
		{`arch = "x"`, 5, `unexpected '=': equality is "=="`},
		{`arch == 'x'`, 8, "unexpected '\\'': strings stand in \"double quotes\", regular expressions in `backquotes`"},
		{`arch == "x" & class == "y"`, 12, `unexpected '&': write "&&"`},
		{`arch == "x`, 8, `the string is not one of Go's: it needs a closing ", and \ before " and \`},
		{`arch == x`, 8, `want a "string" after ==, found "x"`},
		{`arch ~ "x"`, 7, "want a regular expression in `backquotes` after ~, found the string \"x\""},
		{"arch == `x`", 8, "want a \"string\" after ==, found the regular expression `x`"},
		{`arch`, 4, `want an operator after arch, found the end`},
		{`arches == "x"`, 0, `there is no field "arches"; the fields are arch, class, output, version`},
		{`arch < "x"`, 5, `arch has no order, only versions have; use ==, !=, ~ or !~`},
		{`version == ""`, 11, `an empty string is not a version`},
		{`version > 3`, 10, `unexpected '3': versions stand in "double quotes"`},
		{"output ~ `a(`", 10, "the regular expression does not compile: missing closing ): `a(`"},
		{"output ~ `a", 9, "the regular expression has no closing backquote"},
		{`(arch == "x"`, 12, `want ")" or an operator, found the end`},
		{`arch == "x")`, 11, `want an operator, found ")"`},
		{`arch == "x" and class == "y"`, 12, `want an operator, found "and": the operators are "&&", "||" and "!"`},
		{`&& arch == "x"`, 0, `want a field, a regular expression, ! or (, found "&&"`},
		{"arch == \xff", 8, "invalid UTF-8"},
		{strings.Repeat("(", 200), 100, "the expression is nested more than 100 deep"},
		{strings.Repeat("!", 200), 100, "the expression is nested more than 100 deep"},
		{strings.Repeat(" ", maxSource+1), maxSource, "the expression is longer than 65536 bytes"},
	}
	for _, tt := range tests {
		_, err := language().Parse(tt.source)
		bad, ok := errors.AsType[*SyntaxError](err)
		if !ok {
			t.Errorf("%.40q: got error %v", tt.source, err)
			continue
		}
		if diff := cmp.Diff(SyntaxError{tt.offset, tt.text}, *bad); diff != "" {
			t.Errorf("%.40q (-want +got):\n%s", tt.source, diff)
		}
	}
}

func TestBlame(t *testing.T) {
	tests := []struct {
		source string
		want   []string // text, value and result of the operands
	}{
		{`arch == "amd64" && class == "boot" && output ~ ` + "`x y`", []string{`arch == "amd64" [arm64] false`, "output ~ `x y` [first\nseccomp: denied\nlast] false"}},
		{`arch == "amd64" || class == "x"`, []string{`arch == "amd64" [arm64] false`, `class == "x" [boot] false`}},
		{`!(arch == "arm64" || class == "x")`, []string{`arch == "arm64" [arm64] true`}},
		{`!(arch == "arm64" && class == "x")`, []string{`class == "x" [boot] false`}},
		{`class == "x" || (arch == "arm64" && version < "1")`, []string{`class == "x" [boot] false`, `version < "1" [3033.2.4] false`}},
		{`arch == "arm64" && class == "boot"`, []string{`arch == "arm64" [arm64] true`, `class == "boot" [boot] true`}},
		{"`nothing`", []string{"`nothing` [first\nseccomp: denied\nlast] false"}},
	}
	for _, tt := range tests {
		e, err := language().Parse(tt.source)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range e.Blame(record()) {
			got = append(got, fmt.Sprintf("%s [%s] %t", o.Text, o.Value, o.Holds))
			if !strings.HasPrefix(tt.source[o.Offset:], o.Text) {
				t.Errorf("%s: operand %s is not at offset %d", tt.source, o.Text, o.Offset)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.source, diff)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	ascending := [][]string{ // equal ones on a line
		{"", "0", "0.0"},
		{"1.0~1"},
		{"1.0-alpha", "1-alpha"},
		{"1.0-beta.2"},
		{"1.0.0-rc.1", "1-RC1"},
		{"1", "1.0", "01.00.0"},
		{"1.0-final"},
		{"1.0.1"},
		{"1.2"},
		{"1.10"},
		{"12", "12.0"},
		{"12.4"},
		{"38.20230227.20.2"},
		{"3033.2.4"},
		{"3033.2.4+nightly-20260101-2100"},
		{"3033.2.4+nightly-20260102-0900"},
		{"3033.3.0"},
		{"99999999999999999999999999.1"},
		{"99999999999999999999999999.2"},
	}
	for i, left := range ascending {
		for j, right := range ascending {
			for _, a := range left {
				for _, b := range right {
					want := 0
					if i < j {
						want = -1
					} else if i > j {
						want = 1
					}
					if got := CompareVersions(a, b); got != want {
						t.Errorf("CompareVersions(%q, %q) = %d, want %d", a, b, got, want)
					}
				}
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`arch == "x" && !(version < "1" || ` + "`re`)", "!`a` || output !~ `[`", `((((`, "arch == \"\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		e, err := language().Parse(source)
		if err != nil {
			if bad, ok := errors.AsType[*SyntaxError](err); !ok || bad.Offset < 0 || bad.Offset > len(source) || bad.Text == "" {
				t.Fatalf("%q: %#v", source, err)
			}
			return
		}
		result := e.Match(record())
		operands := e.Blame(record())
		if len(operands) == 0 {
			t.Errorf("%q is %t for no operand's sake", source, result)
		}
	})
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("1.0-rc.1", "1.0~2", "1.0.x")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		ab, bc, ac := CompareVersions(a, b), CompareVersions(b, c), CompareVersions(a, c)
		if CompareVersions(b, a) != -ab || ab <= 0 && bc <= 0 && ac > 0 {
			t.Errorf("no order among %q, %q, %q: %d %d %d", a, b, c, ab, bc, ac)
		}
	})
}
