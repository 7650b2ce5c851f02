package rollup

import (
	"slices"
	"time"

	"seatrial/internal/triage/policy"
)

// excuse gives rows what was found out about their failures, and the verdict
// that follows: a row is known if all that went wrong in it is.
func (p Policy) excuse(r *Result, found []failure, causes []diagnosed) {
	excused := make(map[int]bool) // by row: all of it so far
	for n, f := range found {
		row := &r.Results[f.row]
		d := causes[n].Diagnosis
		ok := d.Known != nil && !d.Known.Expired
		if before, seen := excused[f.row]; !seen || before {
			excused[f.row] = ok
		}
		if i := row.subtest(f.subtest); i >= 0 {
			s := &row.Subtests[i]
			s.Diagnosis = d
			if ok && s.Verdict == Fail {
				s.Verdict = Known
			}
		}
		row.add(d)
	}
	for i, all := range excused {
		if all && r.Results[i].Verdict == Fail {
			r.Results[i].Verdict = Known
		}
	}
	for i := range r.Results {
		p.expected(&r.Results[i], policyPlace(r.Run, r.Results[i]))
	}
}

// subtest is the index of a subtest, or -1.
func (r Row) subtest(name string) int {
	return slices.IndexFunc(r.Subtests, func(s Subtest) bool { return s.Name == name })
}

// add joins the diagnosis of a part with that of the row.
func (r *Row) add(d Diagnosis) {
	for _, c := range d.Causes {
		if !slices.Contains(r.Causes, c) {
			r.Causes = append(r.Causes, c)
		}
	}
	if r.Known == nil || !r.Known.Expired && d.Known != nil && d.Known.Expired {
		r.Known = d.Known
	}
	r.Category, r.Tracker = decided(r.Causes)
}

// decided returns category and tracker of the first cause that is sure.
func decided(causes []Cause) (category, tracker string) {
	if i := slices.IndexFunc(causes, func(c Cause) bool { return !c.Unsure }); i >= 0 {
		return causes[i].Category, causes[i].Tracker
	}
	return "", ""
}

// expected marks what did not fail though an entry says that it does, and what
// was skipped because of one.
func (p Policy) expected(row *Row, place policy.Place) {
	if p.Known == nil {
		return
	}
	if e, ok := p.Known.Skips(row.Test, place, p.Now); ok && row.Verdict == Skip {
		row.Known = p.entry(e)
	}
	e, ok := p.Known.Expects(row.Test, place, p.Now)
	if ok && row.Verdict == Pass {
		row.Verdict, row.Known = Fixed, p.entry(e)
	}
	for i := range row.Subtests {
		s := &row.Subtests[i]
		e, ok := p.Known.Expects(row.Test+"/"+s.Name, place, p.Now)
		if !ok || s.Verdict != Pass {
			continue
		}
		s.Verdict, s.Known = Fixed, p.entry(e)
		if row.Verdict == Pass {
			row.Verdict, row.Known = Fixed, s.Known
		}
	}
}

func (p Policy) entry(e *policy.Entry) *KnownFailure {
	k := &KnownFailure{
		Pattern: e.Pattern, Action: string(e.Action), Tracker: e.Tracker, Reason: e.Reason, Category: e.Category,
		Expired: e.ActionAt(p.Now) == "", At: e.At.String(),
	}
	if now := e.ActionAt(p.Now); now != "" {
		k.Action = string(now)
	}
	if !e.Until.IsZero() {
		k.Until = e.Until.Format(time.DateOnly)
	}
	return k
}

// notes says which entries should be looked at again.
func (p Policy) notes(r Result) []Note {
	if p.Known == nil {
		return nil
	}
	var notes []Note
	for _, remark := range p.Known.Audit(observations(r), p.Now) {
		n := Note{Kind: string(remark.Kind), Pattern: remark.Entry.Pattern, At: remark.Entry.At.String(), Text: remark.Text}
		for _, o := range remark.Evidence {
			n.Evidence = append(n.Evidence, o.String())
		}
		notes = append(notes, n)
	}
	return append(notes, p.lifts(r)...)
}

// observations tells how each test and subtest of a run ended.
func observations(r Result) []policy.Observation {
	var all []policy.Observation
	for _, row := range r.Results {
		place := policyPlace(r.Run, row)
		all = append(all, policy.Observation{Test: row.Test, Place: place, Outcome: row.Outcome, Signature: row.Signature})
		for _, s := range row.Subtests {
			all = append(all, policy.Observation{Test: row.Test + "/" + s.Name, Place: place, Outcome: s.Outcome, Signature: s.Signature})
		}
	}
	return all
}

// lifts proposes to lift the entries whose failures have gone, by the history
// of the cells that they are about.
func (p Policy) lifts(r Result) []Note {
	var notes []Note
	for _, e := range p.Known.Entries {
		action := e.ActionAt(p.Now)
		if action != policy.ExpectFail && action != policy.Warn {
			continue // what is skipped has no history to judge by
		}
		var past []Past
		for _, row := range r.Results {
			if e.Covers(row.Test, policyPlace(r.Run, row)) {
				for _, one := range p.Earlier.Cells[p.historyCell(r.Run, row)] {
					past = append(past, pastOf(one))
				}
				past = append(past, row.now(r.Run))
			}
		}
		proposal, err := policy.Propose(silence(past), p.Now)
		if err == nil && proposal.Lift {
			notes = append(notes, Note{Kind: "lift", Pattern: e.Pattern, At: e.At.String(), Text: proposal.Text})
		}
	}
	return notes
}

// now is how a row ended in this run, as an item of its history.
func (r Row) now(run Run) Past {
	return Past{Seen{run.ID, run.Started, run.ImageVersion(r.Image, r.Arch)}, r.Verdict, r.Cluster}
}

// silence counts what there was of a failure, and the passes since. Runs that an
// error or a skip kept from telling are left out.
func silence(past []Past) policy.Past {
	slices.SortStableFunc(past, func(a, b Past) int { return a.Time.Compare(b.Time) })
	var p policy.Past
	for _, one := range past {
		switch one.Verdict {
		case Pass, Fixed:
			p.Passes++
		case Fail, Known, Flaky:
			p.Failures++
			p.Runs += p.Passes + 1
			p.Passes = 0
			if p.First.IsZero() {
				p.First = one.Time
			}
			p.Last = one.Time
		}
	}
	return p
}
