package provision

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"gopkg.in/yaml.v3"
)

// decodeYAML parses a document and returns its top-level mapping; an empty
// document has an empty one. Problems have line numbers.
func decodeYAML(raw []byte) (*yaml.Node, []Problem) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}, nil
	case err != nil:
		return nil, yamlProblems(err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, yamlProblems(err)
		}
		return nil, []Problem{{Message: "must be one YAML document, not several"}}
	}
	root := doc.Content[0]
	if root.ShortTag() == "!!null" && root.Kind == yaml.ScalarNode {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, []Problem{{Line: root.Line, Column: root.Column, Message: "must be a mapping of keys to values"}}
	}
	// Nodes may repeat keys; values may not.
	var v map[string]any
	if err := root.Decode(&v); err != nil {
		return nil, yamlProblems(err)
	}
	root.HeadComment = joinComments(doc.HeadComment, root.HeadComment)
	root.FootComment = joinComments(root.FootComment, doc.FootComment)
	return root, nil
}

// joinComments joins what stands before or after the same node.
func joinComments(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n\n" + b
}

// encodeYAML encodes a tree with its comments. The emitter of yaml.v3 loses white
// space at the beginning and the end of some strings in block styles; where it
// did, all strings are written in quotes.
func encodeYAML(root *yaml.Node) ([]byte, error) {
	out, err := encodeOnce(root)
	if err == nil && survives(root, out) {
		return out, nil
	}
	eachScalar(root, func(n *yaml.Node) {
		if n.ShortTag() == "!!str" && n.Style&yaml.SingleQuotedStyle == 0 {
			n.Style = yaml.DoubleQuotedStyle
		}
	})
	if out, err = encodeOnce(root); err != nil {
		return nil, fmt.Errorf("encode YAML: %w", err)
	}
	if !survives(root, out) {
		return nil, errors.New("encode YAML: the document would not mean the same")
	}
	return out, nil
}

func encodeOnce(root *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, err
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// survives reports whether encoded means what root means.
func survives(root *yaml.Node, encoded []byte) bool {
	var doc yaml.Node
	if err := yaml.Unmarshal(encoded, &doc); err != nil || len(doc.Content) != 1 {
		return false
	}
	return sameNode(root, doc.Content[0])
}

func sameNode(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Value == b.Value && a.Anchor == b.Anchor && a.ShortTag() == b.ShortTag() &&
		slices.EqualFunc(a.Content, b.Content, sameNode)
}

// eachScalar visits the scalars below n that are values, not keys. What an alias
// stands for is visited once, where its anchor is.
func eachScalar(n *yaml.Node, visit func(*yaml.Node)) {
	switch n.Kind {
	case yaml.ScalarNode:
		visit(n)
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			eachScalar(n.Content[i], visit)
		}
	case yaml.SequenceNode, yaml.DocumentNode:
		for _, c := range n.Content {
			eachScalar(c, visit)
		}
	}
}

// expandYAML substitutes in all scalar values and reports whether it changed
// one. A changed scalar is a string, and quoted so that YAML 1.1 and 1.2 agree.
func expandYAML(root *yaml.Node, vars map[string]string) bool {
	changed := false
	eachScalar(root, func(n *yaml.Node) {
		out := expand(n.Value, vars)
		if out == n.Value {
			return
		}
		n.Value, changed = out, true
		if n.ShortTag() == "!!binary" {
			return
		}
		n.Tag = "!!str"
		if n.Style&yaml.LiteralStyle == 0 {
			n.Style = yaml.DoubleQuotedStyle
		}
	})
	return changed
}

// lookup returns the key and the value of the first of the given keys that the
// mapping has, the value with its alias resolved; nil if it has none.
func lookup(mapping *yaml.Node, keys ...string) (key, value *yaml.Node) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if slices.Contains(keys, mapping.Content[i].Value) {
			value = mapping.Content[i+1]
			if value.Kind == yaml.AliasNode {
				value = value.Alias
			}
			return mapping.Content[i], value
		}
	}
	return nil, nil
}

// scalar makes a quoted string.
func scalar(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}
}
