// Package consolecheck finds, live, what a guest's console and journal say
// about a broken guest: panics, oopses, emergency shells, failed units, denied
// accesses and the like.
//
// A [Scanner] takes the raw bytes as they come and reports a [Finding] for each
// line that a [Rule] of the table matches, with line, offset and boot. The
// rules are those of kola's two forks (flatcar/mantle and coreos-assembler)
// without their faults, and more; each row says where it comes from and why it
// stands there.
//
// The package judges severity only. Whether a finding fails a test, ends a wait
// or is known is decided by its callers.
package consolecheck
