// Package flannel is the suite about flannel's overlay networks between three
// machines, one of which keeps their configuration in the image's etcd.
//
// On each machine a network namespace with an address of the machine's subnet
// stands for a container. What the namespaces send to each other must arrive,
// and must have gone through the backend under test: what the machines exchange
// is counted by the kernel, by the protocol of the encapsulation.
package flannel
