package rollup

import (
	"cmp"
	"fmt"
	"slices"

	"seatrial/harness/event"
	"seatrial/internal/history"
	"seatrial/internal/stats"
	"seatrial/internal/triage"
	"seatrial/internal/triage/compare"
)

// labelRuns is how many earlier runs the labels of a short history look at.
const labelRuns = 10

// confidence is that of the interval of a failure rate.
const confidence = 0.95

// remember gives each row its history, and what it comes to.
func (p Policy) remember(r *Result) {
	thresholds := p.Thresholds
	if thresholds == (compare.Thresholds{}) {
		thresholds = compare.SippyThresholds()
	}
	var tests []compare.Test
	rows := make(map[string]int) // by the name of the test in tests
	for i := range r.Results {
		row := &r.Results[i]
		past := p.Earlier.Cells[p.historyCell(r.Run, *row)]
		if len(past) == 0 {
			continue
		}
		shown := past[max(0, len(past)-MaxHistory):]
		for _, one := range shown {
			row.History = append(row.History, pastOf(one))
		}
		image := r.Run.image(row.Image, row.Arch)
		row.Trend = trend(row.now(r.Run), past)
		base, sample := split(*row, image, past)
		name := fmt.Sprintf("%s on %s #%d", row.Test, row.Place(), i)
		if (row.Outcome == event.Pass || row.Outcome == event.Fail) && base.Runs() >= thresholds.MinBase {
			rows[name] = i
			tests = append(tests, compare.Test{Name: name, Base: base, Sample: sample})
		}
	}
	assessed, err := compare.Regressions(tests, thresholds)
	if err != nil { // counts are never negative
		return
	}
	for _, a := range assessed {
		t := r.Results[rows[a.Name]].Trend
		t.Method, t.Label, t.Text = "statistics", string(a.Verdict), a.Reason
	}
}

// historyCell is what history knows a row by. Images change their names with
// each version; what they are stays.
func (p Policy) historyCell(run Run, row Row) history.Cell {
	product := cmp.Or(run.image(row.Image, row.Arch).OSRelease["ID"], p.Earlier.Products[row.Image], row.Image)
	return history.Cell{Test: row.Test, Platform: row.Platform, Arch: row.Arch, Accel: row.Accel, Product: product}
}

func pastOf(one history.Past) Past {
	return Past{Seen{one.Run, one.Time, one.Version}, Verdict(one.Verdict), one.Cluster}
}

// split counts the runs of a test on other images and on the present one. A
// flaky pass is a pass.
func split(row Row, image event.Image, past []history.Past) (base, sample compare.Counts) {
	add := func(to *compare.Counts, v Verdict) {
		switch {
		case v.Passed():
			to.Pass++
		case v == Fail || v == Known:
			to.Fail++
		}
	}
	add(&sample, row.Verdict)
	for _, one := range past {
		if one.Image == image.SHA256 {
			add(&sample, Verdict(one.Verdict))
		} else {
			add(&base, Verdict(one.Verdict))
		}
	}
	return base, sample
}

// trend is what a history comes to by its labels; past is the oldest first.
func trend(now Past, past []history.Past) *Trend {
	t := &Trend{Method: "labels"}
	failing := now.Verdict == Fail || now.Verdict == Known
	if failing {
		t.FirstFailed = &now.Seen
	}
	outcomes := appendOutcome(nil, now.Verdict)
	t.count(now.Verdict)
	for _, one := range slices.Backward(past) {
		before := pastOf(one)
		t.count(before.Verdict)
		if len(outcomes) <= labelRuns {
			outcomes = appendOutcome(outcomes, before.Verdict)
		}
		switch {
		case before.Verdict.Passed():
			failing = false
			if t.LastPassed == nil {
				t.LastPassed = &before.Seen
			}
		case failing && (before.Verdict == Fail || before.Verdict == Known):
			t.FirstFailed = &before.Seen
		}
	}
	label := compare.LabelOf(outcomes)
	t.Label = string(label.Label)
	t.Text = fmt.Sprintf("%s by the last %d runs, %d alike; failed in %d of %d runs, flaky in %d", label.Label, label.Runs, label.Since, t.Failures, t.Runs, t.Flaky)
	if wilson, err := stats.Wilson(t.Failures+t.Flaky, t.Runs, confidence); err == nil && t.Runs > 0 {
		t.Rate, t.Low, t.High = float64(t.Failures+t.Flaky)/float64(t.Runs), wilson.Low, wilson.High
	}
	return t
}

func (t *Trend) count(v Verdict) {
	switch {
	case v == Fail || v == Known:
		t.Runs++
		t.Failures++
	case v == Flaky:
		t.Runs++
		t.Flaky++
	case v.Passed():
		t.Runs++
	}
}

// appendOutcome adds an outcome to a history for labels. What says nothing of
// the image is left out; a pass at a later attempt is neither pass nor fail.
func appendOutcome(to []event.Outcome, v Verdict) []event.Outcome {
	switch {
	case v == Fail || v == Known:
		return append(to, event.Fail)
	case v == Flaky:
		return append(to, event.Error)
	case v.Passed():
		return append(to, event.Pass)
	}
	return to
}

// seeds returns the clusters of earlier runs for those of this one to join.
func seeds(e history.Earlier) []triage.Seed {
	var all []triage.Seed
	for _, c := range e.Clusters {
		all = append(all, triage.Seed{ID: c.ID, Area: c.Area, Title: c.Title, Keys: c.Keys})
	}
	slices.SortFunc(all, func(a, b triage.Seed) int { return cmp.Compare(a.ID, b.ID) })
	return all
}
