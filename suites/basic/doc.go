// Package basic is the suite that every image has to pass before any other is
// worth running: the machine came up as a systemd system should, and what it
// promises to its users at the first login holds.
//
// Tests and subtests that kola has, too, keep kola's names. What only Flatcar
// promises needs the image capability "flatcar", and not the property itself:
// an image that lost its read-only /usr must fail, not be skipped.
//
// A subtest asks the guest one list of questions in one command, and a pure
// function in Go judges the answers.
package basic
