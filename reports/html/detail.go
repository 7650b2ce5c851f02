package html

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// Bounds of the details, in bytes of text.
const (
	maxOutput   = 16 << 10 // of one attempt or subtest
	maxOutputs  = 6 << 20  // of all
	maxMessages = 4 << 20  // of all
	maxExcerpts = 1 << 20  // of all
	maxFindings = 50       // of one attempt
	around      = 12       // lines of an artifact on each side of the one that matters
)

// details is what the page knows of each row, as HTML.
type details struct {
	html     []string // by row
	problems []int    // rows, those that need attention first
}

// detail is all about one row, cut to the page's bounds.
type detail struct {
	rollup.Row
	Brief    string // the message
	Wrong    []rollup.Subtest
	Rest     []rollup.Subtest // those that passed, were skipped or never ran
	Summary  string           // of the rest
	Attempts []attempt
	Peers    []rollup.Peer
	Same     int // other cells of the cluster
}

// attempt is an attempt whose texts are cut to the page's bounds.
type attempt struct {
	rollup.Attempt
	Summary  string
	Told     bool // the message is not that of the row
	Logs     []log
	Machines []machine
	Findings []finding
	Tail     *log // the end of a console, where no finding says what happened
	Kept     bool // there are artifacts
}

type machine struct {
	rollup.Machine
	Links []link
}

type finding struct {
	rollup.Finding
	Link  *link
	Where string // for one without a link
	Lines []view.Line
}

type log struct {
	Title, Text string
	Cut         bool
}

// budget is what is left of the page's bounds.
type budget struct{ outputs, messages, excerpts int }

// take returns the end of a text, in whole lines, as far as there is room.
func take(room *int, text string, limit int) string {
	limit = min(limit, *room)
	if len(text) > limit {
		text = text[len(text)-limit:]
		_, text, _ = strings.Cut(text, "\n")
	}
	*room -= len(text)
	return text
}

// newDetails makes the details, problems first, so that they get the room that
// there is.
func newDetails(r rollup.Result, o view.Options, t *template.Template) (details, error) {
	d := details{html: make([]string, len(r.Results))}
	order := make([]int, len(r.Results))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return view.Rank(r.Results[a].Verdict) - view.Rank(r.Results[b].Verdict)
	})
	same := make(map[string]int)
	for _, row := range r.Results {
		same[row.Cluster]++
	}
	room := budget{maxOutputs, maxMessages, maxExcerpts}
	var buf bytes.Buffer
	for _, i := range order {
		row := r.Results[i]
		if row.Verdict != rollup.Pass && row.Verdict != rollup.Skip {
			d.problems = append(d.problems, i)
		}
		one := newDetail(row, o, &room)
		if row.Cluster != "" {
			one.Same = same[row.Cluster] - 1
		}
		buf.Reset()
		if err := t.ExecuteTemplate(&buf, "detail", one); err != nil {
			return d, err
		}
		d.html[i] = buf.String()
	}
	return d, nil
}

func newDetail(row rollup.Row, o view.Options, room *budget) *detail {
	d := &detail{Row: row}
	d.Brief = take(&room.messages, row.Message, len(row.Message))
	if d.Brief == "" {
		d.Brief = view.FirstLine(row.Message, 200)
	}
	if row.Parity != nil {
		d.Peers = row.Parity.Peers
	}
	d.addSubtests()
	deciding := view.Deciding(row)
	for i, a := range row.Attempts {
		decides := deciding == &row.Attempts[i]
		out := attempt{Attempt: a, Summary: view.Attempt(a), Told: a.Message != "" && a.Message != row.Message}
		out.Kept = a.Artifacts != "" && o.Has(a.Artifacts)
		out.Message = take(&room.messages, a.Message, len(a.Message))
		out.addMachines(a, o)
		out.addFindings(a, o, room, decides)
		if decides {
			out.addTail(a, o, room)
		}
		out.addLog("output", a.Output, room)
		for _, s := range a.Subtests {
			out.addLog("output of "+s.Name, s.Output, room)
		}
		d.Attempts = append(d.Attempts, out)
	}
	return d
}

// addSubtests parts the subtests that someone has to look at from the others.
func (d *detail) addSubtests() {
	counts := make(map[rollup.Verdict]int)
	for _, s := range d.Subtests {
		switch s.Verdict {
		case rollup.Pass, rollup.Skip, rollup.Missing:
			d.Rest = append(d.Rest, s)
			counts[s.Verdict]++
		default:
			d.Wrong = append(d.Wrong, s)
		}
	}
	var parts []string
	for _, v := range rollup.Verdicts() {
		if counts[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[v], v))
		}
	}
	d.Summary = view.Plural(len(d.Rest), "subtest") + ": " + strings.Join(parts, ", ")
}

func (a *attempt) addMachines(in rollup.Attempt, o view.Options) {
	for _, m := range in.Booted {
		out := machine{Machine: m}
		for _, source := range []string{"console", "journal"} {
			file := m.Artifacts + "/" + source + ".txt"
			if (source == "console" || m.Seconds > 0) && o.Has(file) {
				out.Links = append(out.Links, link{source, fileURL(file)})
			}
		}
		a.Machines = append(a.Machines, out)
	}
}

