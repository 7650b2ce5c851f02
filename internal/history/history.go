// Package history keeps how tests ended in earlier runs, in one SQLite file that
// several programs may write to at once.
//
// It answers when a test failed first and passed last, how often it is flaky,
// how long it takes, and which failures were the same. It is no archive: the
// events of a run are in its directory, from which a history can be made again.
// What a verdict means is the business of those who write and read it.
package history

import "time"

// Cell names what is "the same test" over runs. Product is what the image is an
// image of, whatever its version: the ID of its os-release.
type Cell struct{ Test, Platform, Arch, Accel, Product string }

// Seen is a run in which something was seen.
type Seen struct {
	Run     string
	Time    time.Time // when the run started
	Version string    // of the image
}

// Past is how a cell ended in a run.
type Past struct {
	Seen
	Image   string // SHA-256 of the image, in hex; "" if it is not known
	Verdict string
	Cluster string // of the failure, "" for none
}

// Cluster is a set of failures that were taken for the same one.
type Cluster struct {
	ID, Area, Title string
	Keys            []string
	First           Seen // the earliest run with a failure in it
	// Category, Tracker and Owner are the cause that was last decided on, in
	// CauseRun; "" if none ever was.
	Category, Tracker, Owner, CauseRun string
}

// Earlier is what is known before a run.
type Earlier struct {
	Cells    map[Cell][]Past    // the oldest first
	Clusters map[string]Cluster // by id
	Products map[string]string  // by the name of an image that did not tell
}
