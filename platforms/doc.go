// Package platforms holds the contracts between the harness and the places
// where an OS image can run: QEMU, the clouds, hosts reached over SSH.
//
// It has interfaces, capabilities and errors, and nothing that runs. A
// platform is done when it passes the suite of package platformtest.
//
// The package draws the line that matters most to a verdict: an error that
// wraps a [*GuestError] is the image's fault, every other error of a platform
// is the platform's own.
package platforms
