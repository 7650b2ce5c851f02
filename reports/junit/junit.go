package junit

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

// Limits of one part of a report.
const (
	maxCases = 4500
	maxBytes = 20 << 20 // of texts
)

// Write writes the whole report as one file, however big.
func Write(w io.Writer, r rollup.Result, o view.Options) error {
	return encode(w, name(r), build(r, o))
}

// Parts returns the writers of the files that the report is split into to
// stay below what readers take. There is always one.
func Parts(r rollup.Result, o view.Options) []func(io.Writer) error {
	var parts []func(io.Writer) error
	for _, suites := range split(build(r, o), maxCases, maxBytes) {
		parts = append(parts, func(w io.Writer) error { return encode(w, name(r), suites) })
	}
	return parts
}

func name(r rollup.Result) string { return "seatrial " + r.Run.ID }

// build makes the suites in the order of the result.
func build(r rollup.Result, o view.Options) []testsuite {
	var suites []testsuite
	var started time.Time // earliest of the suite at hand
	index := make(map[string]int)
	seen := make(map[[2]string]bool)
	for _, row := range r.Results {
		class := classname(row)
		i, known := index[class]
		if !known {
			i = len(suites)
			index[class] = i
			suites = append(suites, testsuite{Name: class, Properties: properties(r, row)})
		}
		started = r.Run.Started
		if len(row.Attempts) > 0 && !row.Attempts[0].Started.IsZero() {
			started = row.Attempts[0].Started
		}
		if at := timestamp(started); suites[i].Timestamp == "" || at < suites[i].Timestamp {
			suites[i].Timestamp = at
		}
		for _, c := range cases(row, o) {
			c.Classname = class
			c.Name = unique(seen, class, c.Name)
			suites[i].add(c)
		}
	}
	return suites
}

// timestamp is the form that xs:dateTime and all readers take: UTC, no zone.
func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05")
}

// classname is "<platform>.<arch>.<suite>", and what else is needed to tell
// the places of the run apart. Dots separate packages, so there are no others.
func classname(row rollup.Row) string {
	parts := []string{row.Platform, row.Arch, row.Suite, row.Variant}
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	for i, part := range parts {
		parts[i] = strings.Map(func(r rune) rune {
			if r == '.' || r == '/' || r <= ' ' {
				return '_'
			}
			return r
		}, part)
	}
	return cmp.Or(strings.Join(parts, "."), "none")
}

// unique returns the name, with a number if the class has that name already.
func unique(seen map[[2]string]bool, class, name string) string {
	free := name
	for n := 2; seen[[2]string{class, free}]; n++ {
		free = name + " (" + strconv.Itoa(n) + ")"
	}
	seen[[2]string{class, free}] = true
	return free
}

func properties(r rollup.Result, row rollup.Row) []junit.Property {
	var props []junit.Property
	set := func(name, value string) {
		if value != "" {
			props = append(props, junit.Property{Name: name, Value: value})
		}
	}
	set("seatrial.run", r.Run.ID)
	set("seatrial.version", r.Run.Version)
	set("seatrial.seed", strconv.FormatUint(r.Run.Seed, 10))
	set("seatrial.plan", r.Run.Plan)
	if s := r.Run.Shard; s != nil {
		set("seatrial.shard", fmt.Sprintf("%d/%d", s.I, s.N))
	}
	set("host.name", r.Run.Host.Name)
	set("host.arch", r.Run.Host.Arch)
	set("platform", row.Platform)
	set("arch", row.Arch)
	set("accel", row.Accel)
	set("image", row.Image)
	i := slices.IndexFunc(r.Run.Images, func(i event.Image) bool { return i.Name == row.Image && (i.Arch == row.Arch || i.Arch == "") })
	if i >= 0 {
		image := r.Run.Images[i]
		set("image.path", image.Path)
		set("image.sha256", image.SHA256)
		set("image.os", image.OSRelease["ID"])
		set("image.version", cmp.Or(image.OSRelease["VERSION_ID"], image.OSRelease["VERSION"]))
	}
	return props
}

// split deals the suites out to parts that stay within the limits; a suite
// that is too big alone is in several.
func split(suites []testsuite, cases, bytes int) [][]testsuite {
	parts := [][]testsuite{nil}
	count, size := 0, 0
	for _, s := range suites {
		empty := s
		empty.Cases, empty.Tests, empty.Errors, empty.Skipped, empty.Failures = nil, 0, 0, 0, 0
		open := false // s has a piece in the last part
		for _, c := range s.Cases {
			if n := c.size(); count > 0 && (count == cases || size+n > bytes) {
				parts = append(parts, nil)
				count, size, open = 0, 0, false
			}
			last := &parts[len(parts)-1]
			if !open {
				*last = append(*last, empty)
				open = true
			}
			(*last)[len(*last)-1].add(c)
			count++
			size += c.size()
		}
	}
	return parts
}

// size is about the number of bytes that a case takes.
func (c testcase) size() int {
	n := 200 + len(c.Name) + len(c.Classname)
	for _, r := range []*junit.Result{c.Failure, c.Error, c.Skipped} {
		if r != nil {
			n += len(r.Message) + len(r.Data)
		}
	}
	for _, list := range [][]rerun{c.RerunFailures, c.FlakyFailures, c.RerunErrors, c.FlakyErrors} {
		for _, r := range list {
			n += 100 + len(r.Message) + len(r.StackTrace.Data)
		}
	}
	if c.SystemOut != nil {
		n += len(c.SystemOut.Data)
	}
	return n
}
