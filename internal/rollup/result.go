package rollup

import (
	"time"

	"seatrial/harness/event"
)

// Schema is the version of report.json's shape. It grows when a reader of the
// older shape would misread the newer one; fields are added without it.
const Schema = 1

// Verdict is what a policy makes of an outcome.
type Verdict string

// The verdicts. The zero value stands for a result that was not judged.
const (
	Pass    Verdict = "pass"
	Flaky   Verdict = "flaky"   // passed, but only on a later attempt
	Known   Verdict = "known"   // failed as a policy file expects; Row.Known says which
	Fixed   Verdict = "fixed"   // expected to fail, and passed
	Fail    Verdict = "fail"    // the image's fault
	Error   Verdict = "error"   // the platform's, the network's or the harness's fault
	Skip    Verdict = "skip"    // cannot run here; the message says why
	Missing Verdict = "missing" // planned or required, but never ran to its end
)

// Verdicts lists the verdicts, those that need attention first.
func Verdicts() []Verdict {
	return []Verdict{Fail, Error, Missing, Fixed, Flaky, Known, Skip, Pass}
}

// Passed reports whether the test passed, if only on a later attempt.
func (v Verdict) Passed() bool { return v == Pass || v == Flaky || v == Fixed }

// Result is a snapshot of a run: the content of report.json. It shares no
// memory that is written to later.
type Result struct {
	Schema int `json:"schema"`
	Run    Run `json:"run"`
	// Results has a row for each cell, ordered by suite, test and place.
	Results []Row `json:"results"`
	// Clusters are the failures that are taken for the same one, the largest
	// first; Policy is what is to be said about entries of policy files.
	Clusters []Cluster `json:"clusters,omitempty"`
	Policy   []Note    `json:"policy,omitempty"`
	Gate     Gate      `json:"gate"`
}

// Run is what is known of the run as a whole.
type Run struct {
	ID       string        `json:"id"`
	Started  time.Time     `json:"started"`
	Finished time.Time     `json:"finished,omitzero"` // zero: not yet, or cut off
	Version  string        `json:"version"`
	Seed     uint64        `json:"seed"`
	Host     event.Host    `json:"host"`
	Images   []event.Image `json:"images"`
	Command  []string      `json:"command,omitempty"`
	Plan     string        `json:"plan,omitempty"`
	// Seconds is the wall time, without the time between a cut-off run and
	// its resumption; of merged shards it is their sum.
	Seconds float64 `json:"seconds"`
	// End is how the run ended; "" while it goes on, and when it was cut off.
	End     event.End `json:"end,omitempty"`
	Message string    `json:"message,omitempty"`
	// Shard is set where the result is that of one shard.
	Shard *event.Shard `json:"shard,omitempty"`
	// Shards has an entry for each shard of a merged run, in order.
	Shards []Shard `json:"shards,omitempty"`
	// Starts counts how the attempts so far started.
	Starts Starts `json:"starts,omitzero"`
	// Leftovers could not be removed.
	Leftovers []Leftover `json:"leftovers,omitempty"`
}

// Starts counts attempts by how their machines started.
type Starts struct {
	Fork int `json:"fork"`
	Cold int `json:"cold"`
	// Fallbacks counts the machines that were booted cold because they could
	// not be forked.
	Fallbacks int `json:"fallbacks"`
	// Verified counts the passes from forks that were repeated cold, and Differ
	// those of them that did not pass then.
	Verified int `json:"verified,omitempty"`
	Differ   int `json:"differ,omitempty"`
}

// Shard is the state of one shard of a merged run.
type Shard struct {
	I int `json:"i"` // from 1
	// Found is false for a shard that was not there to merge.
	Found bool      `json:"found"`
	End   event.End `json:"end,omitempty"` // as in Run
}

// Leftover is a resource that the run made and could not remove.
type Leftover struct {
	Platform string `json:"platform"`
	Resource string `json:"resource"`
	Message  string `json:"message"`
}

// Row is the result of one cell: one test on one image in one place.
type Row struct {
	Test     string `json:"test"`
	Suite    string `json:"suite"`
	Platform string `json:"platform"`
	Arch     string `json:"arch"`
	Accel    string `json:"accel"`
	Image    string `json:"image"`
	// Variant tells the row's place from others of the same platform and
	// architecture in this run, by accel and image; mostly "".
	Variant string `json:"variant,omitempty"`

	Verdict Verdict `json:"verdict"`
	// Outcome is "" for a cell that never finished.
	Outcome   event.Outcome `json:"outcome"`
	Class     event.Class   `json:"class"`
	Message   string        `json:"message"`
	Signature string        `json:"signature"`
	Category  string        `json:"category"`
	Tracker   string        `json:"tracker"`
	// Seconds is the time of all attempts together.
	Seconds   float64   `json:"seconds"`
	Reproduce string    `json:"reproduce"`
	Subtests  []Subtest `json:"subtests"`
	Attempts  []Attempt `json:"attempts"`

	Doc  string   `json:"doc,omitempty"`
	Tags []string `json:"tags,omitempty"`
	// Required is set on a test that the policy requires; NotSelected on a
	// row that exists only because of that. RequiredBy is the "FILE:LINE:COLUMN"
	// that says so.
	Required    bool   `json:"required,omitempty"`
	RequiredBy  string `json:"required_by,omitempty"`
	NotSelected bool   `json:"not_selected,omitempty"`
	// ForkDiffers is set on a test that passed as a fork and did not when it
	// was repeated cold.
	ForkDiffers bool `json:"fork_differs,omitempty"`
	// PackedOnly is set on a test that failed on a machine shared with other
	// tests and passed alone: it depends on what ran before it, or is flaky.
	PackedOnly bool `json:"packed_only,omitempty"`

	Diagnosis
	// History is how the cell ended in earlier runs, the oldest first and at
	// most [MaxHistory] of them; Trend is what it comes to with this run.
	History []Past `json:"history,omitempty"`
	Trend   *Trend `json:"trend,omitempty"`
	// Parity is how the test ended in the other places of the run.
	Parity *Parity `json:"parity,omitempty"`
}

