package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"seatrial/harness"
	"seatrial/internal/fixtures/kubernetes"
	"seatrial/suites/internal/containers"
)

// Bounds of what the cluster does, on machines that are not emulated.
const (
	answerTime = 5 * time.Second // of the API server
	// podTime is for a pod, from its manifest to its end. One that cannot come to
	// it is noticed before (fault), and so there is time for a node that is busy.
	podTime = time.Minute
)

func nodes(ctx context.Context, t *harness.T) {
	c := up(ctx, t, 2)
	for _, m := range c.machines {
		if got := m.Must(ctx, "systemctl is-active kubelet || true"); got != "active" {
			t.Errorf("%s: the kubelet is %s", m.ID(), got)
		}
	}
	var nodes []node
	t.WaitFor(ctx, "the nodes", answerTime, func(ctx context.Context) (err error) {
		nodes, err = c.nodes(ctx)
		return err
	})
	for _, n := range nodes {
		info := n.Status.NodeInfo
		if info.KubeletVersion != kubernetes.Release || info.Architecture != t.Arch() || !strings.HasPrefix(info.ContainerRuntimeVersion, "containerd://") {
			t.Errorf("node %s has kubelet %s on %s with %s, want %s on %s with containerd", n.Metadata.Name,
				info.KubeletVersion, info.Architecture, info.ContainerRuntimeVersion, kubernetes.Release, t.Arch())
		}
	}
}

// podsGroup is where the kubelet limits the memory of all pods, with the systemd
// driver.
const podsGroup = "/sys/fs/cgroup/memory/kubepods.slice"

func cgroups(ctx context.Context, t *harness.T) {
	c := up(ctx, t, 2)
	for _, m := range c.machines {
		containers.CheckCgroupV1(ctx, t, m)
		if m.Status(ctx, "test -d "+podsGroup) != 0 {
			t.Errorf("%s: the kubelet made no %s", m.ID(), podsGroup)
		}
	}
}

func nginx(ctx context.Context, t *harness.T) { up(ctx, t, 2).web(ctx) }

// web deploys a web server, and has a pod on the control plane read its page
// through a service. The server is on the worker, since the control plane is
// tainted, unless it is all there is.
func (c *cluster) web(ctx context.Context) {
	ns := c.namespace(ctx)
	defer ns.remove(ctx)
	page := "page of " + ns.name
	ns.create(ctx, "/api/v1/namespaces/"+ns.name+"/configmaps", fmt.Sprintf(pageManifest, page))
	ns.create(ctx, "/apis/apps/v1/namespaces/"+ns.name+"/deployments", fmt.Sprintf(deploymentManifest, c.image))
	address := ns.service(ctx)
	ns.await(ctx, "app=web", "Running")
	ns.pod(ctx, "client", c.control.ID(), c.image, "/bin/get", "http://"+address+"/")
	if got := ns.output(ctx, "client"); got != page {
		c.t.Errorf("the service at %s answered %q, want %q", address, got, page)
	}
}

// besideDocker is about one machine.
func besideDocker(ctx context.Context, t *harness.T) {
	m := t.Machine(0)
	m.MustRoot(ctx, "systemctl start docker || { systemctl status docker >&2; exit 1; }")
	up(ctx, t, 1).web(ctx)
	if got := m.Must(ctx, "systemctl is-active docker || true"); got != "active" {
		t.Errorf("%s: Docker is %s", m.ID(), got)
	}
}

func dns(ctx context.Context, t *harness.T) {
	c := up(ctx, t, 2)
	t.WaitFor(ctx, "the cluster's name server is available", podTime, func(ctx context.Context) error {
		var d struct {
			Status struct {
				AvailableReplicas int `json:"availableReplicas"`
			} `json:"status"`
		}
		err := c.get(ctx, "/apis/apps/v1/namespaces/kube-system/deployments/coredns", &d)
		if err == nil && d.Status.AvailableReplicas == 0 {
			err = errors.New("no replica is")
		}
		return err
	})
	ns := c.namespace(ctx)
	defer ns.remove(ctx)
	address := ns.service(ctx)
	ns.pod(ctx, "client", c.worker.ID(), c.image, "/bin/lookup", "web")
	if got := ns.output(ctx, "client"); got != address {
		t.Errorf("the name of the service leads to %q, and it is at %s", got, address)
	}
}

const exported = "/srv/seatrial-kubernetes"

