// Package agent gives a virtual machine a command channel that is there from the first moment after
// a restore: a process in the guest that waits on a virtio-serial port, and its client.
//
// The guest's end is a static program of a few kilobytes without any needs (guest/agent.c), put
// into a file system in memory while a template is made, started, and removed again: it lives on in
// the memory of the template and of every fork, and nothing is installed. It sets what must be a
// fork's own (clock, random seed, host name, MAC addresses, keys) by system calls, all within one
// round trip, and runs commands with separate streams, any number at once.
//
// Frames have a header of three little-endian words (kind, id, size of the payload) in both
// directions:
//
//	k  knock: some bytes; the answer is the nonce, and the bytes
//	n  set the nonce: 16 bytes
//	t  set the clock: seconds, nanoseconds (64 bits each)
//	s  add entropy and reseed
//	g  get random numbers; the answer is 16 bytes of them
//	w  write a file: open(2) flags, mode, size, path, data
//	m  set a MAC address: interface name, address
//	a  ask whether the guest has an address: a sockaddr
//	r  the answer to n, t, s, w, m, a: an errno
//	x  run: uid, gid, umask, number of groups, groups, argc, envc, directory, program, argv, env;
//	   from the guest: a command's end, its wait status
//	f  from the guest: a command could not be started: an errno
//	i  input of a command, nothing: its end; from the guest: so much was taken
//	o  output of a command; e: its standard error
//	c  credit: so many more bytes of output are taken
//	q  kill a command by a signal, and forget it
//
// Strings end with a zero byte. A peer that breaks the protocol is not served any longer: the agent
// ends, the client's connection fails.
package agent
