package provision

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/coreos/go-semver/semver"
	vjson "github.com/coreos/vcontext/json"
	"github.com/coreos/vcontext/path"
	"github.com/coreos/vcontext/report"
	"github.com/coreos/vcontext/tree"
)

// renderIgnition renders a config in JSON. It returns raw itself where nothing
// had to be changed.
func renderIgnition(raw []byte, o Options, specs specSet) ([]byte, Report) {
	var r Report
	doc, problem := decodeJSON(raw)
	if problem != nil {
		return nil, Report{Errors: []Problem{*problem}}
	}
	source, err := vjson.UnmarshalToContext(raw)
	if err != nil {
		r.errorf("%v", err)
		return nil, r
	}
	c := ignitionConfig{raw: raw, doc: doc, source: source, specs: specs}
	if r = c.readVersion(); len(r.Errors) > 0 {
		return nil, r
	}
	if r = c.expand(o.Vars); len(r.Errors) > 0 {
		return nil, r
	}
	if r = c.check(); len(r.Errors) > 0 {
		return nil, r
	}
	r.add(c.finish(o))
	if len(r.Errors) > 0 {
		return nil, r
	}
	return c.bytes, r
}

// ignitionConfig is a config on its way to the machine.
type ignitionConfig struct {
	raw     []byte         // as its author wrote it
	source  tree.Node      // positions in raw; nil if raw was generated
	doc     map[string]any // the current state
	bytes   []byte         // doc, or raw as long as they mean the same
	version semver.Version
	specs   specSet
}

// readVersion finds the config's spec and checks that the image accepts it, or
// may accept it once lowered.
func (c *ignitionConfig) readVersion() Report {
	fail := func(format string, args ...any) Report {
		var vr report.Report
		vr.AddOnError(path.New("json", "ignition", "version"), fmt.Errorf(format, args...))
		return fromVcontext(vr, c.source)
	}
	if v, ok := c.doc["ignitionVersion"]; ok {
		if fmt.Sprint(v) != "1" {
			return fail("ignitionVersion must be 1 (later specs have ignition.version)")
		}
		c.version = semver.Version{Major: 1}
	} else {
		section, _ := c.doc["ignition"].(map[string]any)
		text, _ := section["version"].(string)
		v, err := semver.NewVersion(text)
		if err != nil {
			return fail("must be a version such as \"3.3.0\"")
		}
		c.version = *v
	}
	switch _, known := c.specs.find(c.version); {
	case !known && !isOldSpec(c.version):
		return fail("spec %s is unknown; known are %s", c.version, c.specs.names())
	case c.version.Major < 3 && !c.specs.old:
		return fail("spec %s is too old: the image accepts 3.0.0 to %s", c.version, c.specs.max)
	case c.version.Major >= 3 && c.specs.max.Major < 3, c.version.Major == 2 && c.specs.max.Major == 2 && c.specs.max.LessThan(c.version):
		return fail("spec %s is too new: the image accepts at most %s", c.version, c.specs.max)
	}
	return Report{}
}

// expand substitutes the variables.
func (c *ignitionConfig) expand(vars map[string]string) Report {
	changed, vr := expandJSON(c.doc, vars)
	c.bytes = c.raw
	if changed {
		c.bytes = encodeJSON(c.doc)
	}
	return fromVcontext(vr, c.source)
}

// check validates the current state against the config's own spec.
func (c *ignitionConfig) check() Report {
	sp, ok := c.specs.find(c.version)
	if !ok {
		return checkOldSpec(c.raw, c.version, c.source)
	}
	return c.checkAgainst(sp)
}

// checkAgainst validates the current state against a spec.
func (c *ignitionConfig) checkAgainst(sp spec) Report {
	vr, err := sp.parse(c.bytes)
	if err != nil && slices.ContainsFunc(vr.Entries, isTypeError) {
		// Substitution changes no types: the author's text has the same
		// error, and there its offset means something.
		if again, errAgain := sp.parse(c.raw); errAgain != nil {
			vr = again
		}
		return typeErrors(vr, c.raw)
	}
	r := fromVcontext(vr, c.source)
	if err != nil && len(r.Errors) == 0 {
		r.errorf("%v", err)
	}
	return r
}

// finish adds the keys and lowers the version, in the configs within this one,
// too, and checks what came out.
func (c *ignitionConfig) finish(o Options) Report {
	changed, r := c.finishNested(o)
	if addIgnitionKeys(c.doc, o.User, o.SSHKeys) {
		changed = true
	}
	if changed {
		c.bytes = encodeJSON(c.doc)
	}
	switch {
	case len(r.Errors) > 0:
	case c.specs.max.LessThan(c.version):
		r.add(c.lower())
	case changed:
		r.Errors = c.check().Errors
	}
	return r
}

