package kubernetes

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"time"

	"seatrial/harness"
	"seatrial/internal/fixtures/kubernetes"
	"seatrial/internal/fixtures/registry"
	"seatrial/suites/internal/containers"
)

const (
	hyperkube = "hyperkube"
	coredns   = "coredns"
	overlay   = "flanneld"

	pods         = "10.244.0.0/16" // of which flannel gives each machine a part
	filesPort    = 8000
	imagesPort   = 5001 // of Kubernetes' own images; what tests run comes from registry.Port
	bin          = "/opt/seatrial/bin"
	adminConfig  = "/etc/kubernetes/admin.conf"
	configFile   = "/etc/kubernetes/seatrial.yaml"
	patches      = "/etc/kubernetes/patches"
	bootstrapKey = "seatri.alseatrialseatri" // the worker's password for joining
)

// Bounds of what takes long, on a machine that is not emulated.
const (
	startTime = 30 * time.Second // of a service that waits for nobody else
	joinTime  = time.Minute      // of a node, until it is ready
)

// cluster is Kubernetes on the test's machines.
type cluster struct {
	*api
	t        *harness.T
	machines []*harness.Machine
	control  *harness.Machine // the first
	worker   *harness.Machine // the last
	image    string           // of the probe
}

// up returns the cluster of some machines, which the first subtest that asks
// for it starts.
func up(ctx context.Context, t *harness.T, machines int) *cluster {
	c := &cluster{t: t}
	for i := range machines {
		c.machines = append(c.machines, t.Machine(i))
	}
	c.control, c.worker = c.machines[0], c.machines[machines-1]
	probe, err := containers.Images(t.Arch())
	if err != nil {
		t.Fatalf("%v", err)
	}
	probeAt := t.Serve(ctx, registry.Port, probe)
	c.image = probeAt + "/probe:latest"
	if c.control.Status(ctx, harness.Root("test -e "+adminConfig)) != 0 {
		c.start(ctx, probeAt)
	}
	c.api, err = newAPI(c.control.Download(ctx, adminConfig), c.control.Dial)
	if err != nil {
		t.Fatalf("%s: %s: %v", c.control.ID(), adminConfig, err)
	}
	var names []string
	for _, m := range c.machines {
		names = append(names, m.ID())
	}
	t.WaitFor(ctx, "the nodes are ready", joinTime, func(ctx context.Context) error {
		nodes, err := c.nodes(ctx)
		if err != nil {
			return err
		}
		return allReady(nodes, names...)
	})
	return c
}

func (c *cluster) nodes(ctx context.Context) ([]node, error) {
	var nodes list[node]
	err := c.get(ctx, "/api/v1/nodes", &nodes)
	return nodes.Items, err
}

// start makes the cluster, which pulls the probe's image from a registry of its own.
func (c *cluster) start(ctx context.Context, probeAt string) {
	t := c.t
	images, err := images(t.Arch(), t.File(hyperkube), t.File(coredns))
	if err != nil {
		t.Fatalf("%v", err)
	}
	imagesAt := t.Serve(ctx, imagesPort, images)
	filesAt := t.Serve(ctx, filesPort, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, r.URL.Path, time.Time{}, bytes.NewReader(t.File(r.URL.Path[1:])))
	}))
	c.control.MustRoot(ctx, etcdScript(c.control.Address().String(), t.Arch(), t.Scale(startTime)))
	for _, m := range c.machines {
		m.MustRoot(ctx, prepareScript(filesAt, imagesAt, probeAt))
		m.MustRoot(ctx, flannelScript(c.control.Address().String(), m.Address().String(), t.Scale(startTime)))
	}
	limits := timeouts(t.Scale(joinTime))
	taint := ""
	if c.worker == c.control {
		taint = "  taints: []\n"
	}
	second := int(t.Scale(time.Second).Seconds())
	c.control.Upload(ctx, patches+"/corednsdeployment.yaml", 0o600, fmt.Appendf(nil, probesPatch, second, 5*second))
	c.kubeadm(ctx, c.control, "init", fmt.Sprintf(initConfig, bootstrapKey, c.control.Address(), c.control.ID(), taint, limits,
		kubernetes.Release, imagesAt))
	c.control.MustRoot(ctx, fmt.Sprintf(proxyScript, c.control.ID()))
	if c.worker != c.control {
		c.join(ctx, limits)
	}
}

// join makes the worker one of the cluster.
func (c *cluster) join(ctx context.Context, limits string) {
	key, err := authority(c.control.Download(ctx, "/etc/kubernetes/pki/ca.crt"))
	if err != nil {
		c.t.Fatalf("%s: ca.crt: %v", c.control.ID(), err)
	}
	c.kubeadm(ctx, c.worker, "join", fmt.Sprintf(joinConfig, bootstrapKey, c.control.Address(), key, c.worker.Address(), c.worker.ID(), limits))
	c.worker.Upload(ctx, adminConfig, 0o600, c.control.Download(ctx, adminConfig))
	c.worker.MustRoot(ctx, fmt.Sprintf(proxyScript, c.worker.ID()))
}

// kubeadm runs a command of kubeadm's with a configuration.
func (c *cluster) kubeadm(ctx context.Context, m *harness.Machine, command, config string) {
	m.Upload(ctx, configFile, 0o600, []byte(config))
	begin := time.Now()
	// It complains of the age of distributions' etcd, which Kubernetes can do with.
	m.MustRoot(ctx, fmt.Sprintf("PATH=%s:$PATH kubeadm %s --config %s --ignore-preflight-errors=ExternalEtcdVersion,NumCPU,Mem >/var/log/kubeadm.log 2>&1 || "+
		"{ tail -n 40 /var/log/kubeadm.log >&2; exit 1; }", bin, command, configFile))
	c.t.Logf("%s: kubeadm %s took %s", m.ID(), command, time.Since(begin).Round(time.Second))
}

// authority is how kubeadm names a certificate's key.
func authority(certificate []byte) (string, error) {
	block, _ := pem.Decode(certificate)
	if block == nil {
		return "", fmt.Errorf("not in PEM: %q", certificate)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(cert.RawSubjectPublicKeyInfo)), nil
}

// images is the registry that kubeadm and the kubelets pull from.
func images(arch string, hyperkube, coredns []byte) (http.Handler, error) {
	pause, err := registry.Probe("pause:"+pauseTag, arch)
	if err != nil {
		return nil, err
	}
	pause.Config.Cmd = []string{"/bin/pause"}
	const dir = "usr/local/bin/"
	files := []registry.File{{Path: dir + "hyperkube", Content: hyperkube}}
	for _, command := range kubernetes.Commands() {
		files = append(files, registry.File{Path: dir + command, Link: "hyperkube"})
	}
	kube := registry.Image{
		Name: "kube-apiserver:" + kubernetes.Release, Arch: arch, Files: files,
	}
	// kubeadm wants kube-proxy's, too, and does not use it.
	for _, command := range []string{"kube-controller-manager", "kube-scheduler", "kube-proxy"} {
		kube.Also = append(kube.Also, command+":"+kubernetes.Release)
	}
	kube.Config.Env = []string{"PATH=/usr/local/bin"}
	dns := registry.Image{Name: "coredns:" + corednsTag, Arch: arch, Files: []registry.File{{Path: "coredns", Content: coredns}}}
	dns.Config.Entrypoint = []string{"/coredns"}
	return registry.New(pause, kube, dns)
}
