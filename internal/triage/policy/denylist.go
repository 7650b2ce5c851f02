package policy

import "gopkg.in/yaml.v3"

// quietPattern is the pattern of kola's denylist that means no test: findings
// on consoles do not fail tests.
const quietPattern = "skip-console-warnings"

// denial reads an entry of kola's denylist (coreos-assembler,
// mantle/kola/harness.go, ParseDenyListYaml):
//
//   - pattern: ext.config.kdump.*
//     tracker: https://example.org/issues/12
//     snooze: 2026-12-31
//     warn: true
//     streams: [rawhide]
//     arches: [ppc64le]
//     platforms: [aws]
//     osversion: [c9s]
//
// A test is skipped; with "warn" it is run, and its failure does not count;
// with "snooze" it is skipped until that day, and then warned of if "warn" is
// set. Unlike in kola, an entry for certain streams does not hold where the
// stream is not known.
func (s *source) denial(n *yaml.Node) *Entry {
	o, ok := s.object(n, "an entry of the denylist", "pattern", "tracker", "streams", "arches", "platforms", "osversion", "snooze", "warn")
	if !ok {
		return nil
	}
	o.foreign = true
	e := &Entry{
		At: s.at(n), Pattern: o.pattern(), Tracker: o.text("tracker"), Until: o.date("snooze"), Action: Skip, Snoozed: true,
		Scope: Scope{Streams: o.texts("streams"), Arches: arches(o.texts("arches")), Platforms: o.texts("platforms"), OSVersions: o.texts("osversion")},
	}
	if o.flag("warn") {
		if e.Until.IsZero() {
			e.Action = Warn
		} else {
			e.Later = Warn
		}
	}
	return e
}
