// Package rollup folds the events of a run into the result that every report
// is made from, and judges it.
//
// There are two steps, and they are kept apart. [Fold] collects facts and
// nothing else; it reads no files and no clock, so the same events give the
// same result, live or replayed. [Judge] adds what a policy makes of the
// facts, the verdicts, and never changes a fact. The gate, which turns verdicts
// into go or no-go, is package gate.
//
// The texts of a result are meant for people and are safe to show anywhere:
// control characters are escaped and lengths are bounded. The untouched texts
// are in the event stream.
package rollup
