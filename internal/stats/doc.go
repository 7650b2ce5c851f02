// Package stats holds the statistics that verdicts over several runs rest on:
// Fisher's exact test, the Benjamini-Hochberg procedure, Wilson's interval,
// the period after which silence means something, and the verdict of a
// bisection step.
//
// The functions are pure and know nothing of tests or runs: what is counted,
// and what follows from a number, is decided by their callers. Each one names
// its formula's source.
package stats
