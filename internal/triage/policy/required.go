package policy

import (
	"cmp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Required is a list of tests that have to run and pass.
type Required struct{ Tests []*Requirement }

// Requirement is one of them.
type Requirement struct {
	At Position
	// Name is a test, or test/subtest.
	Name string
	// Prefix is set if all tests are meant whose names begin with Name.
	Prefix     bool
	Exceptions []*Exception
}

// Exception frees a requirement in some places. A requirement with several is
// free where any of them holds.
type Exception struct {
	At     Position
	Scope  Scope
	Reason string
}

// Require returns the list of tests with these names, as if from a file.
func Require(names ...string) *Required {
	r := &Required{}
	for _, name := range names {
		r.Tests = append(r.Tests, &Requirement{Name: name})
	}
	return r
}

// And returns the requirements of both lists, either of which may be nil.
func (rs *Required) And(more *Required) *Required {
	if rs == nil || more == nil {
		return cmp.Or(rs, more)
	}
	return &Required{Tests: slices.Concat(rs.Tests, more.Tests)}
}

// Names reports whether a requirement is about a test or "test/subtest".
func (r *Requirement) Names(test string) bool {
	return r.Name == test || r.Prefix && strings.HasPrefix(test, r.Name)
}

// Exception returns the first exception that holds in a place.
func (r *Requirement) Exception(p Place) (*Exception, bool) {
	i := slices.IndexFunc(r.Exceptions, func(e *Exception) bool { return e.Scope.Holds(p) })
	if i < 0 {
		return nil, false
	}
	return r.Exceptions[i], true
}

// Requires returns the first requirement that a test is under in a place. As
// one test can be named by several, an exception frees it from its own
// requirement only.
func (rs *Required) Requires(test string, p Place) (*Requirement, bool) {
	i := slices.IndexFunc(rs.Tests, func(r *Requirement) bool {
		_, free := r.Exception(p)
		return r.Names(test) && !free
	})
	if i < 0 {
		return nil, false
	}
	return rs.Tests[i], true
}

// Missing returns the requirements that none of the tests which ran in a place
// is named by, in the order of the file.
func (rs *Required) Missing(ran []string, p Place) []*Requirement {
	var missing []*Requirement
	for _, r := range rs.Tests {
		if _, free := r.Exception(p); !free && !slices.ContainsFunc(ran, r.Names) {
			missing = append(missing, r)
		}
	}
	return missing
}

// ParseRequired reads a list of required tests; name stands in its positions.
// An error is an Errors, and so is an empty list. Its form is:
//
//	required:
//	  - cl.basic                       # a test, or test/subtest
//	  - name: docker.base
//	    exceptions:
//	      - platforms: [qemu]          # all that is given must hold
//	        arches: [arm64]            # also: accels, images, versions
//	        reason: too slow
//
// or that of Azure Container Linux (acl/tests/kola_enforcing.yaml), where names
// are prefixes:
//
//	version: 1
//	tests:
//	  - name: kubeadm.v1.34.1
//	    exceptions:
//	      - platforms: [qemu]
//	        architectures: [aarch64]
//	        bootloader: [grub]
//	        imageVariants: [acl-t]
//	        reason: too slow
//
// An exception that limits itself to nothing would free its test everywhere and
// is a mistake.
func ParseRequired(name string, data []byte) (*Required, error) {
	s, root := load(name, data)
	required := &Required{}
	switch {
	case root == nil:
		if len(s.errs) == 0 {
			s.errorAt(Position{name, 1, 1}, "the file requires no tests")
		}
	case root.Kind == yaml.MappingNode && slices.ContainsFunc(root.Content, func(n *yaml.Node) bool { return n.Value == "tests" }):
		required.Tests = s.enforced(root)
	default:
		for _, n := range s.list(root, "a file of required tests", "required") {
			required.Tests = append(required.Tests, s.requirement(n, false))
		}
	}
	if root != nil && len(required.Tests) == 0 && len(s.errs) == 0 {
		s.errorf(root, "the file requires no tests")
	}
	if err := s.err(); err != nil {
		return nil, err
	}
	return required, nil
}

// enforced reads Azure Container Linux's format.
func (s *source) enforced(root *yaml.Node) []*Requirement {
	o, ok := s.object(root, "a list of enforced tests", "version", "tests")
	if !ok {
		return nil
	}
	if v := o.fields["version"]; v == nil || v.Value != "1" {
		s.errorf(root, "the format's version has to be 1")
	}
	n := o.field("tests")
	if n == nil {
		return nil
	}
	var all []*Requirement
	for _, item := range s.items(n, "tests") {
		all = append(all, s.requirement(item, true))
	}
	return all
}

func (s *source) requirement(n *yaml.Node, foreign bool) *Requirement {
	if n.Kind == yaml.ScalarNode && !foreign {
		return &Requirement{At: s.at(n), Name: s.text(n, "a required test")}
	}
	o, ok := s.object(n, "a required test", "name", "exceptions")
	if !ok {
		return nil
	}
	o.foreign = foreign
	r := &Requirement{At: s.at(n), Name: o.need("name"), Prefix: foreign}
	if list := o.field("exceptions"); list != nil {
		for _, item := range s.items(list, "exceptions") {
			r.Exceptions = append(r.Exceptions, s.exception(item, foreign))
		}
	}
	return r
}

func (s *source) exception(n *yaml.Node, foreign bool) *Exception {
	limits := scopeFields()
	if foreign {
		limits = []string{"platforms", "architectures", "bootloader", "imageVariants"}
	}
	o, ok := s.object(n, "an exception", append(limits, "reason")...)
	if !ok {
		return nil
	}
	e := &Exception{At: s.at(n), Reason: o.text("reason")}
	if foreign {
		e.Scope = Scope{
			Platforms: o.texts("platforms"), Arches: arches(o.texts("architectures")),
			Bootloaders: o.texts("bootloader"), Variants: o.texts("imageVariants"),
		}
	} else {
		e.Scope = o.scope()
	}
	if !slices.ContainsFunc(limits, func(name string) bool { return o.fields[name] != nil }) {
		s.errorf(n, "the exception holds everywhere; limit it by %s, or leave the test out", joinOr(limits))
	}
	return e
}
