// Package docker is the suite of tests of Docker: the daemon as the image
// configures it, and as users do.
//
// The containers run the probe of internal/fixtures, from a registry that the
// harness serves into the cluster's network. Nothing is fetched from elsewhere.
package docker
