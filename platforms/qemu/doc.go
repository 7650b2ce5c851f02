// Package qemu is the platform that runs machines under QEMU on this host, with KVM or emulated
// (TCG), for amd64 and arm64.
//
// A [Platform] is of one architecture, one accelerator and one image. Each cluster is a process of
// its own, the cluster host (package clusterhost), which owns the emulators and the network; this
// package decides what they are: command lines, firmware, disks, user data.
//
// A machine's disk is an overlay on the image, which is never written to. There is no root, no
// bridge, no port of this host and nothing that outlives the run, unless a cluster is to be kept.
//
// What this host has to offer is found out by [New] and explained by [Doctor]. KVM is believed in
// only once it has carried a guest to 64-bit mode ([ProveKVM]).
package qemu
