// Package policy reads the files in which people say what to make of failures,
// and answers questions about them:
//
//   - rules ([ParseRules]) assign causes: category, tracker, owner, action;
//   - known failures ([ParseKnown]) are expected, in a scope and for a time;
//     coreos-assembler's kola-denylist.yaml is read as it is;
//   - required tests ([ParseRequired]) have to run; Azure Container Linux's
//     kola_enforcing.yaml is read as it is.
//
// A file with a mistake is refused as a whole, with file, line and column of
// each mistake: what is misspelled must not silently widen an exception. For
// the same reason unknown fields are mistakes, and a constraint on something
// that is not known of a place does not hold there.
//
// The package opens no files and knows no clock. Which verdict follows from an
// entry is decided by its callers.
package policy
