// Package blame narrows down what a failure came with: the image of an ordered
// list that was the first to have it ([Bisect]), and whether the image, the
// test, what is around them, or nothing that can be named changed ([Judge]).
//
// The package is pure: it says what to try next and what the outcomes mean, and
// is given a function that tries.
package blame
