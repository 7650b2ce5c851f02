package provision

import (
	"fmt"
	"maps"
	"regexp"
)

// reference matches $name and ${name}, with the dollar in front that would make
// it literal.
var reference = regexp.MustCompile(`\$?\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})`)

// substitute replaces the references to names in vars; see the package comment
// for the rules. The error is that of quote, which makes a value fit for its
// place.
func substitute(s string, vars map[string]string, quote func(name, value string) (string, error)) (string, error) {
	if len(vars) == 0 {
		return s, nil
	}
	var firstErr error
	out := reference.ReplaceAllStringFunc(s, func(match string) string {
		m := reference.FindStringSubmatch(match)
		name := m[1] + m[2] // one of them is empty
		value, known := vars[name]
		if !known {
			return match
		}
		if match[1] == '$' {
			return match[1:]
		}
		value, err := quote(name, value)
		if err != nil && firstErr == nil {
			firstErr = err
		}
		return value
	})
	return out, firstErr
}

// expand substitutes where every value is fit: a string that an encoder will
// escape.
func expand(s string, vars map[string]string) string {
	out, _ := substitute(s, vars, func(_, value string) (string, error) { return value, nil })
	return out
}

// shellSafe holds the characters that a POSIX shell takes literally inside
// double quotes, inside single quotes and outside of quotes.
var shellSafe = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]*$`)

// expandScript substitutes in the text of a script.
func expandScript(s string, vars map[string]string) (string, error) {
	return substitute(s, vars, func(name, value string) (string, error) {
		if !shellSafe.MatchString(value) {
			return "", fmt.Errorf("the value of $%s cannot be put into a script: it has characters that a shell may interpret", name)
		}
		return value, nil
	})
}

// withStandIns adds values for the standard variables that vars lacks, taken
// from the ranges that RFC 5737 and RFC 3849 set aside for documentation.
func withStandIns(vars map[string]string) map[string]string {
	all := map[string]string{
		VarPublicIPv4:  "192.0.2.1",
		VarPrivateIPv4: "198.51.100.1",
		VarPublicIPv6:  "2001:db8::1",
		VarPrivateIPv6: "2001:db8::2",
		VarHostname:    "machine",
		VarDiscovery:   "http://192.0.2.2/token",
	}
	maps.Copy(all, vars)
	return all
}
