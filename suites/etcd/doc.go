// Package etcd is the suite about the image's etcd: one member and clusters of
// three, with and without TLS, found by discovery, and through partitions of
// the network.
//
// The members are started by the image's own unit. A drop-in in /run sets what
// a test needs, so that a machine can be used for one test after another.
//
// etcd before 3.5 refuses to start on arm64 unless ETCD_UNSUPPORTED_ARCH says
// so. The tests say so there: what they prove is that it works.
package etcd
