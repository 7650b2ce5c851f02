// Package selinux is the suite of tests of SELinux: its mode, its booleans, an
// administrator's rules, and that the policy fits the image.
//
// The harness never changes the mode of a machine: what a test finds after a
// reboot is what the image made of its own configuration.
package selinux
