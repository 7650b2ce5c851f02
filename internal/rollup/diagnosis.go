package rollup

import (
	"time"

	"seatrial/harness/event"
)

// MaxHistory bounds the earlier runs that a row shows.
const MaxHistory = 20

// Diagnosis is what triage and policy files make of a failure: of a row, and of
// each of its subtests that failed.
type Diagnosis struct {
	// Cluster is the id of the cluster that the failure is in; of a row, that
	// of its first one.
	Cluster string `json:"cluster,omitempty"`
	// Causes are the candidates, those of subtests in a row's too. Row.Category
	// and Row.Tracker are those of the first that is sure.
	Causes []Cause `json:"causes,omitempty"`
	// Known is the entry of a policy file that applies: because of which the
	// verdict is known, fixed or skip, or one that would if it had not expired.
	Known *KnownFailure `json:"known,omitempty"`
}

// Cause is a candidate for the cause of a failure.
type Cause struct {
	Category string `json:"category"`
	Tracker  string `json:"tracker,omitempty"`
	Owner    string `json:"owner,omitempty"`
	// Rule names the rule that says so, and At is its "FILE:LINE:COLUMN"; both
	// are "" for a cause that was carried over from the run in From, or comes
	// from a known failure.
	Rule   string `json:"rule,omitempty"`
	At     string `json:"at,omitempty"`
	From   string `json:"from,omitempty"`
	Unsure bool   `json:"unsure,omitempty"` // a guess, shown with a question mark
}

// KnownFailure is an entry of a policy file.
type KnownFailure struct {
	Pattern  string `json:"pattern"`
	Action   string `json:"action"` // expect-fail, warn or skip
	Tracker  string `json:"tracker,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Category string `json:"category,omitempty"`
	Until    string `json:"until,omitempty"` // 2026-12-31: the first day on which it does not hold
	Expired  bool   `json:"expired,omitempty"`
	At       string `json:"at"` // "FILE:LINE:COLUMN"
}

// Seen is a run in which something was seen.
type Seen struct {
	Run     string    `json:"run"`
	Time    time.Time `json:"time"`
	Version string    `json:"version,omitempty"` // of the image
}

// Past is how a cell ended in an earlier run.
type Past struct {
	Seen
	Verdict Verdict `json:"verdict"`
	Cluster string  `json:"cluster,omitempty"`
}

// Trend is what the history of a cell comes to, this run included.
type Trend struct {
	// Label is regression, extreme-regression, improvement, fixed, unstable,
	// pass, fail or none.
	Label string `json:"label"`
	// Method says how the label was found: "statistics" (Fisher's exact test,
	// adjusted for the number of tests) or, where history is short, "labels"
	// (those of KernelCI). Text has the numbers.
	Method string `json:"method"`
	Text   string `json:"text"`

	// FirstFailed is the first run of the failures that go on now, LastPassed
	// the last run that passed before this one.
	FirstFailed *Seen `json:"first_failed,omitempty"`
	LastPassed  *Seen `json:"last_passed,omitempty"`
	// Runs passed or failed, Failures failed, in Flaky of them the test passed
	// on a later attempt. Rate is the share of those that failed or were flaky,
	// Low and High are its 95 % Wilson interval.
	Runs     int     `json:"runs"`
	Failures int     `json:"failures"`
	Flaky    int     `json:"flaky"`
	Rate     float64 `json:"rate"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
}

// Parity sets a row beside those of the same test in other places.
type Parity struct {
	// Label says where the test fails: "arm64 only", "tcg only", "qemu only",
	// "everywhere"; "mixed" if no one property tells the places apart; "" where
	// it fails nowhere.
	Label string `json:"label,omitempty"`
	Peers []Peer `json:"peers"`
}

// Peer is the row of the same test in another place.
type Peer struct {
	Platform string  `json:"platform"`
	Arch     string  `json:"arch"`
	Accel    string  `json:"accel"`
	Image    string  `json:"image"`
	Verdict  Verdict `json:"verdict"`
}

// Cluster is a set of failures that are taken for the same one.
type Cluster struct {
	// ID stays the same over runs that share a history.
	ID    string      `json:"id"`
	Title string      `json:"title"`
	Class event.Class `json:"class,omitempty"`
	// Category and Tracker are those of the first cause that is sure.
	Category string   `json:"category,omitempty"`
	Tracker  string   `json:"tracker,omitempty"`
	Causes   []Cause  `json:"causes,omitempty"`
	Keys     []string `json:"keys"` // of the signatures that are in it
	// FirstSeen is the first run of the history with a failure in it, and this
	// run if it is new.
	FirstSeen *Seen    `json:"first_seen,omitempty"`
	Members   []Member `json:"members"`
	// Excerpt is what a person should read first: the end of the output or the
	// finding, of the first member.
	Excerpt   string `json:"excerpt,omitempty"`
	Reproduce string `json:"reproduce,omitempty"`
	// At is "FILE:LINE" of the finding that it is about, or the directory of the
	// first member's artifacts; relative to the run directory.
	At string `json:"at,omitempty"`
}

// Member is a failure in a cluster.
type Member struct {
	Test     string  `json:"test"` // a test, or test/subtest
	Platform string  `json:"platform"`
	Arch     string  `json:"arch"`
	Accel    string  `json:"accel"`
	Image    string  `json:"image"`
	Verdict  Verdict `json:"verdict"`
}

// Note says that an entry of a policy file should be looked at again.
type Note struct {
	// Kind is expired, unused, contradicted, unexpected-pass, or lift: the
	// failure has gone, so that the entry can go.
	Kind     string   `json:"kind"`
	Pattern  string   `json:"pattern"`
	At       string   `json:"at"` // "FILE:LINE:COLUMN" of the entry
	Text     string   `json:"text"`
	Evidence []string `json:"evidence,omitempty"` // what speaks against the entry
}
