// Package event defines the facts that a run is made of, and their encoding as
// JSON lines.
//
// A run is an append-only stream of events. Reports, the gate, resuming and
// merging are folds over it, so an event says what happened and never what to
// think of it: whether a failure is known, flaky or blocking is decided later
// from rule files. The package imports the standard library only.
package event

import "time"

// Event is one line of events.jsonl.
type Event struct {
	// Seq counts the events of a stream from 1.
	Seq int64
	// Time is when it happened, in UTC.
	Time time.Time
	// Body is a pointer to one of the types of this package.
	Body Body
}

// Body is the part of an event that depends on its type.
type Body interface {
	// Type is the value of the event's "type" field.
	Type() string
}

// Outcome is how an attempt, a subtest or a test ended.
type Outcome string

// The outcomes. Fail is the image's fault, Error is the platform's, the
// network's or the harness's.
const (
	Pass  Outcome = "pass"
	Fail  Outcome = "fail"
	Error Outcome = "error"
	Skip  Outcome = "skip"
)

// Class says what kind of thing went wrong.
type Class string

// The classes of failures and errors.
const (
	Assertion      Class = "assertion"       // the test found the guest to be wrong
	Console        Class = "console"         // a fatal finding on a console or in a journal
	Boot           Class = "boot"            // the guest never became reachable
	KernelHang     Class = "kernel-hang"     // the guest stopped answering
	Timeout        Class = "timeout"         // the test's time ran out, the guest still answers
	LostConnection Class = "lost-connection" // the way to a healthy guest broke
	Provision      Class = "provision"       // a machine could not be made
	Infra          Class = "infra"           // host or cloud: space, memory, quota, a killed QEMU
	Harness        Class = "harness"         // the harness itself, or a test's own code
)

// Cell names one test on one image in one place. It is what "the same test"
// means within a run.
type Cell struct {
	Test     string `json:"test"`
	Suite    string `json:"suite"`
	Platform string `json:"platform"`
	Arch     string `json:"arch"`
	Accel    string `json:"accel,omitempty"`
	Image    string `json:"image"` // Image.Name of a RunStarted
}

// Image is an image under test.
type Image struct {
	Name   string `json:"name"`
	Arch   string `json:"arch"`
	Path   string `json:"path,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	// OSRelease is the guest's os-release file, when it is known.
	OSRelease map[string]string `json:"os_release,omitempty"`
}

// Host is the machine that the harness runs on.
type Host struct {
	Name      string `json:"name"`
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	CPUs      int    `json:"cpus"`
	MemoryMiB int    `json:"memory_mib"`
}

// Shard is the part I of N of a plan, counted from 1.
type Shard struct {
	I int `json:"i"`
	N int `json:"n"`
}

// RunStarted is the first event of a stream. A resumed run appends another
// one with Resumed set.
type RunStarted struct {
	ID      string   `json:"id"`
	Version string   `json:"version"` // of seatrial
	Command []string `json:"command"` // the arguments, program name first
	Seed    uint64   `json:"seed"`
	Host    Host     `json:"host"`
	Images  []Image  `json:"images"`
	// Plan is the digest of the planned cells and the images, "sha256:<hex>".
	// A run may only be resumed under the same plan.
	Plan    string `json:"plan"`
	Shard   *Shard `json:"shard,omitempty"`
	Resumed bool   `json:"resumed,omitempty"`
}

// TestPlanned announces a cell; every cell of a run has one, also those that
// will be skipped.
type TestPlanned struct {
	Cell
	Doc      string   `json:"doc,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	Subtests []string `json:"subtests,omitempty"`
}

// AttemptStarted opens attempt N (from 1) of a cell.
type AttemptStarted struct {
	Cell
	N     int    `json:"n"`
	Start string `json:"start"` // "fork" or "cold", as planned
	// Verifies is set on an attempt that does not decide the cell: it repeats
	// cold what passed as a fork.
	Verifies bool `json:"verifies,omitempty"`
	// Pack lists the tests that were run on the machine so far, in order and
	// with this one at the end, where tests share a machine.
	Pack []string `json:"pack,omitempty"`
}

// MachineBooting says that a machine is being started.
type MachineBooting struct {
	Cell
	N       int    `json:"n"`
	Machine string `json:"machine"`
	// State is how far the boot has come, in a few words. A boot has several
	// such events.
	State string `json:"state,omitempty"`
}

// MachineReady says that a command can be run on a machine.
type MachineReady struct {
	Cell
	N         int      `json:"n"`
	Machine   string   `json:"machine"`
	Seconds   float64  `json:"seconds"` // since its first MachineBooting
	Addresses []string `json:"addresses,omitempty"`
	// Start is "fork" or "cold" where the platform tells. Fallback says why the
	// machine was booted cold though it should have been a fork.
	Start    string `json:"start,omitempty"`
	Fallback string `json:"fallback,omitempty"`
	// Slowness is the guest's CPU time for a fixed piece of work, as a
	// multiple of that of a reference machine; timeouts are scaled by it.
	Slowness float64 `json:"slowness,omitempty"`
	// Image carries what the booted image says of itself.
	OSRelease map[string]string `json:"os_release,omitempty"`
}

