package policy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"seatrial/internal/triage"
	"seatrial/internal/triage/expr"
)

// Explanation says of each rule why it did or did not decide.
type Explanation struct {
	Test string
	Diagnosis
	Steps []Step
}

// Step is one rule's part in an explanation.
type Step struct {
	Rule    *Rule
	Matches bool
	// Operands are those on which the result rests.
	Operands []Operand
}

// Operand is a comparison in a rule, with what it came to.
type Operand struct {
	At    Position
	Text  string
	Holds bool
	Value string // of the field, shortened for people
}

// Explain applies the rules to a failure and says why each one does or does not
// match.
func (rs *Rules) Explain(f triage.Failure) Explanation {
	e := Explanation{Test: f.Test}
	record := recordOf(f)
	for _, r := range rs.All {
		s := Step{Rule: r, Matches: r.when.Match(record)}
		if s.Matches {
			e.add(r)
		}
		for _, o := range r.when.Blame(record) {
			s.Operands = append(s.Operands, Operand{At: r.locate(o.Offset), Text: o.Text, Holds: o.Holds, Value: shown(o)})
		}
		e.Steps = append(e.Steps, s)
	}
	return e
}

// maxShown is the length up to which a value is shown in an explanation.
const maxShown = 80

func shown(o expr.Operand) string {
	value := strings.Trim(o.Value, "\n")
	switch {
	case value == "":
		return o.Field + " is empty"
	case len(value) <= maxShown && !strings.Contains(value, "\n"):
		return o.Field + " is " + strconv.Quote(value)
	default:
		n := strings.Count(value, "\n") + 1
		first, _, _ := strings.Cut(value, "\n")
		for len(first) > maxShown/2 || !utf8.ValidString(first) {
			first = first[:min(len(first)-1, maxShown/2)]
		}
		return fmt.Sprintf("%s has %d bytes in %d lines, from %q", o.Field, len(value), n, first)
	}
}

// String returns the explanation as lines for people.
func (e Explanation) String() string {
	var b strings.Builder
	switch {
	case e.Decided != nil:
		fmt.Fprintf(&b, "%s: %s, by %s (%s)\n", e.Test, e.Decided.Category, e.Decided.Name, e.Decided.At)
	case len(e.Candidates) > 0:
		fmt.Fprintf(&b, "%s: no rule is sure\n", e.Test)
	default:
		fmt.Fprintf(&b, "%s: no rule matches\n", e.Test)
	}
	for _, s := range e.Steps {
		fmt.Fprintf(&b, "  %s: %s: %s\n", s.Rule.At, s.Rule.Name, e.part(s))
		for _, o := range s.Operands {
			holds := "false"
			if o.Holds {
				holds = "true"
			}
			fmt.Fprintf(&b, "    %s: %s is %s: %s\n", o.At, o.Text, holds, o.Value)
		}
	}
	return b.String()
}

// part says in a few words what became of a rule.
func (e Explanation) part(s Step) string {
	switch {
	case !s.Matches:
		return "does not match"
	case s.Rule == e.Decided:
		return "matches and decides: " + s.Rule.Category
	case s.Rule.Unsure:
		return "matches, but is unsure: " + s.Rule.Category + "?"
	default:
		return "matches too, but " + e.Decided.Name + " came first: " + s.Rule.Category
	}
}
