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
// Most machines are forks of a template: a machine that was booted once, left alone until it idled,
// and saved with its memory in a file. A fork maps that file privately, has overlays on the
// template's disks, and gets what must be its own (clock, random seed, host name, addresses) before
// it is handed out, over an agent that waits in its memory (package agent) and proves by a nonce
// that it is the guest that was saved. The first machine in a cluster has the template's addresses
// and needs no change of its network; the others are renumbered. A fork's boot ID, machine ID and
// host keys are those of its template. Machines with a TPM, with user data for cloud-init or with
// addresses in their user data start cold, and so does what cannot be restored.
//
// What this host has to offer is found out by [New] and explained by [Doctor]. KVM is believed in
// only once it has carried a guest to 64-bit mode ([ProveKVM]).
package qemu
