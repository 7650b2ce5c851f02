package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// kindOf names a node for people.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	default:
		return "a value"
	}
}

// object is a mapping whose keys are known ones, each there once.
type object struct {
	source *source
	node   *yaml.Node
	what   string // "a rule"
	fields map[string]*yaml.Node
	// foreign formats let an empty value stand for an absent one.
	foreign bool
}

// object reads a mapping; what says what it is, "a rule". It returns false,
// with a mistake reported, for anything else.
func (s *source) object(n *yaml.Node, what string, known ...string) (object, bool) {
	if n.Kind != yaml.MappingNode {
		s.errorf(n, "%s is a mapping, not %s", what, kindOf(n))
		return object{}, false
	}
	o := object{source: s, node: n, what: what, fields: make(map[string]*yaml.Node)}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value):
			s.errorf(key, "%s has no field %q; its fields are %s", what, key.Value, strings.Join(known, ", "))
		case o.fields[key.Value] != nil:
			s.errorf(key, "%s appears twice", key.Value)
		default:
			o.fields[key.Value] = value
		}
	}
	return o, true
}

// field returns a field's node, or nil if it is absent. One that is empty is a
// mistake, or absent in a foreign format.
func (o object) field(name string) *yaml.Node {
	n := o.fields[name]
	if n == nil || !isNull(n) {
		return n
	}
	if !o.foreign {
		o.source.errorf(n, "%s is empty; give it a value or leave it out", name)
	}
	return nil
}

// text reads a field of one line or more, "" if it is absent.
func (o object) text(name string) string {
	n := o.field(name)
	if n == nil {
		return ""
	}
	return o.source.text(n, name)
}

func (s *source) text(n *yaml.Node, name string) string {
	if n.Kind != yaml.ScalarNode {
		s.errorf(n, "%s is a text, not %s", name, kindOf(n))
		return ""
	}
	value := strings.TrimSpace(n.Value)
	if value == "" {
		s.errorf(n, "%s is empty; give it a value or leave it out", name)
	}
	return value
}

// need reads a text that has to be there.
func (o object) need(name string) string {
	if n := o.fields[name]; n == nil || o.foreign && isNull(n) {
		o.source.errorf(o.node, "%s needs the field %s", o.what, name)
		return ""
	}
	return o.text(name)
}

// texts reads a field that is a list of texts.
func (o object) texts(name string) []string {
	n := o.field(name)
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		o.source.errorf(n, "%s is a list, not %s: write [%s]", name, kindOf(n), n.Value)
		return nil
	}
	if len(n.Content) == 0 && !o.foreign {
		o.source.errorf(n, "%s is empty; give it a value or leave it out", name)
	}
	var all []string
	for _, item := range n.Content {
		all = append(all, o.source.text(item, "an item of "+name))
	}
	return all
}

// flag reads a field that is true or false.
func (o object) flag(name string) bool {
	n := o.field(name)
	if n == nil {
		return false
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		o.source.errorf(n, "%s is true or false", name)
		return false
	}
	return strings.EqualFold(n.Value, "true")
}

// date reads a field that is a day, in UTC; the zero time if it is absent.
func (o object) date(name string) time.Time {
	text := o.text(name)
	if text == "" {
		return time.Time{}
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		o.source.errorf(o.fields[name], "%s is a day such as 2026-12-31, not %q", name, text)
	}
	return day
}

// oneOf reads a field that is one of several words, the first if it is absent.
func oneOf[T ~string](o object, name string, words ...T) T {
	text := o.text(name)
	if text == "" {
		return words[0]
	}
	if !slices.Contains(words, T(text)) {
		o.source.errorf(o.fields[name], "%s is %s, not %q", name, joinOr(words), text)
		return words[0]
	}
	return T(text)
}

func joinOr[T ~string](words []T) string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = fmt.Sprint(w)
	}
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " or " + all[last]
}

// list returns the items of the only list of a file; none of an empty file.
func (s *source) list(root *yaml.Node, what, name string) []*yaml.Node {
	if root == nil {
		return nil
	}
	o, ok := s.object(root, what, name)
	if !ok {
		return nil
	}
	n := o.field(name)
	if n == nil {
		return nil
	}
	return s.items(n, name)
}

// items returns the items of a list, with a mistake reported for anything else.
func (s *source) items(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		s.errorf(n, "%s is a list, not %s", what, kindOf(n))
		return nil
	}
	return n.Content
}