// finishNested renders the configs that this one merges or is replaced by, where
// they are data: URLs. A config that replaces this one needs the keys itself.
func (c *ignitionConfig) finishNested(o Options) (bool, Report) {
	var vr report.Report
	changed := rewriteJSON(c.doc, func(at jsonString) string {
		p := at.path.Path
		if at.key != "source" || len(p) < 4 || p[0] != "ignition" || p[1] != "config" {
			return at.value
		}
		nested := Options{}
		if p[2] == "replace" {
			nested = Options{SSHKeys: o.SSHKeys, User: o.User}
		}
		if !at.isDataURL() {
			if len(nested.SSHKeys) > 0 {
				vr.AddOnWarn(at.path, errors.New("the config that replaces this one is not known here: the run's SSH key is not in it"))
			}
			return at.value
		}
		out, err := rewriteResource(at.value, at.parent, func(payload []byte) ([]byte, error) {
			if kind, err := Detect(payload); err != nil || kind != Ignition {
				return payload, nil
			}
			out, r := renderIgnition(payload, nested, c.specs)
			return out, r.err(Ignition)
		})
		vr.AddOnError(at.path, err)
		return out
	})
	return changed, fromVcontext(vr, c.source)
}

// lower gives the config the highest version that the image accepts, if its
// spec has all that the config uses. The older parser is the judge: whatever it
// finds that the config's own parser did not find would be lost.
func (c *ignitionConfig) lower() Report {
	target, ok := c.specs.highest()
	if !ok {
		return Report{Errors: []Problem{{Message: fmt.Sprintf("the image accepts no spec 3: its highest is %s", c.specs.max)}}}
	}
	from := c.version
	before := c.check()
	c.doc["ignition"].(map[string]any)["version"] = target.version.String()
	c.bytes = encodeJSON(c.doc)
	after := c.checkAgainst(target)

	var r Report
	known := append(slices.Clone(before.Errors), before.Warnings...)
	for _, p := range append(after.Errors, after.Warnings...) {
		if slices.Contains(known, p) {
			continue
		}
		p.Message = fmt.Sprintf("is not in Ignition spec %s, the highest that the image accepts (the config has %s): %s",
			target.version, from, p.Message)
		r.Errors = append(r.Errors, p)
	}
	c.version = target.version
	return r
}

// addIgnitionKeys appends the keys to the user's entry of a valid config of any
// spec, and reports whether there was something to add. The rest of the entry,
// known to this package or not, stays.
func addIgnitionKeys(doc map[string]any, user string, keys []string) bool {
	passwd, ok := doc["passwd"].(map[string]any)
	if !ok {
		passwd = map[string]any{}
	}
	users, _ := passwd["users"].([]any)
	i := slices.IndexFunc(users, func(u any) bool {
		entry, _ := u.(map[string]any)
		return entry["name"] == user
	})
	entry := map[string]any{"name": user}
	if i >= 0 {
		entry = users[i].(map[string]any)
	}
	have, _ := entry["sshAuthorizedKeys"].([]any)
	lines := make([]string, 0, len(have))
	for _, k := range have {
		line, _ := k.(string)
		lines = append(lines, line)
	}
	add := missing(keys, lines)
	if len(add) == 0 {
		return false
	}
	for _, k := range add {
		have = append(have, k)
	}
	entry["sshAuthorizedKeys"] = have
	if i < 0 {
		users = append(users, entry)
	}
	passwd["users"] = users
	doc["passwd"] = passwd
	return true
}

// jsonTypeError matches the text that encoding/json has for a value of the
// wrong type, of which Ignition's report keeps the text only.
var jsonTypeError = regexp.MustCompile(`^json: cannot unmarshal (.+) into Go (?:struct field [^. ]+\.(\S+)|value) of type (\S+)$`)

// embedded matches the name of a Go struct in the path of such an error.
var embedded = regexp.MustCompile(`\b[A-Z]\w*\.`)

func isTypeError(e report.Entry) bool { return jsonTypeError.MatchString(e.Message) }

// typeErrors converts the entries of wrong types, whose markers count bytes up
// to the end of the value.
func typeErrors(vr report.Report, raw []byte) Report {
	var r Report
	for _, e := range vr.Entries {
		p := Problem{Message: e.Message}
		if m := jsonTypeError.FindStringSubmatch(e.Message); m != nil {
			p.Path, p.Message = embedded.ReplaceAllString(m[2], ""), fmt.Sprintf("must be of type %[2]s, not %[1]s", m[1], m[3])
		}
		if e.Marker.StartP != nil {
			p.Line, p.Column = position(raw, e.Marker.StartP.Index-1)
		}
		r.Errors = append(r.Errors, p)
	}
	return r
}
