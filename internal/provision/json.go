package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/coreos/vcontext/path"
	"github.com/coreos/vcontext/report"
)

// decodeJSON decodes an object, with numbers kept as they are written. The
// problem, if any, has the position of a syntax error.
func decodeJSON(raw []byte) (map[string]any, *Problem) {
	// Unmarshal finds all that Decode would overlook, such as text after the
	// object.
	var top map[string]json.RawMessage
	if err := json.Unmarshal(raw, &top); err != nil {
		p := Problem{Message: err.Error()}
		if se, ok := errors.AsType[*json.SyntaxError](err); ok {
			p.Line, p.Column = position(raw, se.Offset-1)
		}
		return nil, &p
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		return nil, &Problem{Message: err.Error()}
	}
	return doc, nil
}

// encodeJSON encodes a decoded object in one line, with keys in alphabetical
// order.
func encodeJSON(doc map[string]any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		// What a decoder made, an encoder takes.
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// expandJSON substitutes in all string values of an Ignition config, in place,
// and reports whether it changed one.
func expandJSON(doc map[string]any, vars map[string]string) (bool, report.Report) {
	var r report.Report
	changed := rewriteJSON(doc, func(at jsonString) string {
		if !at.isDataURL() {
			return expand(at.value, vars)
		}
		out, err := expandDataURL(at.value, at.parent, vars)
		r.AddOnError(at.path, err)
		return out
	})
	return changed, r
}

// jsonString is a string value in a document.
type jsonString struct {
	value  string
	path   path.ContextPath
	parent map[string]any // the object that it is a value of; nil in an array
	key    string         // its key there
}

// isDataURL reports whether the string is a resource that has its contents in
// itself.
func (s jsonString) isDataURL() bool {
	return s.key == "source" && strings.HasPrefix(s.value, "data:")
}

// rewriteJSON replaces each string value of the document by what rewrite makes
// of it, in the alphabetical order of keys, and reports whether one changed.
func rewriteJSON(doc map[string]any, rewrite func(jsonString) string) bool {
	return rewriteValue(doc, path.New("json"), rewrite)
}

func rewriteValue(v any, at path.ContextPath, rewrite func(jsonString) string) bool {
	changed := false
	visit := func(s jsonString, v any, set func(any)) {
		text, ok := v.(string)
		if !ok {
			changed = rewriteValue(v, s.path, rewrite) || changed
			return
		}
		s.value = text
		if out := rewrite(s); out != text {
			set(out)
			changed = true
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			visit(jsonString{path: at.Append(key), parent: v, key: key}, v[key], func(n any) { v[key] = n })
		}
	case []any:
		for i, value := range v {
			visit(jsonString{path: at.Append(i)}, value, func(n any) { v[i] = n })
		}
	}
	return changed
}
