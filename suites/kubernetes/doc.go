// Package kubernetes is the suite that brings up a cluster of two machines with
// kubeadm: a control plane, whose etcd is the image's own, and a worker.
//
// What the image gives is put to work: its kernel, systemd, containerd, runc,
// CNI plugins, iptables, etcd and NFS. What it lacks comes with the tests:
// Kubernetes and CoreDNS (package fixtures/kubernetes) and flanneld. Kubernetes'
// images are made of those programs, and come from the harness's registry; the web
// server in them is the probe's and stands for nginx. kube-proxy runs beside the kubelet and not
// in a container, since its image would need a distribution's iptables.
package kubernetes
