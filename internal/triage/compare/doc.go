// Package compare says what changed between two groups of runs: an image and
// the one before it, arm64 and amd64, TCG and KVM.
//
// With little history a test gets one of KernelCI's labels ([LabelOf]). With
// enough of it the verdict is statistical ([Regressions], [Parity]): it needs a
// number of failures, a drop that matters, and a low p-value of Fisher's exact
// test, corrected for the number of tests by Benjamini and Hochberg. Each
// verdict carries the numbers that it rests on, for reports to show.
//
// The package counts outcomes that its callers hand over; it knows neither runs
// nor causes.
package compare
