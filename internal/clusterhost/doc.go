// Package clusterhost runs a cluster's machines and networks in a process of their own.
//
// There is one cluster host per cluster: the program itself, executed again with the argument
// [Subcommand], which calls [Main]. It owns the virtual networks, the emulator processes with
// their helpers, and a control socket in a short private directory. The runner starts it with
// [Start] and drives it through a [Client]; a later process gets a client of a kept host by
// [Attach].
//
// Nothing outlives its owner. The runner holds the host's lifeline, a pipe: when the runner ends,
// however it ends, the host tears everything down at once, unless it was told to stay until a
// certain time. The processes of the host die with it by the kernel's hand (PR_SET_PDEATHSIG), so
// that killing the host leaves only files. These are found by [Sweep]: a host holds a lock on its
// directory for as long as it lives, and what nobody holds is removed.
//
// No descriptor of a machine has a name in the file system: monitors, consoles, network devices
// and TPMs are connected by socket pairs that the processes inherit, so nothing can collide.
//
// The package knows how to run processes that speak QMP and QEMU's stream framing. It does not
// know what they are: command lines, disks and firmware are the caller's. Nor does it judge: why a
// machine ended is reported as facts.
package clusterhost
