package provision

import (
	"testing"

	"gopkg.in/yaml.v3"
)

// TestEncodeYAML checks that every value survives in every style, whatever the
// library's emitter makes of it.
func TestEncodeYAML(t *testing.T) {
	values := append(hostile(), "\n\n  x\n", "  x\ny\n", "\ta\n", "a\n\n", "a\n \n", "# x\n", "a \nb", "\n\ta", "\r", "a\rb\n", "\ufeffa\n")
	for _, style := range []yaml.Style{0, yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle, yaml.LiteralStyle, yaml.FoldedStyle} {
		for _, value := range values {
			root := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
				scalar("key"), {Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: style},
				scalar("last"), {Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{scalar("x")}},
			}}
			out, err := encodeYAML(root)
			if err != nil {
				t.Errorf("style %d, %q: %v", style, value, err)
				continue
			}
			var got map[string]any
			if err := yaml.Unmarshal(out, &got); err != nil || got["key"] != value {
				t.Errorf("style %d, %q: read %q, %v from:\n%s", style, value, got["key"], err, out)
			}
		}
	}
}
