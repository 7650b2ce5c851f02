package policy

import (
	"slices"
	"strconv"

	"gopkg.in/yaml.v3"

	"seatrial/internal/triage/compare"
)

// Effect is what a rule of the gate does where it does not hold.
type Effect string

// The effects.
const (
	GateBlock  Effect = "block"
	GateWarn   Effect = "warn"
	GateIgnore Effect = "ignore"
	// GateRegression is for the rule fail only: a failure blocks if it is a
	// regression, or if there is no history to tell, and is warned of otherwise.
	GateRegression Effect = "regression"
)

// Gate says what may ship in a channel.
type Gate struct {
	Channel string
	At      Position
	Effects map[string]Effect // by rule; all of them
	// Errors is how many tests may end in an error that is not the image's; those
	// that are required may not.
	Errors int
	// Attempts is the most that a pass may have taken; 0 is any number.
	Attempts int
	Required *Required // nil for none
	// Thresholds are those of the statistics over earlier runs.
	Thresholds compare.Thresholds
}

// gateEffects lists the rules of the gate with their effects by default.
func gateEffects() map[string]Effect {
	return map[string]Effect{
		"fail": GateBlock, "missing": GateBlock, "expired": GateBlock, "regression": GateWarn, "contradicted": GateWarn,
		"fixed": GateWarn, "flaky": GateIgnore, "known": GateIgnore, "unused": GateIgnore, "lift": GateIgnore,
	}
}

// DefaultGate is the policy of a run without a policy file.
func DefaultGate() *Gate {
	return &Gate{Effects: gateEffects(), Thresholds: compare.SippyThresholds()}
}

// ParseGate reads a gate policy; name stands in its positions. An error is an
// Errors. All but the channel may be left out:
//
//	channel: stable
//	rules:                 # block, warn or ignore
//	  fail: block          # also: regression, which blocks only if it is one
//	  missing: block       # a required test did not run
//	  expired: block       # the time of a known failure is over
//	  regression: warn     # it passes less often than before, by statistics
//	  contradicted: warn   # a run disagrees with a known failure
//	  fixed: warn          # expected to fail, and passed
//	  flaky: ignore
//	  known: ignore        # failed as expected
//	  unused: ignore       # a known failure that no test of the run is about
//	  lift: ignore         # a known failure that is silent for long
//	errors: 0              # so many tests may end in an error that is not the image's
//	attempts: 3            # a pass must not have taken more
//	required: [cl.basic]   # as in a file of required tests
//	statistics:            # of the rule regression
//	  runs: 6              # of earlier images, for there to be statistics at all
//	  failures: 3          # at least
//	  pity: 5              # percentage points of drop that are forgiven
//	  confidence: 95       # percent
func ParseGate(name string, data []byte) (*Gate, error) {
	s, root := load(name, data)
	g := DefaultGate()
	switch {
	case root != nil:
		s.gate(root, g)
	case len(s.errs) == 0:
		s.errorAt(Position{name, 1, 1}, "the file has no policy; it needs a channel at least")
	}
	if err := s.err(); err != nil {
		return nil, err
	}
	return g, nil
}

func (s *source) gate(root *yaml.Node, g *Gate) {
	o, ok := s.object(root, "a gate policy", "channel", "rules", "errors", "attempts", "required", "statistics")
	if !ok {
		return
	}
	g.At, g.Channel = s.at(root), o.need("channel")
	g.Errors = int(o.number("errors", 0, 0, 1_000_000))
	g.Attempts = int(o.number("attempts", 0, 1, 1000))
	if n := o.field("required"); n != nil {
		g.Required = &Required{}
		for _, item := range s.items(n, "required") {
			g.Required.Tests = append(g.Required.Tests, s.requirement(item, false))
		}
		if len(g.Required.Tests) == 0 {
			s.errorf(n, "required names no tests; name some or leave it out")
		}
	}
	if n := o.field("rules"); n != nil {
		s.effects(n, g)
	}
	if n := o.field("statistics"); n != nil {
		if st, ok := s.object(n, "statistics", "runs", "failures", "pity", "confidence"); ok {
			t := &g.Thresholds
			t.MinBase = int(st.number("runs", float64(t.MinBase), 2, 100_000))
			t.MinFailures = int(st.number("failures", float64(t.MinFailures), 1, 100_000))
			t.Pity = st.number("pity", t.Pity, 0, 100)
			t.Confidence = st.number("confidence", t.Confidence, 50, 99.999)
		}
	}
}

func (s *source) effects(n *yaml.Node, g *Gate) {
	var names []string
	for name := range gateEffects() {
		names = append(names, name)
	}
	slices.Sort(names)
	o, ok := s.object(n, "rules", names...)
	if !ok {
		return
	}
	for _, name := range names {
		if o.fields[name] == nil {
			continue
		}
		effects := []Effect{GateBlock, GateWarn, GateIgnore}
		switch name {
		case "fail":
			effects = []Effect{GateBlock, GateWarn, GateRegression}
		case "missing":
			effects = []Effect{GateBlock, GateWarn}
		}
		g.Effects[name] = oneOf(o, name, effects...)
	}
}

// number reads a field that is a number within bounds; def if it is absent.
func (o object) number(name string, def, low, high float64) float64 {
	text := o.text(name)
	if text == "" {
		return def
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= low && v <= high) {
		o.source.errorf(o.fields[name], "%s is a number from %s to %s, not %q", name, plain(low), plain(high), text)
		return def
	}
	return v
}

func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