// addFindings shows the lines around fatal findings of the attempt that
// decided.
func (a *attempt) addFindings(in rollup.Attempt, o view.Options, room *budget, decides bool) {
	for i, f := range in.Findings {
		if i == maxFindings {
			a.FindingsCut += len(in.Findings) - i
			break
		}
		out := finding{Finding: f, Where: fmt.Sprintf("%s %s, boot %d, line %d", f.Machine, f.Source, f.Boot, f.Line)}
		if f.File != "" && o.Has(f.File) {
			out.Link = &link{fmt.Sprintf("%s:%d", f.File, f.Line), lineURL(f, o)}
		}
		if f.Fatal && decides && room.excerpts > 0 {
			out.Lines = o.Excerpt(f, around)
			for _, l := range out.Lines {
				room.excerpts -= len(l.Text)
			}
		}
		a.Findings = append(a.Findings, out)
	}
}

// addTail shows how a console ended where nothing else says what happened to
// the machine.
func (a *attempt) addTail(in rollup.Attempt, o view.Options, room *budget) {
	switch in.Class {
	case event.Boot, event.KernelHang, event.Timeout, event.LostConnection, event.Provision:
	default:
		return
	}
	for _, m := range in.Booted {
		file := m.Artifacts + "/console.txt"
		lines := o.Tail(file, 2*around)
		if len(lines) == 0 || room.excerpts <= 0 {
			continue
		}
		var b strings.Builder
		for _, l := range lines {
			b.WriteString(l.Text + "\n")
		}
		room.excerpts -= b.Len()
		a.Tail = &log{Title: "the end of " + file, Text: b.String()}
		return
	}
}

func (a *attempt) addLog(title, text string, room *budget) {
	if text == "" {
		return
	}
	kept := take(&room.outputs, text, maxOutput)
	a.Logs = append(a.Logs, log{Title: title, Text: kept, Cut: len(kept) < len(text)})
}

// The data that the script works on. Names are short since there are
// thousands.
type (
	dataset struct {
		Verdicts []rollup.Verdict `json:"verdicts"` // those that need attention first
		Places   []view.Place     `json:"places"`
		Tests    []dataTest       `json:"tests"`
	}
	dataTest struct {
		Name    string      `json:"n"`
		Suite   string      `json:"s"`
		Tags    []string    `json:"t,omitempty"`
		Causes  []dataCause `json:"c,omitempty"`
		Cells   []*dataCell `json:"k"` // by place
		Seconds float64     `json:"d"` // the longest
	}
	dataCause struct {
		Name   string `json:"n"`
		Unsure bool   `json:"u,omitempty"`
	}
	dataCell struct {
		Row     int            `json:"i"`
		Verdict rollup.Verdict `json:"v"`
		Class   event.Class    `json:"c,omitempty"`
		Cluster string         `json:"g,omitempty"`
		Causes  string         `json:"k,omitempty"`
		Tracker string         `json:"t,omitempty"`
		Trend   string         `json:"r,omitempty"`
		Only    string         `json:"o,omitempty"`
		Since   string         `json:"s,omitempty"` // RFC 3339
		Rate    float64        `json:"f,omitempty"`
	}
)

// data makes the dataset of the script.
func data(r rollup.Result, m view.Matrix) dataset {
	set := dataset{Verdicts: rollup.Verdicts(), Places: m.Places, Tests: make([]dataTest, len(m.Tests))}
	index := make(map[*view.Test]int)
	rows := make(map[*rollup.Row]int)
	for i := range r.Results {
		rows[&r.Results[i]] = i
	}
	for i, t := range m.Tests {
		index[t] = i
		out := &set.Tests[i]
		out.Name, out.Suite, out.Cells = t.Name, t.Suite, make([]*dataCell, len(t.Cells))
		for j, row := range t.Cells {
			if row == nil {
				continue
			}
			out.Tags, out.Seconds = row.Tags, max(out.Seconds, row.Seconds)
			out.Cells[j] = dataOf(row, rows[row])
		}
	}
	for _, g := range m.ByCause() {
		for _, e := range g.Entries {
			if g.Cause {
				t := &set.Tests[index[e.Test]]
				t.Causes = append(t.Causes, dataCause{g.Name, e.Unsure})
			}
		}
	}
	return set
}

// pieces encodes pieces of HTML so that they can stand in a script element:
// nothing in them can end it. They have tags on every line, so escaping each
// "<" as JSON's encoder does would double their size.
func pieces(html []string) (template.JS, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(html); err != nil {
		return "", err
	}
	return template.JS(strings.NewReplacer("</", `<\/`, "<!", `\u003c!`, "<s", `\u003cs`).Replace(strings.TrimSpace(b.String()))), nil
}

func dataOf(row *rollup.Row, i int) *dataCell {
	c := &dataCell{Row: i, Verdict: row.Verdict, Class: row.Class, Cluster: row.Cluster, Causes: view.Causes(row.Causes), Tracker: row.Tracker}
	if t := row.Trend; t != nil {
		c.Trend, c.Rate = t.Label, t.Rate
		if t.FirstFailed != nil {
			c.Since = t.FirstFailed.Time.UTC().Format("2006-01-02T15:04:05Z")
		}
	}
	if row.Parity != nil {
		c.Only = row.Parity.Label
	}
	return c
}
