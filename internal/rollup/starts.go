package rollup

import "seatrial/harness/event"

// count adds the attempts of a row.
func (s *Starts) count(row Row) {
	verified := false
	for _, a := range row.Attempts {
		switch a.Start {
		case "fork":
			s.Fork++
		case "cold":
			s.Cold++
		}
		for _, m := range a.Booted {
			if m.Fallback != "" {
				s.Fallbacks++
			}
		}
		verified = verified || a.Verifies && (a.Outcome == event.Pass || differs(a))
	}
	if verified {
		s.Verified++
	}
	if row.ForkDiffers {
		s.Differ++
	}
}

// differs reports whether an attempt contradicts an earlier pass. An error says
// nothing of the image.
func differs(a Attempt) bool { return a.Outcome == event.Fail || a.Outcome == event.Skip }

// forkDiffers reports whether a test whose pass was repeated cold never passed
// then.
func forkDiffers(attempts []Attempt) bool {
	found := false
	for _, a := range attempts {
		switch {
		case a.Verifies && a.Outcome == event.Pass:
			return false
		case a.Verifies && differs(a):
			found = true
		}
	}
	return found
}

// packedOnly reports whether a test failed on a machine that it shared, and
// passed alone.
func packedOnly(row Row) bool {
	packed, alone := false, false
	for _, a := range row.Attempts {
		switch {
		case len(a.Pack) > 0:
			packed = packed || a.Outcome == event.Fail || a.Outcome == event.Error
		case a.Outcome == event.Fail || a.Outcome == event.Error:
			return false
		default:
			alone = alone || a.Outcome == event.Pass
		}
	}
	return packed && alone
}
