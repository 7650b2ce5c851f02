package rollup

import (
	"cmp"
	"slices"
	"strings"

	"seatrial/harness/event"
	"seatrial/internal/triage"
	"seatrial/internal/triage/policy"
)

// diagnosed is a failure's diagnosis, and the signature that it rests on.
type diagnosed struct {
	Diagnosis
	signature triage.Signature
}

// signed is what a signature is made of.
type signed struct {
	class                  event.Class
	title, message, output string
}

// diagnose finds the causes of failures and joins failures into clusters.
func (p Policy) diagnose(r *Result) {
	var found []failure
	for i, row := range r.Results {
		found = append(found, p.failures(r.Run, i, row)...)
	}
	all := make([]diagnosed, len(found))
	signs := make(map[signed]triage.Signature)
	named := make([]triage.Signed, len(found))
	for n, f := range found {
		same := signed{f.Class, f.Title, f.Message, f.Output}
		if _, done := signs[same]; !done {
			signs[same] = triage.Sign(f.Failure)
		}
		all[n] = p.causesOf(r.Run, r.Results[f.row], f, signs[same])
		named[n] = triage.Signed{Test: f.Test, Signature: all[n].signature}
	}
	groups := triage.GroupSigned(named, seeds(p.Earlier)).Clusters
	for _, g := range groups {
		for _, n := range g.Members {
			all[n].Cluster = g.ID
			p.carryOver(&all[n], g)
		}
	}
	for n, f := range found {
		row := &r.Results[f.row]
		if row.Cluster == "" {
			row.Cluster, row.Signature = all[n].Cluster, all[n].signature.Text
		}
		if i := row.subtest(f.subtest); i >= 0 {
			row.Subtests[i].Signature = all[n].signature.Text
		}
	}
	p.excuse(r, found, all)
	for _, g := range groups {
		r.Clusters = append(r.Clusters, p.cluster(*r, g, found, all))
	}
}

// causesOf lists the candidates for a failure's cause: that of the known failure
// which it falls under, then those of the rules, in order.
func (p Policy) causesOf(run Run, row Row, f failure, s triage.Signature) diagnosed {
	d := diagnosed{signature: s}
	place := policyPlace(run, row)
	if f.verdict != Error { // no entry excuses an error
		if e, ok := p.excuses(f.Test, place, d.signature.Text); ok {
			d.Known = p.entry(e)
			if e.Category != "" {
				d.Causes = append(d.Causes, Cause{Category: e.Category, Tracker: e.Tracker, At: e.At.String()})
			}
		}
	}
	if p.Rules == nil {
		return d
	}
	found := p.Rules.Diagnose(f.Failure)
	for _, rule := range found.Candidates {
		d.Causes = append(d.Causes, Cause{
			Category: rule.Category, Tracker: rule.Tracker, Owner: rule.Owner, Rule: rule.Name, At: rule.At.String(), Unsure: rule.Unsure,
		})
	}
	if rule := found.Decided; rule != nil && d.Known == nil && f.verdict != Error && rule.Action != policy.Block {
		d.Known = &KnownFailure{
			Pattern: rule.Name, Action: string(rule.Action), Tracker: rule.Tracker, Category: rule.Category, At: rule.At.String(),
		}
	}
	return d
}

// excuses returns the entry under which a failure falls, or one that it would
// fall under if it had not expired.
func (p Policy) excuses(test string, place policy.Place, signature string) (*policy.Entry, bool) {
	if p.Known == nil {
		return nil, false
	}
	if e, ok := p.Known.Excuses(test, place, signature, p.Now); ok {
		return e, true
	}
	return p.Known.Lapsed(test, place, signature, p.Now)
}

// carryOver gives a failure whose cause no file knows that which its cluster had
// in an earlier run. It is a sure one if it was so then.
func (p Policy) carryOver(d *diagnosed, g triage.Cluster) {
	sure := slices.ContainsFunc(d.Causes, func(c Cause) bool { return !c.Unsure })
	before, ok := p.Earlier.Clusters[g.ID]
	if sure || !ok || before.Category == "" {
		return
	}
	d.Causes = append(d.Causes, Cause{Category: before.Category, Tracker: before.Tracker, Owner: before.Owner, From: before.CauseRun})
}

// maxExcerpt bounds the lines and bytes of a cluster's excerpt.
const (
	maxExcerptLines = 12
	maxExcerpt      = 2 << 10
)

// cluster describes a group of failures for people.
func (p Policy) cluster(r Result, g triage.Cluster, found []failure, all []diagnosed) Cluster {
	first := found[g.Members[0]]
	row := r.Results[first.row]
	c := Cluster{ID: g.ID, Title: clip(g.Title, triage.MaxText), Class: first.Class, Keys: g.Keys, Reproduce: row.Reproduce}
	c.Excerpt, c.At = first.evidence()
	for _, n := range g.Members {
		f, row := found[n], r.Results[found[n].row]
		c.Members = append(c.Members, Member{
			Test: f.Test, Platform: row.Platform, Arch: row.Arch, Accel: row.Accel, Image: row.Image, Verdict: row.Verdict,
		})
		for _, cause := range all[n].Causes {
			if !slices.Contains(c.Causes, cause) {
				c.Causes = append(c.Causes, cause)
			}
		}
	}
	c.Category, c.Tracker = decided(c.Causes)
	seen := Seen{r.Run.ID, r.Run.Started, r.Run.ImageVersion(row.Image, row.Arch)}
	if before, ok := p.Earlier.Clusters[g.ID]; ok {
		seen = Seen{before.First.Run, before.First.Time, before.First.Version}
	}
	c.FirstSeen = &seen
	return c
}

// evidence returns what a person should read first of a failure, and where.
func (f failure) evidence() (excerpt, at string) {
	if f.attempt == nil {
		return clip(f.Message, maxExcerpt), ""
	}
	if finding := fatal(*f.attempt); finding != nil {
		return finding.Text, finding.Where(f.attempt.Artifacts)
	}
	lines := strings.Split(strings.TrimRight(f.Output, "\n"), "\n")
	text := strings.Join(lines[max(0, len(lines)-maxExcerptLines):], "\n")
	if len(text) > maxExcerpt {
		text = wholeTail(text[len(text)-maxExcerpt:])
	}
	return cmp.Or(text, clip(f.Message, maxExcerpt)), f.attempt.Artifacts
}