func nfs(ctx context.Context, t *harness.T) {
	c := up(ctx, t, 2)
	ns := c.namespace(ctx)
	defer ns.remove(ctx)
	c.control.MustRoot(ctx, fmt.Sprintf(`set -e; rm -rf %[1]s; mkdir -p /etc/exports.d %[1]s; chmod 0777 %[1]s; echo %[3]s >%[1]s/from-server
echo '%[1]s %[2]s(rw,fsid=78,no_subtree_check)' >/etc/exports.d/seatrial-kubernetes.exports
systemctl restart nfs-server || { systemctl status nfs-server >&2; exit 1; }; exportfs -r`, exported, c.worker.Address(), ns.name))
	ns.create(ctx, "/api/v1/persistentvolumes", fmt.Sprintf(volumeManifest, ns.name, c.control.Address(), exported))
	ns.create(ctx, "/api/v1/namespaces/"+ns.name+"/persistentvolumeclaims", fmt.Sprintf(claimManifest, ns.name))
	ns.create(ctx, "/api/v1/namespaces/"+ns.name+"/pods", fmt.Sprintf(nfsPodManifest, c.worker.ID(), c.image))
	if got := ns.output(ctx, "client"); got != ns.name {
		t.Errorf("the pod reads %q, and %s wrote %q", got, c.control.ID(), ns.name)
	}
	c.control.MustRoot(ctx, "test -e "+exported+"/from-pod || { ls -l "+exported+" >&2; exit 1; }")
	_, err := c.request(ctx, http.MethodDelete, "/api/v1/persistentvolumes/"+ns.name, "")
	t.Check(err)
}

// namespace is where a subtest has its objects.
type namespace struct {
	*cluster
	name string
}

// namespace makes one, of a name that nothing had before.
func (c *cluster) namespace(ctx context.Context) namespace {
	ns := namespace{c, "seatrial-" + strconv.FormatInt(time.Now().UnixNano(), 36)}
	ns.create(ctx, "/api/v1/namespaces", fmt.Sprintf("{metadata: {name: %s}}", ns.name))
	return ns
}

// remove has the cluster take the namespace down, some time; before that, it
// says what happened there if that may explain a failure.
func (ns namespace) remove(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ns.t.Scale(answerTime))
	defer cancel()
	if ns.t.Failed() {
		var events list[struct {
			Message string `json:"message"`
		}]
		err := ns.get(ctx, "/api/v1/namespaces/"+ns.name+"/events", &events)
		ns.t.Logf("events of the namespace: %v, %v", events.Items, err)
	}
	if _, err := ns.request(ctx, http.MethodDelete, "/api/v1/namespaces/"+ns.name, ""); err != nil {
		ns.t.Logf("remove the namespace: %v", err)
	}
}

// create makes an object. What it needs may not be there at once, such as the
// namespace's service account.
func (ns namespace) create(ctx context.Context, path, manifest string) {
	ns.t.WaitFor(ctx, "POST "+path, answerTime, func(ctx context.Context) error { return ns.cluster.create(ctx, path, manifest) })
}

// service makes the service "web", and returns its address.
func (ns namespace) service(ctx context.Context) string {
	path := "/api/v1/namespaces/" + ns.name + "/services"
	ns.create(ctx, path, serviceManifest)
	var s struct {
		Spec struct {
			ClusterIP string `json:"clusterIP"`
		} `json:"spec"`
	}
	ns.t.WaitFor(ctx, "the service", answerTime, func(ctx context.Context) error { return ns.get(ctx, path+"/web", &s) })
	return s.Spec.ClusterIP
}

// pod makes a pod of the probe on a node.
func (ns namespace) pod(ctx context.Context, name, node, image string, command ...string) {
	ns.create(ctx, "/api/v1/namespaces/"+ns.name+"/pods", fmt.Sprintf(podManifest, name, node, image, `"`+strings.Join(command, `", "`)+`"`))
}

// await waits until a pod with a label comes to a phase, or can no more.
func (ns namespace) await(ctx context.Context, label, phase string) {
	fault := ""
	ns.t.WaitFor(ctx, "the pod with "+label, podTime, func(ctx context.Context) error {
		var pods list[pod]
		if err := ns.get(ctx, "/api/v1/namespaces/"+ns.name+"/pods?labelSelector="+label, &pods); err != nil {
			return err
		}
		if len(pods.Items) != 1 {
			return fmt.Errorf("there are %d pods, want 1", len(pods.Items))
		}
		if fault = pods.Items[0].fault(); fault != "" {
			return nil
		}
		return pods.Items[0].awaiting(phase)
	})
	if fault != "" {
		ns.t.Fatalf("%s", fault)
	}
}

// output waits for the end of a pod, and returns what it printed.
func (ns namespace) output(ctx context.Context, name string) string {
	ns.await(ctx, "app="+name, "Succeeded")
	var out []byte
	ns.t.WaitFor(ctx, "the log of pod "+name, answerTime, func(ctx context.Context) (err error) {
		out, err = ns.request(ctx, http.MethodGet, "/api/v1/namespaces/"+ns.name+"/pods/"+name+"/log", "")
		return err
	})
	return strings.TrimSpace(string(out))
}
