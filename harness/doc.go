// Package harness is what the author of a test sees, and the engine that runs
// tests.
//
// A [Test] is a value: its name, what it needs, and a function that is given a
// [T]. Suites list their tests explicitly; nothing registers itself. The engine
// plans cells (a test on one image in one place), admits them by the host's
// memory and CPU, runs each attempt in a cluster of its own, and says what it
// saw as events. How facts become outcomes is decided in one table, in
// classify.go; what to think of an outcome is decided elsewhere.
package harness
