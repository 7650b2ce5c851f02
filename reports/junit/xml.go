package junit

import (
	"encoding/xml"
	"fmt"
	"io"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// The elements below are those that the junit package lacks or gives
// attributes which Surefire's schema refuses (id, hostname and status). The
// order of the fields is the order that this schema asks for.

type testsuites struct {
	XMLName  xml.Name    `xml:"testsuites"`
	Name     string      `xml:"name,attr"`
	Time     string      `xml:"time,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Suites   []testsuite `xml:"testsuite"`
}

type testsuite struct {
	Name      string `xml:"name,attr"`
	Time      string `xml:"time,attr"`
	Timestamp string `xml:"timestamp,attr,omitempty"`
	Tests     int    `xml:"tests,attr"`
	Errors    int    `xml:"errors,attr"`
	Skipped   int    `xml:"skipped,attr"`
	Failures  int    `xml:"failures,attr"`

	Properties []junit.Property `xml:"properties>property"`
	Cases      []testcase       `xml:"testcase"`
}

type testcase struct {
	Name      string `xml:"name,attr"`
	Classname string `xml:"classname,attr"`
	Time      string `xml:"time,attr"`

	Failure       *junit.Result `xml:"failure"`
	RerunFailures []rerun       `xml:"rerunFailure"`
	FlakyFailures []rerun       `xml:"flakyFailure"`
	Skipped       *junit.Result `xml:"skipped"`
	Error         *junit.Result `xml:"error"`
	RerunErrors   []rerun       `xml:"rerunError"`
	FlakyErrors   []rerun       `xml:"flakyError"`
	SystemOut     *junit.Output `xml:"system-out"`

	seconds float64 // that count for the suite
}

// rerun is one of several attempts.
type rerun struct {
	Message    string       `xml:"message,attr"`
	Type       string       `xml:"type,attr"`
	StackTrace junit.Output `xml:"stackTrace"`
}

// add puts the case into the suite and its numbers.
func (s *testsuite) add(c testcase) {
	s.Cases = append(s.Cases, c)
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
}

// encode writes the suites as one file.
func encode(w io.Writer, name string, suites []testsuite) error {
	all := testsuites{Name: name, Suites: suites}
	seconds := 0.0
	for i := range suites {
		s := &suites[i]
		sum := 0.0
		for _, c := range s.Cases {
			sum += c.seconds
		}
		s.Time = formatSeconds(sum)
		seconds += sum
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
	}
	all.Time = formatSeconds(seconds)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write JUnit XML: %w", err)
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return fmt.Errorf("write JUnit XML: %w", err)
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return fmt.Errorf("write JUnit XML: %w", err)
	}
	return nil
}

// formatSeconds writes a time as both schemas take it: no exponent, three
// decimals.
func formatSeconds(s float64) string { return fmt.Sprintf("%.3f", max(0, s)) }
