package kubernetes

import (
	"encoding/json"
	"strings"
	"testing"
)

func decode[T any](t *testing.T, s string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAllReady(t *testing.T) {
	const (
		good = `{"metadata": {"name": "m0"}, "status": {"conditions": [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": "True"}]}}`
		bad  = `{"metadata": {"name": "m1"}, "status": {"conditions": [{"type": "Ready", "status": "False", "message": "cni plugin not initialized"}]}}`
		mute = `{"metadata": {"name": "m1"}, "status": {}}`
	)
	for _, c := range []struct{ nodes, want string }{
		{good, ""},
		{good + "," + bad, "node m1 is not ready: cni plugin not initialized"},
		{good + "," + mute, "node m1 does not say whether it is ready"},
		{"", `the nodes are "", want "m0"`},
	} {
		nodes := decode[list[node]](t, `{"items": [`+c.nodes+`]}`)
		want := []string{"m0"}
		if len(nodes.Items) == 2 {
			want = append(want, "m1")
		}
		err := allReady(nodes.Items, want...)
		if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%s: %v, want %q", c.nodes, err, c.want)
		}
	}
}

func TestPod(t *testing.T) {
	const isReady = `"conditions": [{"type": "Ready", "status": "True"}]`
	for _, c := range []struct{ name, status, phase, fault, err string }{
		{"runs", `"phase": "Running", ` + isReady, "Running", "", ""},
		{"runs, and is not ready", `"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "message": "no"}]`, "Running", "", "pod p is not ready: no"},
		{"has ended", `"phase": "Succeeded"`, "Succeeded", "", ""},
		{"starts", `"phase": "Pending", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]`, "Running", "", "pod p is Pending, want Running"},
		{"a pull fails once", `"phase": "Pending", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ErrImagePull"}}}]`, "Running", "", "pod p is Pending"},
		{"a pull fails", `"phase": "Pending", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}]`, "Running",
			"pod p: container c: ImagePullBackOff: not found", "pod p is Pending"},
		{"ended badly once", `"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
			"lastState": {"terminated": {"exitCode": 1, "message": "i/o timeout\n"}}}]`, "Succeeded", "", "pod p is Running, want Succeeded"},
		{"ended badly too often", `"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
			"lastState": {"terminated": {"exitCode": 1, "message": "i/o timeout\n"}}}]`, "Succeeded", "pod p: container c ended with status 1, 3 times: i/o timeout", "pod p is Running"},
		{"ended badly too often, and its log is gone", `"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 3, "state": {"running": {}},
			"lastState": {"terminated": {"exitCode": 1, "message": "Error on reading termination message from logs: no such file"}}}]`, "Succeeded", "", "pod p is Running"},
		{"and is gone again", `"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 4, "state": {"running": {}},
			"lastState": {"terminated": {"exitCode": 1, "message": "Error on reading termination message from logs: no such file"}}}]`, "Succeeded",
			"pod p: container c ended with status 1, 4 times: Error on reading termination message from logs: no such file", "pod p is Running"},
		{"its first container fails", `"phase": "Pending", "initContainerStatuses": [{"name": "i", "restartCount": 3, "state": {"terminated": {"exitCode": 2, "message": "denied"}}}]`,
			"Succeeded", "pod p: container i ended with status 2, 3 times: denied", "pod p is Pending"},
		{"failed", `"phase": "Failed"`, "Succeeded", "pod p has failed", "pod p is Failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := decode[pod](t, `{"metadata": {"name": "p"}, "status": {`+c.status+`}}`)
			if got := p.fault(); got != c.fault {
				t.Errorf("the fault is %q, want %q", got, c.fault)
			}
			err := p.awaiting(c.phase)
			if (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("awaiting %s gives %v, want %q", c.phase, err, c.err)
			}
		})
	}
}
