package expr

import "fmt"

// Kind is how a field's values are compared.
type Kind int

// The kinds of fields.
const (
	Text    Kind = iota // equal or not
	Version             // by CompareVersions; an empty value is unknown
)

// Language is the set of fields that expressions may speak of.
type Language struct {
	Fields  map[string]Kind
	Default string // the field that a regular expression alone is matched against
}

// Record holds the values of the fields. A field without a value is empty.
type Record map[string]string

// SyntaxError says what is wrong with an expression.
type SyntaxError struct {
	Offset int // in bytes, from 0; at most the expression's length
	Text   string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("offset %d: %s", e.Offset, e.Text) }

// Expr is an expression. It is safe for use by several goroutines.
type Expr struct {
	root   node
	source string
}

// String returns the expression as it was written.
func (e *Expr) String() string { return e.source }

// Match reports whether the expression holds for a record. A comparison with
// an unknown version does not hold, but for "!=".
func (e *Expr) Match(r Record) bool { return e.root.holds(r) }

// Operand is a comparison of an expression, with what it came to.
type Operand struct {
	Text   string // as it was written
	Offset int    // in the expression, in bytes
	Field  string
	Value  string // of the field, whole
	Holds  bool
}

// Blame returns the operands on which the result for a record rests, in the
// order in which they were written. For an expression that does not hold these
// are the false operands of "&&" and all of "||"; behind "!" those that hold.
func (e *Expr) Blame(r Record) []Operand { return e.root.blame(r, nil) }

// node is a part of an expression's tree.
type node interface {
	holds(r Record) bool
	// blame appends the operands that made holds what it is.
	blame(r Record, to []Operand) []Operand
}

type (
	and []node
	or  []node
	not struct{ of node }
)

func (n and) holds(r Record) bool {
	for _, part := range n {
		if !part.holds(r) {
			return false
		}
	}
	return true
}

func (n or) holds(r Record) bool {
	for _, part := range n {
		if part.holds(r) {
			return true
		}
	}
	return false
}

func (n not) holds(r Record) bool { return !n.of.holds(r) }

func (n and) blame(r Record, to []Operand) []Operand { return blameParts(n, n.holds(r), r, to) }
func (n or) blame(r Record, to []Operand) []Operand  { return blameParts(n, n.holds(r), r, to) }
func (n not) blame(r Record, to []Operand) []Operand { return n.of.blame(r, to) }

// blameParts blames the parts that came to the same as the whole.
func blameParts(parts []node, result bool, r Record, to []Operand) []Operand {
	for _, part := range parts {
		if part.holds(r) == result {
			to = part.blame(r, to)
		}
	}
	return to
}

// comparison is an operand.
type comparison struct {
	field  string
	holdsV func(value string) bool
	text   string
	offset int
}

func (c *comparison) holds(r Record) bool { return c.holdsV(r[c.field]) }

func (c *comparison) blame(r Record, to []Operand) []Operand {
	value := r[c.field]
	return append(to, Operand{Text: c.text, Offset: c.offset, Field: c.field, Value: value, Holds: c.holdsV(value)})
}
