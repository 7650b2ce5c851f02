package policy

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Known is a list of known failures.
type Known struct {
	Entries []*Entry
	// Quiet are the entries that switch off the checks of consoles: those of
	// kola's denylist with the pattern skip-console-warnings.
	Quiet []*Entry
}

// Entry is a known failure.
type Entry struct {
	At Position
	// Pattern is a glob on a test's name, or two with a slash between them on a
	// test's and its subtest's. Without a slash it stands for the subtests, too.
	Pattern   string
	Scope     Scope
	Signature *regexp.Regexp // of the failure; nil for any
	Tracker   string
	Reason    string
	Category  string
	// Until is the first day, in UTC, on which the entry does not hold any
	// more; zero for one without an end.
	Until  time.Time
	Action Action // ExpectFail, Warn or Skip
	// Later is the action from Until on, "" for none. Kola's denylist has
	// entries that are skipped first and then warned of.
	Later Action
	// Snoozed is set on entries of kola's denylist, whose Until is no promise but
	// the day from which the test is run again.
	Snoozed bool
}

// ActionAt returns what an entry asks for at a time; "" if it has expired.
func (e *Entry) ActionAt(now time.Time) Action {
	if e.Expired(now) {
		return e.Later
	}
	return e.Action
}

// Expired reports whether the entry's time is over.
func (e *Entry) Expired(now time.Time) bool { return !e.Until.IsZero() && !now.Before(e.Until) }

// Covers reports whether an entry is about a test, or "test/subtest", in a
// place.
func (e *Entry) Covers(test string, p Place) bool {
	return matches(e.Pattern, test, true) && e.Scope.Holds(p)
}

// matches applies a pattern to a test's name. With inside set a pattern for a
// test also matches its subtests.
func matches(pattern, name string, inside bool) bool {
	testGlob, subGlob, subPattern := strings.Cut(pattern, "/")
	test, sub, isSub := strings.Cut(name, "/")
	switch {
	case !globMatch(testGlob, test):
		return false
	case subPattern:
		return isSub && globMatch(subGlob, sub)
	default:
		return inside || !isSub
	}
}

// Skips returns the entry because of which a test is not to be run.
func (k *Known) Skips(test string, p Place, now time.Time) (*Entry, bool) {
	return k.find(test, p, func(e *Entry) bool { return e.ActionAt(now) == Skip })
}

// Excuses returns the entry that a failure with this signature falls under:
// the first one that expects it or only warns of it.
func (k *Known) Excuses(test string, p Place, signature string, now time.Time) (*Entry, bool) {
	return k.find(test, p, func(e *Entry) bool {
		action := e.ActionAt(now)
		return (action == ExpectFail || action == Warn) && (e.Signature == nil || e.Signature.MatchString(signature))
	})
}

// Expects returns the entry that expects a test, or "test/subtest", to fail. A
// pattern for tests says nothing of their subtests here, since one of them is
// enough for a test to fail.
func (k *Known) Expects(test string, p Place, now time.Time) (*Entry, bool) {
	return k.find(test, p, func(e *Entry) bool { return matches(e.Pattern, test, false) && e.ActionAt(now) == ExpectFail })
}

// Lapsed returns the entry that a failure with this signature would fall under
// if its time were not over.
func (k *Known) Lapsed(test string, p Place, signature string, now time.Time) (*Entry, bool) {
	return k.find(test, p, func(e *Entry) bool {
		return e.ActionAt(now) == "" && (e.Signature == nil || e.Signature.MatchString(signature))
	})
}

// SkipsConsoleChecks returns the entry because of which findings on consoles
// are not to fail tests in a place.
func (k *Known) SkipsConsoleChecks(p Place, now time.Time) (*Entry, bool) {
	i := slices.IndexFunc(k.Quiet, func(e *Entry) bool { return e.Scope.Holds(p) && !e.Expired(now) })
	if i < 0 {
		return nil, false
	}
	return k.Quiet[i], true
}

func (k *Known) find(test string, p Place, ok func(*Entry) bool) (*Entry, bool) {
	i := slices.IndexFunc(k.Entries, func(e *Entry) bool { return e.Covers(test, p) && ok(e) })
	if i < 0 {
		return nil, false
	}
	return k.Entries[i], true
}

// ParseKnown reads a file of known failures; name stands in its positions. An
// error is an Errors. A file that is a list is one of kola's (coreos-assembler,
// src/config/kola-denylist.yaml), else its form is:
//
//	known:
//	  - pattern: docker.base/docker-info  # a test, or test/subtest; globs
//	    platforms: [qemu]                 # the scope; what is absent does not limit
//	    arches: [arm64]
//	    accels: [tcg]
//	    images: ["flatcar-*"]
//	    versions: ">= 3033.2.0, < 3200"
//	    signature: seccomp.*missing       # a regular expression
//	    tracker: https://example.org/issues/12
//	    reason: the kernel is built without seccomp
//	    category: seccomp
//	    until: 2026-12-31                 # from that day on it does not hold
//	    action: expect-fail               # expect-fail (default), warn, skip
//
// One of tracker and reason has to be there.
func ParseKnown(name string, data []byte) (*Known, error) {
	s, root := load(name, data)
	known := &Known{}
	if root != nil && root.Kind == yaml.SequenceNode {
		for _, n := range root.Content {
			known.add(s.denial(n))
		}
	} else {
		for _, n := range s.list(root, "a file of known failures", "known") {
			known.add(s.entry(n))
		}
	}
	if err := s.err(); err != nil {
		return nil, err
	}
	return known, nil
}

func (k *Known) add(e *Entry) {
	switch {
	case e == nil:
	case e.Pattern == quietPattern:
		k.Quiet = append(k.Quiet, e)
	default:
		k.Entries = append(k.Entries, e)
	}
}

func (s *source) entry(n *yaml.Node) *Entry {
	fields := append([]string{"pattern", "signature", "tracker", "reason", "category", "until", "action"}, scopeFields()...)
	o, ok := s.object(n, "a known failure", fields...)
	if !ok {
		return nil
	}
	e := &Entry{
		At: s.at(n), Pattern: o.pattern(), Scope: o.scope(), Tracker: o.text("tracker"), Reason: o.text("reason"), Category: o.text("category"),
		Until: o.date("until"), Action: oneOf(o, "action", ExpectFail, Warn, Skip), Signature: o.regexp("signature"),
	}
	if e.Tracker == "" && e.Reason == "" {
		s.errorf(n, "the known failure says neither tracker nor reason; one of them is needed")
	}
	if e.Action == Skip && o.fields["signature"] != nil {
		s.errorf(o.fields["signature"], "a skipped test has no failure and so no signature; take action expect-fail")
	}
	return e
}

// pattern reads the pattern of tests, which must be there.
func (o object) pattern() string {
	pattern, n := o.need("pattern"), o.fields["pattern"]
	test, sub, _ := strings.Cut(pattern, "/")
	o.source.checkGlob(n, test)
	o.source.checkGlob(n, sub)
	return pattern
}

// lineMode stands before regular expressions: ^ and $ match at lines.
const lineMode = "(?m)"

// regexp reads a regular expression.
func (o object) regexp(name string) *regexp.Regexp {
	text := o.text(name)
	if text == "" {
		return nil
	}
	re, err := regexp.Compile(lineMode + text)
	if err != nil {
		o.source.errorf(o.fields[name], "%s: %s", name, strings.ReplaceAll(err.Error(), lineMode, ""))
	}
	return re
}
