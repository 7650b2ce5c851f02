package provision

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coreos/go-semver/semver"
	"github.com/coreos/ignition/v2/config/v3_0"
	"github.com/coreos/ignition/v2/config/v3_1"
	"github.com/coreos/ignition/v2/config/v3_2"
	"github.com/coreos/ignition/v2/config/v3_3"
	"github.com/coreos/ignition/v2/config/v3_4"
	"github.com/coreos/ignition/v2/config/v3_5"
	"github.com/coreos/ignition/v2/config/v3_6"
	"github.com/coreos/ignition/v2/config/v3_7_experimental"
	"github.com/coreos/vcontext/report"
)

// spec is an Ignition spec of major version 3 and its parser.
type spec struct {
	version semver.Version
	parse   func(raw []byte) (report.Report, error)
}

func newSpec[C any](version string, parse func([]byte) (C, report.Report, error)) spec {
	return spec{
		version: *semver.New(version),
		parse: func(raw []byte) (report.Report, error) {
			_, r, err := parse(raw)
			return r, err
		},
	}
}

// allSpecs lists the specs that Ignition's library parses, the lowest first.
func allSpecs() []spec {
	return []spec{
		newSpec("3.0.0", v3_0.Parse),
		newSpec("3.1.0", v3_1.Parse),
		newSpec("3.2.0", v3_2.Parse),
		newSpec("3.3.0", v3_3.Parse),
		newSpec("3.4.0", v3_4.Parse),
		newSpec("3.5.0", v3_5.Parse),
		newSpec("3.6.0", v3_6.Parse),
		newSpec("3.7.0-experimental", v3_7_experimental.Parse),
	}
}

// specSet says which Ignition specs an image accepts.
type specSet struct {
	known []spec         // all, the lowest first
	max   semver.Version // the highest accepted
	old   bool           // 1 and 2 are accepted
}

// specsOf reads the image's side of the options.
func specsOf(o Options) (specSet, error) {
	s := specSet{known: allSpecs()}
	if o.IgnitionMax == "" {
		s.max, s.old = s.known[len(s.known)-1].version, true
		return s, nil
	}
	full := o.IgnitionMax
	if strings.Count(full, ".") == 1 {
		full += ".0"
	}
	v, err := semver.NewVersion(full)
	if err != nil {
		return specSet{}, fmt.Errorf("the image's Ignition spec %q is no version such as 3.3.0", o.IgnitionMax)
	}
	s.max, s.old = *v, o.Ignition2 || v.Major < 3
	return s, nil
}

// find returns the spec of exactly that version.
func (s specSet) find(v semver.Version) (spec, bool) {
	i := slices.IndexFunc(s.known, func(sp spec) bool { return sp.version == v })
	if i < 0 {
		return spec{}, false
	}
	return s.known[i], true
}

// highest returns the highest known spec that the image accepts; false means
// that it accepts none of major version 3.
func (s specSet) highest() (spec, bool) {
	for _, sp := range slices.Backward(s.known) {
		if sp.version.Compare(s.max) <= 0 {
			return sp, true
		}
	}
	return spec{}, false
}

// minimal is the smallest config that the image accepts.
func (s specSet) minimal() []byte {
	if s.max.Major < 3 {
		return []byte(`{"ignition":{"version":"2.0.0"}}`)
	}
	return []byte(`{"ignition":{"version":"3.0.0"}}`)
}

// names lists the known versions for an error.
func (s specSet) names() string {
	names := []string{"1", "2.0.0 to " + maxSpec2}
	for _, sp := range s.known {
		names = append(names, sp.version.String())
	}
	return strings.Join(names, ", ")
}
