package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"
)

// configFile is the run file that is taken by itself from the working
// directory.
const configFile = "seatrial.yaml"

// applyConfig sets flags from a run file: a YAML mapping of the names of flags
// to values, or to lists where a flag takes several. What the command line says
// goes first. Without a path, configFile is read if there is one.
func applyConfig(flags *pflag.FlagSet, path string) error {
	given := path != ""
	if !given {
		path = configFile
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !given {
		return nil
	}
	if err != nil {
		return usagef("--config: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return usagef("%s: %w", path, err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return usage(applyMapping(flags, path, doc.Content[0]))
}

func applyMapping(flags *pflag.FlagSet, path string, m *yaml.Node) error {
	if m.Kind != yaml.MappingNode {
		return fmt.Errorf("%s:%d:%d: want a mapping of flags to values", path, m.Line, m.Column)
	}
	var errs []error
	for i := 0; i < len(m.Content); i += 2 {
		key, value := m.Content[i], m.Content[i+1]
		if err := applyEntry(flags, key.Value, value); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d:%d: %s: %w", path, key.Line, key.Column, key.Value, err))
		}
	}
	return errors.Join(errs...)
}

func applyEntry(flags *pflag.FlagSet, name string, value *yaml.Node) error {
	flag := flags.Lookup(name)
	if flag == nil || name == "config" {
		return errors.New("no such flag; `seatrial run --help` shows what there is")
	}
	if flag.Changed {
		return nil
	}
	var words []string
	switch value.Kind {
	case yaml.ScalarNode:
		words = []string{value.Value}
	case yaml.SequenceNode:
		for _, item := range value.Content {
			if item.Kind != yaml.ScalarNode {
				return fmt.Errorf("line %d: want a plain value", item.Line)
			}
			words = append(words, item.Value)
		}
	default:
		return errors.New("want a value or a list of values")
	}
	if list, ok := flag.Value.(pflag.SliceValue); ok {
		return list.Replace(words)
	}
	if len(words) != 1 {
		return fmt.Errorf("want one value and not a list: %s", strings.Join(words, ", "))
	}
	return flag.Value.Set(words[0])
}
