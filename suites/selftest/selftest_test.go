package selftest

import (
	"regexp"
	"testing"
)

// TestDocs wants each test to say first how it ends, in the words of the event
// stream.
func TestDocs(t *testing.T) {
	end := regexp.MustCompile(`^(pass|skip|fail/(assertion|console|boot|kernel-hang|timeout|lost-connection)|error/(harness|lost-connection))\b`)
	for _, test := range Suite().Tests {
		if !end.MatchString(test.Doc) {
			t.Errorf("%s: %q does not say how the test ends", test.Name, test.Doc)
		}
		for _, sub := range test.Subtests {
			if !end.MatchString(sub.Doc) {
				t.Errorf("%s/%s: %q does not say how the subtest ends", test.Name, sub.Name, sub.Doc)
			}
		}
	}
}
