package policy

import (
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"seatrial/internal/triage/expr"
)

// Place is where a test runs, and on what. What is "" is not known.
type Place struct {
	Platform string
	Arch     string // amd64, arm64
	Accel    string
	Image    string // its name
	Version  string // the image's
	// The following are known to those who build images; a run learns them from
	// its configuration.
	Stream     string // the release stream: stable, rawhide
	OSVersion  string // of the distribution that the image is made of: c9s
	Bootloader string // grub, uki
	Variant    string // of the image
}

// Scope limits an entry to some places. What is empty does not limit; all that
// is given must hold. A limit on what is not known of a place does not hold.
type Scope struct {
	Platforms   []string
	Arches      []string // amd64, arm64
	Accels      []string
	Images      []string // globs, as in path.Match
	Versions    Range
	Streams     []string
	OSVersions  []string
	Bootloaders []string
	Variants    []string
}

// Holds reports whether a place is within the scope.
func (s Scope) Holds(p Place) bool {
	for _, limit := range []struct {
		allowed []string
		value   string
	}{
		{s.Platforms, p.Platform}, {s.Arches, p.Arch}, {s.Accels, p.Accel}, {s.Streams, p.Stream},
		{s.OSVersions, p.OSVersion}, {s.Bootloaders, p.Bootloader}, {s.Variants, p.Variant},
	} {
		if len(limit.allowed) > 0 && (limit.value == "" || !slices.Contains(limit.allowed, limit.value)) {
			return false
		}
	}
	if len(s.Images) > 0 && (p.Image == "" || !slices.ContainsFunc(s.Images, func(glob string) bool { return globMatch(glob, p.Image) })) {
		return false
	}
	return len(s.Versions.limits) == 0 || s.Versions.Contains(p.Version)
}

// globMatch is path.Match for patterns that were checked when they were read.
func globMatch(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// scopeFields are those of a scope in this program's own formats.
func scopeFields() []string { return []string{"platforms", "arches", "accels", "images", "versions"} }

func (o object) scope() Scope {
	s := Scope{Platforms: o.texts("platforms"), Arches: arches(o.texts("arches")), Accels: o.texts("accels"), Images: o.texts("images")}
	if n := o.fields["images"]; n != nil && n.Kind == yaml.SequenceNode {
		for i, glob := range s.Images {
			o.source.checkGlob(n.Content[i], glob)
		}
	}
	if text := o.text("versions"); text != "" {
		r, err := parseRange(text)
		if err != nil {
			o.source.errorAt(o.source.locate(o.fields["versions"], err.offset), "versions: %s", err.text)
		}
		s.Versions = r
	}
	return s
}

func (s *source) checkGlob(n *yaml.Node, glob string) {
	if _, err := path.Match(glob, ""); err != nil {
		s.errorf(n, "%q is not a glob: [ and \\ need their partners", glob)
	}
}

// arches translates the names that the kernel and RPM give to architectures.
func arches(names []string) []string {
	for i, name := range names {
		switch name {
		case "x86_64":
			names[i] = "amd64"
		case "aarch64":
			names[i] = "arm64"
		}
	}
	return names
}

// Range is a set of versions: those for which all limits hold.
type Range struct {
	text   string
	limits []limit
}

type limit struct{ op, version string }

// String returns the range as it was written.
func (r Range) String() string { return r.text }

// Contains reports whether a version is in the range; an unknown one is not,
// unless there are no limits.
func (r Range) Contains(version string) bool {
	for _, l := range r.limits {
		c := expr.CompareVersions(version, l.version)
		ok := map[string]bool{"": c == 0, "=": c == 0, "==": c == 0, "!=": c != 0, "<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0}[l.op]
		if version == "" || !ok {
			return false
		}
	}
	return true
}

type rangeError struct {
	offset int
	text   string
}

// parseRange reads limits with commas or spaces between them: ">= 3033, < 3200";
// a version alone is that version.
func parseRange(text string) (Range, *rangeError) {
	r := Range{text: text}
	for at := 0; ; {
		at += len(text[at:]) - len(strings.TrimLeft(text[at:], " ,\t\n"))
		if at == len(text) {
			return r, nil
		}
		rest := text[at:]
		op := rest[:len(rest)-len(strings.TrimLeft(rest, "<>=!"))]
		if !slices.Contains([]string{"", "=", "==", "!=", "<", "<=", ">", ">="}, op) {
			return Range{}, &rangeError{at, "there is no operator " + op}
		}
		at += len(op)
		at += len(text[at:]) - len(strings.TrimLeft(text[at:], " \t\n"))
		version, _, _ := strings.Cut(strings.NewReplacer(",", " ", "\t", " ", "\n", " ").Replace(text[at:]), " ")
		if version == "" || strings.ContainsAny(version, "<>=!") {
			return Range{}, &rangeError{min(at, len(text)), "a version is missing, as in: >= 3033.2.0, < 3200"}
		}
		r.limits = append(r.limits, limit{op, version})
		at += len(version)
	}
}
