package consolecheck

import "regexp"

const (
	// reportLines bounds a crash report that has no end marker.
	reportLines = 120
	// aftermathLines is for how long after its end marker a report may still
	// lead to a panic.
	aftermathLines = 40
)

// report is the kernel's crash report that the text is in. What it leads to is
// held back until the function that crashed is known, which stands some lines
// below the first.
type report struct {
	left    int  // lines that it may still have; 0 when there is none
	ended   bool // its end marker was seen
	waiting bool // the function is not known yet
	traced  bool // it is looked for in the call trace
	held    []Finding
}

var (
	// What a compiler adds to a function's name (.isra.0, .cold) is left out.
	crashedIn = regexp.MustCompile(`^(?:RIP: 0010:|pc : |PC is at )_*([a-zA-Z]\w*)[\w.]*\+0x`)
	// On arm64 the caller of a function without a stack frame is in lr alone.
	calledBy = regexp.MustCompile(`^(?:lr :)? _*([a-zA-Z]\w*)[\w.]*\+0x[0-9a-f]+/0x`)
	// servants are not to blame for what they are given, as in syzkaller's reports,
	// and have other names on each architecture. Allocators are not among them: who
	// calls them last of all is not in amd64's traces.
	servants = regexp.MustCompile(`^(?:pi_)?(?:mem(?:cpy|set|move|cmp|chr)(?:_erms|_orig|_generic)?|str(?:n?cmp|n?len|n?cpy|n?cat|lcpy|lcat|scpy|chr|str)|` +
		`(?:do_|queued_|native_queued_)?(?:raw_)?(?:spin|read|write)_(?:try|un)?lock\w*|mutex_(?:try|un)?lock\w*|(?:down|up)_(?:read|write)\w*|` +
		`(?:arch_|raw_)?copy_(?:to|from)_user\w*)$`)
	reportEnd = regexp.MustCompile(`^(?:---\[ end |FIX \S+: )`)
)

// line lets an open report see a message. It returns the findings that need
// wait no longer.
func (r *report) line(text string) []Finding {
	if r.left == 0 {
		return nil
	}
	r.left--
	if r.waiting {
		where := crashedIn
		if r.traced {
			where = calledBy
		}
		if m := where.FindStringSubmatch(text); m != nil && servants.MatchString(m[1]) {
			r.traced = true
		} else if m != nil {
			r.held[0].Title = Normalize(r.held[0].Title + " in " + m[1])
			return r.release()
		}
	}
	if reportEnd.MatchString(text) {
		r.ended = true
		r.left = min(r.left, aftermathLines)
		return r.release()
	}
	if r.left == 0 {
		return r.release()
	}
	return nil
}

// add puts a finding into its place: alone, into the open report, or at the
// head of a new one. It returns the findings that need wait no longer.
func (r *report) add(f Finding, role KernelRole) []Finding {
	if role == NoReport {
		if !r.waiting {
			return []Finding{f}
		}
		r.held = append(r.held, f)
		return nil
	}
	part := r.left > 0 && (!r.ended || role == Consequence)
	if part {
		f.Secondary = true
		r.held = append(r.held, f)
		if r.waiting && f.Severity < Dead {
			return nil
		}
		return r.release()
	}
	ready := r.release()
	*r = report{left: reportLines, waiting: role == ReportInFunc, held: []Finding{f}}
	if r.waiting && f.Severity < Dead {
		return ready
	}
	return append(ready, r.release()...)
}

// release returns what is held back, and waits no longer.
func (r *report) release() []Finding {
	held := r.held
	r.held, r.waiting, r.traced = nil, false, false
	return held
}

// close forgets the report.
func (r *report) close() []Finding {
	held := r.release()
	*r = report{}
	return held
}