// MachineGone says that a machine ended, and why.
type MachineGone struct {
	Cell
	N       int    `json:"n"`
	Machine string `json:"machine"`
	Reason  string `json:"reason"`
}

// SubtestFinished is the result of a declared part of a test.
type SubtestFinished struct {
	Cell
	N       int     `json:"n"`
	Name    string  `json:"name"` // without the test's name
	Outcome Outcome `json:"outcome"`
	Class   Class   `json:"class,omitempty"`
	Message string  `json:"message,omitempty"`
	Seconds float64 `json:"seconds"`
}

// Output is text that a test logged.
type Output struct {
	Cell
	N       int    `json:"n"`
	Subtest string `json:"subtest,omitempty"`
	Text    string `json:"text"`
}

// Finding is a line of a console or journal that a rule matched.
type Finding struct {
	Cell
	N       int    `json:"n"`
	Machine string `json:"machine"`
	Source  string `json:"source"` // "console" or "journal"
	Boot    int    `json:"boot"`   // counted from 1 within the machine's life
	Line    int    `json:"line"`   // counted from 1 within the source's file
	// Offset is the byte offset of the line in the source's file.
	Offset int64  `json:"offset"`
	Rule   string `json:"rule"`
	Title  string `json:"title"` // what happened, without addresses and numbers
	Text   string `json:"text"`  // the line, printable
	// Fatal findings fail the test.
	Fatal bool `json:"fatal"`
}

// AttemptFinished closes an attempt.
type AttemptFinished struct {
	Cell
	N         int     `json:"n"`
	Outcome   Outcome `json:"outcome"`
	Class     Class   `json:"class,omitempty"`
	Message   string  `json:"message,omitempty"`
	Signature string  `json:"signature,omitempty"`
	// Interrupted attempts are errors because the run ended. They tell nothing.
	Interrupted bool `json:"interrupted,omitempty"`
	// Start is "fork" when all machines were forked, and else "cold".
	// StartNote says why, where it is not as it was planned.
	Start     string `json:"start"`
	StartNote string `json:"start_note,omitempty"`
	// ProvisionSeconds is the time until all machines were ready; Seconds is
	// the whole time, teardown excluded.
	ProvisionSeconds float64  `json:"provision_seconds"`
	Seconds          float64  `json:"seconds"`
	Machines         []string `json:"machines,omitempty"`
}

// TestFinished closes a cell: there will be no further attempt. Outcome,
// Class and Message are those of the deciding attempt, or of the reason for
// which there was none.
type TestFinished struct {
	Cell
	Outcome  Outcome `json:"outcome"`
	Class    Class   `json:"class,omitempty"`
	Message  string  `json:"message,omitempty"`
	Attempts int     `json:"attempts"`
	// Reproduce is the command line that runs this cell again.
	Reproduce string `json:"reproduce,omitempty"`
}

// CleanupFailed says that something which the run made could not be removed.
type CleanupFailed struct {
	Platform string `json:"platform"`
	Resource string `json:"resource"`
	Message  string `json:"message"`
}

// End says why a run ended.
type End string

// The ends of a run.
const (
	Complete    End = "complete"    // every planned cell is finished
	Interrupted End = "interrupted" // by a signal
	Deadline    End = "deadline"    // by --max-duration
	FailFast    End = "fail-fast"   // by --fail-fast
	Fault       End = "fault"       // the harness could not go on
)

// RunFinished is the last event of a stream that was not cut off.
type RunFinished struct {
	End     End     `json:"end"`
	Message string  `json:"message,omitempty"`
	Seconds float64 `json:"seconds"`
}

// The types of events, as they stand in the "type" field.

func (*RunStarted) Type() string      { return "run.started" }
func (*TestPlanned) Type() string     { return "test.planned" }
func (*AttemptStarted) Type() string  { return "attempt.started" }
func (*MachineBooting) Type() string  { return "machine.booting" }
func (*MachineReady) Type() string    { return "machine.ready" }
func (*MachineGone) Type() string     { return "machine.gone" }
func (*SubtestFinished) Type() string { return "subtest.finished" }
func (*Output) Type() string          { return "output" }
func (*Finding) Type() string         { return "finding" }
func (*AttemptFinished) Type() string { return "attempt.finished" }
func (*TestFinished) Type() string    { return "test.finished" }
func (*CleanupFailed) Type() string   { return "cleanup.failed" }
func (*RunFinished) Type() string     { return "run.finished" }
