package kubernetes

import (
	"fmt"
	"time"

	"seatrial/suites/internal/flannelstore"
)

const (
	pauseTag   = "3.10.1" // that kubeadm expects
	corednsTag = "v1.14.3"
)

// etcdScript starts the etcd that flanneld and the API server share.
func etcdScript(address, arch string, limit time.Duration) string {
	return flannelstore.Script(address, arch, limit, flannelstore.Config(pods, `{"Type": "vxlan"}`))
}

// prepareScript fetches the programs, and configures containerd, for two registries without TLS, and
// the kubelet's unit.
func prepareScript(files, images, probes string) string {
	return fmt.Sprintf(`set -e; mkdir -p %[1]s; cd %[1]s
for file in hyperkube flanneld; do curl -sSf -o $file http://%[2]s/$file; chmod 0755 $file; done
for name in kubeadm kubectl kubelet kube-proxy; do ln -sf hyperkube $name; done
modprobe br_netfilter; modprobe overlay
sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
plugins=/opt/cni/bin; [ -x $plugins/bridge ] || plugins=/usr/lib/cni
for registry in %[3]s %[4]s; do
mkdir -p /etc/containerd/certs.d/$registry
cat >/etc/containerd/certs.d/$registry/hosts.toml <<END
server = "http://$registry"
[host."http://$registry"]
  capabilities = ["pull", "resolve"]
END
done
cat >/etc/containerd/seatrial.toml <<END
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%[3]s/pause:`+pauseTag+`"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$plugins"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
END
mkdir -p /run/systemd/system/containerd.service.d
cat >/run/systemd/system/containerd.service.d/50-seatrial.conf <<END
[Service]
ExecStart=
ExecStart=$(command -v containerd) --config /etc/containerd/seatrial.toml
END
cat >/run/systemd/system/kubelet.service <<'END'
[Unit]
After=containerd.service
[Service]
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=%[1]s/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS
Restart=always
END
systemctl daemon-reload; systemctl restart containerd || { systemctl status containerd >&2; exit 1; }`, bin, files, images, probes)
}

// flannelScript starts flanneld, and has the bridge plugin put pods into the
// machine's part of the overlay. What leaves the overlay leaves as the machine.
func flannelScript(etcd, address string, limit time.Duration) string {
	return fmt.Sprintf(podsScript, flannelstore.Daemon(bin+"/flanneld", etcd, address, limit), pods)
}

const podsScript = `set -e
%s
. /run/flannel/subnet.env # whose subnet is the gateway's address in it
subnet=${FLANNEL_SUBNET%%.*}.0/${FLANNEL_SUBNET#*/}
iptables -t nat -A POSTROUTING -s %[2]s ! -d %[2]s -j MASQUERADE
mkdir -p /etc/cni/net.d; cat >/etc/cni/net.d/10-seatrial.conflist <<END
{"cniVersion": "0.4.0", "name": "seatrial", "plugins": [
  {"type": "bridge", "bridge": "cni0", "mtu": $FLANNEL_MTU, "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$subnet"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END`

// proxyScript starts kube-proxy.
const proxyScript = `systemd-run --quiet --unit=seatrial-kube-proxy ` + bin + `/kube-proxy --kubeconfig ` + adminConfig +
	` --hostname-override %s --proxy-mode iptables`

// timeouts is what kubeadm calls so, each of the same length.
func timeouts(d time.Duration) string {
	s := "timeouts:\n"
	for _, name := range []string{"controlPlaneComponentHealthCheck", "kubeletHealthCheck", "kubernetesAPICall", "etcdAPICall", "tlsBootstrap", "discovery"} {
		s += fmt.Sprintf("  %s: %ds\n", name, int(d.Seconds()))
	}
	return s
}

// initConfig is for kubeadm on the control plane. Leases that a slow machine
// would lose are not asked for, and nodes may be silent for longer.
const initConfig = `apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens:
- token: %[1]s
localAPIEndpoint:
  advertiseAddress: %[2]s
nodeRegistration:
  name: %[3]s
  criSocket: unix:///run/containerd/containerd.sock
  kubeletExtraArgs:
  - {name: node-ip, value: "%[2]s"}
%[4]sskipPhases:
- addon/kube-proxy
patches: {directory: ` + patches + `}
%[5]s---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: %[6]s
imageRepository: "%[7]s"
encryptionAlgorithm: ECDSA-P256
etcd:
  external:
    endpoints: ["http://127.0.0.1:2379"]
dns:
  imageTag: ` + corednsTag + `
controllerManager:
  extraArgs:
  - {name: leader-elect, value: "false"}
  - {name: node-monitor-grace-period, value: 5m}
scheduler:
  extraArgs:
  - {name: leader-elect, value: "false"}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
failSwapOn: false
runtimeRequestTimeout: 10m
evictionHard: {memory.available: 50Mi}
`

// probesPatch gives CoreDNS's probes, whose timeouts kubeadm makes 1 and 5 s, the
// time that a slow machine takes: a name server that is taken for unready is
// refused to who asks for it. It needs a duration in seconds, and five times it.
const probesPatch = `spec:
  template:
    spec:
      containers:
      - name: coredns
        readinessProbe: {timeoutSeconds: %d}
        livenessProbe: {timeoutSeconds: %d}
`

// joinConfig is for kubeadm on the worker.
const joinConfig = `apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    token: %[1]s
    apiServerEndpoint: %[2]s:6443
    caCertHashes: ["%[3]s"]
nodeRegistration:
  name: %[5]s
  criSocket: unix:///run/containerd/containerd.sock
  kubeletExtraArgs:
  - {name: node-ip, value: "%[4]s"}
%[6]s`
