// Package image finds, checks and builds the disk images that guests are
// started from.
//
//   - Fetch makes a path, a file: or an http(s): URL a local, uncompressed file.
//   - Inspect says what a file is, and refuses what is no whole disk image.
//   - Digest is the SHA-256 of a file, remembered between runs; Verify compares it.
//   - Reference and Build make the reference image.
//
// It judges containers only. Whether a well-formed disk boots is for a guest to
// show: a disk full of noise is an image, if one that fails its tests.
//
// Errors that are the fault of what the user gave wrap ErrNotImage or
// ErrBadSource, or are a *DigestError or a *StatusError below 500; those of a
// path that does not exist wrap fs.ErrNotExist. All others are the environment's:
// the network, no space, no permission.
package image

import "errors"

var (
	// ErrNotImage: the file is no disk image that can be used: something else,
	// cut short, damaged, or with features that are not supported. The text says
	// which, and what to do; qcow2's errors are wrapped beside it.
	ErrNotImage = errors.New("not a usable disk image")
	// ErrBadSource: the source is neither a file nor a URL that can be fetched, or
	// the digest beside it is none.
	ErrBadSource = errors.New("bad image source")
)
