// Package triage says which failures are the same failure.
//
// [Sign] gives a failure its signature: the title of the first kernel oops,
// else the class with its message, else the first assertion, with what changes
// from run to run (times, addresses, identifiers) taken out, and an exact key
// over it. [Group] joins failures into clusters, by key and then by likeness,
// under ids that stay the same over runs.
//
// The package is pure: no files, no clock, the same failures give the same
// clusters in whatever order they come. The texts are a guest's and not to be
// trusted: only a bounded part of each is looked at, escape sequences and
// control characters are taken out. What a failure is called (its cause, its
// tracker) is decided by rule files, package policy; whether it is a regression
// is decided over several runs, package compare.
package triage
