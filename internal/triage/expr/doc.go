// Package expr is the language in which rules say which failures they mean:
//
//	arch == "arm64" && (output ~ `seccomp|SECCOMP_RET` || class == "boot") && version < "3033.2"
//
// It follows the one of Go's watchflakes (golang/build, cmd/watchflakes):
//
//	expr    = and { "||" and }
//	and     = not { "&&" not }
//	not     = "!" not | "(" expr ")" | operand
//	operand = field op value | regexp
//	op      = "==" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~"
//
// A field is a name that the [Language] knows. "==" and its like take a string
// in Go's syntax, "~" and "!~" a regular expression (Go's syntax, with (?m)) in
// backquotes. A regular expression alone is matched against the language's
// default field. Versions are compared as versions ([CompareVersions]); only
// they have an order.
//
// Package expr knows neither failures nor files: a [Record] is a map, and a
// [SyntaxError] has an offset that the caller turns into a place.
package expr
