package rollup

import (
	"slices"
	"strings"

	"seatrial/internal/history"
	"seatrial/internal/triage/policy"
)

// Record is what history keeps of a judged result. Rows that exist only because
// a test was not selected are no part of it, and neither are causes that history
// itself gave.
func Record(r Result, p Policy, dir string) history.Run {
	run := history.Run{
		ID: r.Run.ID, Started: r.Run.Started, Program: r.Run.Version, Dir: dir, End: string(r.Run.End), Gate: string(r.Gate.Verdict),
	}
	for _, row := range r.Results {
		if row.NotSelected {
			continue
		}
		result := history.Result{
			Cell: p.historyCell(r.Run, row), Verdict: string(row.Verdict), Cluster: row.Cluster,
			Image: history.Image{
				Name: row.Image, SHA256: r.Run.image(row.Image, row.Arch).SHA256, Version: r.Run.ImageVersion(row.Image, row.Arch),
			},
		}
		if a := deciding(row.Attempts, row.Outcome); a != nil {
			result.Seconds = a.Seconds
		}
		run.Results = append(run.Results, result)
	}
	for _, c := range r.Clusters {
		run.Clusters = append(run.Clusters, p.found(r.Run, c))
	}
	return run
}

func (p Policy) found(run Run, c Cluster) history.Found {
	_, area, _ := strings.Cut(c.Keys[0], "/")
	area, _, _ = strings.Cut(area, "/")
	f := history.Found{Cluster: history.Cluster{ID: c.ID, Area: area, Title: c.Title, Keys: c.Keys}}
	if i := slices.IndexFunc(c.Causes, func(c Cause) bool { return !c.Unsure && c.From == "" }); i >= 0 {
		f.Category, f.Tracker, f.Owner = c.Causes[i].Category, c.Causes[i].Tracker, c.Causes[i].Owner
	}
	for n, m := range c.Members {
		test, part, _ := strings.Cut(m.Test, "/")
		row := Row{Test: test, Platform: m.Platform, Arch: m.Arch, Accel: m.Accel, Image: m.Image}
		f.Failures = append(f.Failures, history.Failure{Cell: p.historyCell(run, row), Part: part})
		if n == 0 {
			f.First.Version = run.ImageVersion(m.Image, m.Arch)
		}
	}
	return f
}

// Explain says of each failure of a test, or of "test/subtest", which rule
// decided on its cause, and why the others did not.
func (p Policy) Explain(r Result, test string) []policy.Explanation {
	var all []policy.Explanation
	for i, row := range r.Results {
		for _, f := range p.failures(r.Run, i, row) {
			if f.Test == test || row.Test == test {
				all = append(all, p.Rules.Explain(f.Failure))
			}
		}
	}
	return all
}
