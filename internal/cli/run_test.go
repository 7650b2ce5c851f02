package cli

import (
	"fmt"
	"strings"
	"testing"

	"seatrial/suites"
)

// A test whose guest is broken is selected by that, but for when a part of it
// was asked for.
func TestSelectionOfBroken(t *testing.T) {
	r := &run{app: &app{suites: suites.All()}, flags: &runFlags{broken: []string{"arm64=docker.base/seccomp-off"}}}
	for words, want := range map[string]string{
		"":                        "[docker.base []]",
		"docker.base":             "[docker.base []]",
		"docker.base/docker-info": "[docker.base [docker-info]]",
		"docker.b*/docker-info":   "[docker.base [docker-info]]",
		"*/published":             "[docker.base [] docker.network-openbsd-nc [published]]",
		"cl.users.shells":         "[cl.users.shells [] docker.base []]",
	} {
		selected, err := r.selection(strings.Fields(words))
		if err != nil {
			t.Fatal(err)
		}
		var got []any
		for _, s := range selected {
			got = append(got, s.Test.Name, s.Subtests)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%q selects %v, want %s", words, got, want)
		}
	}
}
