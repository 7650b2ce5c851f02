package provision

import (
	"strings"

	"github.com/coreos/butane/config"
	"github.com/coreos/butane/config/common"
	vyaml "github.com/coreos/vcontext/yaml"
)

// renderButane translates a Butane config of any variant and renders the
// Ignition config that it means. Keys that Butane does not know are errors, as
// in its strict mode; its other warnings stay warnings.
func renderButane(raw []byte, o Options, specs specSet) ([]byte, Report) {
	root, problems := decodeYAML(raw)
	if problems != nil {
		return nil, Report{Errors: problems}
	}
	doc := raw
	if expandYAML(root, o.Vars) {
		var err error
		if doc, err = encodeYAML(root); err != nil {
			return nil, Report{Errors: []Problem{{Message: err.Error()}}}
		}
	}
	translated, r := translateButane(doc, raw)
	if len(r.Errors) > 0 {
		return nil, r
	}
	tree, problem := decodeJSON(translated)
	if problem != nil {
		r.errorf("translate to Ignition: %s", problem.Message)
		return nil, r
	}
	c := ignitionConfig{raw: translated, bytes: translated, doc: tree, specs: specs}
	r.add(c.readVersion())
	if len(r.Errors) == 0 {
		r.add(c.finish(o))
	}
	return c.bytes, r
}

// translateButane translates doc, with positions in raw, from which doc was made
// by substitution.
func translateButane(doc, raw []byte) ([]byte, Report) {
	options := common.TranslateBytesOptions{Raw: true}
	translated, vr, err := config.TranslateBytes(doc, options)
	source, sourceErr := vyaml.UnmarshalToContext(raw)
	if sourceErr != nil {
		return nil, Report{Errors: yamlProblems(sourceErr)}
	}
	r := promoteUnusedKeys(fromVcontext(vr, source))
	if err != nil && len(r.Errors) == 0 {
		// The error has the only line number as text; the author's own
		// document has the same error on the right line.
		if _, _, errRaw := config.TranslateBytes(raw, options); errRaw != nil {
			err = errRaw
		}
		r.Errors = yamlProblems(err)
	}
	return translated, r
}

// promoteUnusedKeys makes errors of the warnings about unknown keys.
func promoteUnusedKeys(r Report) Report {
	out := Report{Errors: r.Errors}
	for _, p := range r.Warnings {
		if key, ok := strings.CutPrefix(p.Message, "unused key "); ok {
			p.Message = "unknown key " + key
			out.Errors = append(out.Errors, p)
		} else {
			out.Warnings = append(out.Warnings, p)
		}
	}
	out.sort()
	return out
}