// Place names where the row's test ran, "qemu-arm64" or, if the run has
// several of them, "qemu-arm64-tcg".
func (r Row) Place() string {
	place := r.Platform + "-" + r.Arch
	if r.Variant != "" {
		place += "-" + r.Variant
	}
	return place
}

// Subtest is the result of a declared part of a test in the deciding attempt.
type Subtest struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Message string  `json:"message"`
	// Outcome is "" for one that was declared and never reported.
	Outcome  event.Outcome `json:"outcome"`
	Class    event.Class   `json:"class,omitempty"`
	Seconds  float64       `json:"seconds"`
	Required bool          `json:"required,omitempty"`
	// RequiredBy is as in Row.
	RequiredBy string `json:"required_by,omitempty"`
	// Signature is that of a failure, as rules and known failures see it.
	Signature string `json:"signature,omitempty"`
	// Output is the end of what the subtest logged.
	Output string `json:"output,omitempty"`

	Diagnosis
}

// Attempt is one try at a cell.
type Attempt struct {
	N int `json:"n"`
	// Outcome is "" for an attempt that goes on, or was cut off for good.
	Outcome          event.Outcome `json:"outcome"`
	Class            event.Class   `json:"class"`
	Start            string        `json:"start"` // "fork" or "cold"
	ProvisionSeconds float64       `json:"provision_seconds"`
	Seconds          float64       `json:"seconds"`
	Machines         []string      `json:"machines"`
	Message          string        `json:"message"`

	// StartNote, Verifies and Pack are those of the events.
	StartNote string   `json:"start_note,omitempty"`
	Verifies  bool     `json:"verifies,omitempty"`
	Pack      []string `json:"pack,omitempty"`

	Signature string    `json:"signature,omitempty"`
	Started   time.Time `json:"started,omitzero"`
	// Cut is set on an attempt whose runner died or was interrupted; it says
	// nothing of the image and is no retry.
	Cut bool `json:"cut,omitempty"`
	// Artifacts is the attempt's directory relative to the run directory, with
	// slashes.
	Artifacts string    `json:"artifacts,omitempty"`
	Booted    []Machine `json:"booted,omitempty"`
	Subtests  []Subtest `json:"subtests,omitempty"`
	Findings  []Finding `json:"findings,omitempty"`
	// FindingsCut counts the findings beyond those kept.
	FindingsCut int `json:"findings_cut,omitempty"`
	// Output is the end of what the test logged outside of its subtests.
	Output string `json:"output,omitempty"`
}

// Machine is one machine of an attempt.
type Machine struct {
	ID    string `json:"id"`
	State string `json:"state,omitempty"` // how far it came: a boot state, "ready" or "gone"
	// Seconds is the time from the start of the boot to the first command, 0
	// for a machine that did not come up.
	Seconds   float64  `json:"seconds,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Slowness  float64  `json:"slowness,omitempty"` // as in event.MachineReady
	Gone      string   `json:"gone,omitempty"`     // why it ended
	Start     string   `json:"start,omitempty"`    // "fork" or "cold"
	Fallback  string   `json:"fallback,omitempty"` // why it is no fork, though it should be
	// Artifacts is the machine's directory, as in Attempt.
	Artifacts string `json:"artifacts,omitempty"`
}

// Finding is a line of a console or journal that a rule matched.
type Finding struct {
	Machine string `json:"machine"`
	Source  string `json:"source"`
	Boot    int    `json:"boot"`
	Line    int    `json:"line"`
	Rule    string `json:"rule"`
	Title   string `json:"title"`
	Text    string `json:"text"`
	Fatal   bool   `json:"fatal"`
	// File is the file that the line stands in, relative to the run directory;
	// Offset is the byte at which the line begins there.
	File   string `json:"file,omitempty"`
	Offset int64  `json:"offset,omitempty"`
}

// GateVerdict answers whether the image may ship.
type GateVerdict string

// The answers. Unknown means that the run cannot tell.
const (
	Go      GateVerdict = "go"
	NoGo    GateVerdict = "no-go"
	Unknown GateVerdict = "unknown"
)

// Gate is the answer with all its reasons.
type Gate struct {
	Verdict GateVerdict `json:"verdict"`
	// Channel is that of the policy file, "" for the default policy.
	Channel string   `json:"channel,omitempty"`
	Reasons []Reason `json:"reasons"`
}

// Severity is what a reason does to the gate's answer.
type Severity string

// The severities, the worst first.
const (
	Blocks Severity = "blocks"  // no-go
	Doubt  Severity = "unknown" // the run cannot tell
	Warns  Severity = "warns"   // shown, and nothing else
)

// Reason is one rule of the gate that did not hold. Test is "" for one about
// the run as a whole.
type Reason struct {
	Rule     string   `json:"rule"`
	Test     string   `json:"test"`
	Text     string   `json:"text"`
	Severity Severity `json:"severity,omitempty"`
	// Evidence is "FILE:LINE" of an artifact, relative to the run directory, or
	// of a policy file; a file or directory alone where there is no line.
	Evidence string `json:"evidence,omitempty"`
}

// Counts says how many rows have each verdict.
func (r Result) Counts() map[Verdict]int {
	counts := make(map[Verdict]int)
	for _, row := range r.Results {
		counts[row.Verdict]++
	}
	return counts
}
