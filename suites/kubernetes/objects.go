package kubernetes

import (
	"fmt"
	"strings"
)

// list is a collection of objects.
type list[T any] struct {
	Items []T `json:"items"`
}

type metadata struct {
	Name string `json:"name"`
}

// node is a machine as the cluster knows it.
type node struct {
	Metadata metadata `json:"metadata"`
	Status   struct {
		Conditions []condition `json:"conditions"`
		NodeInfo   struct {
			KubeletVersion          string `json:"kubeletVersion"`
			ContainerRuntimeVersion string `json:"containerRuntimeVersion"`
			Architecture            string `json:"architecture"`
		} `json:"nodeInfo"`
	} `json:"status"`
}

type condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Message string `json:"message"`
}

// ready returns an error that says why a node or pod is not ready.
func ready(name string, conditions []condition) error {
	for _, c := range conditions {
		if c.Type == "Ready" {
			if c.Status == "True" {
				return nil
			}
			return fmt.Errorf("%s is not ready: %s", name, c.Message)
		}
	}
	return fmt.Errorf("%s does not say whether it is ready", name)
}

// allReady wants the named nodes, and no others, to be ready.
func allReady(nodes []node, want ...string) error {
	var have []string
	for _, n := range nodes {
		have = append(have, n.Metadata.Name)
	}
	if got, want := strings.Join(have, " "), strings.Join(want, " "); got != want {
		return fmt.Errorf("the nodes are %q, want %q", got, want)
	}
	for _, n := range nodes {
		if err := ready("node "+n.Metadata.Name, n.Status.Conditions); err != nil {
			return err
		}
	}
	return nil
}

// pod is what came of some containers.
type pod struct {
	Metadata metadata `json:"metadata"`
	Status   struct {
		Phase      string            `json:"phase"`
		Conditions []condition       `json:"conditions"`
		Init       []containerStatus `json:"initContainerStatuses"`
		Containers []containerStatus `json:"containerStatuses"`
	} `json:"status"`
}

type containerStatus struct {
	Name         string         `json:"name"`
	RestartCount int            `json:"restartCount"`
	State        containerState `json:"state"`
	LastState    containerState `json:"lastState"`
}

type containerState struct {
	Waiting *struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"waiting"`
	Terminated *struct {
		ExitCode int    `json:"exitCode"`
		Message  string `json:"message"`
	} `json:"terminated"`
}

// patience is how often a container may end badly before its pod is given up.
const patience = 3

// unread begins what the kubelet says of a container whose log it has removed,
// which it does just before it removes the container itself.
const unread = "Error on reading termination message from logs: "

// fault says why waiting for a pod does not help any more; empty means that it
// may.
func (p pod) fault() string {
	for _, c := range append(p.Status.Init, p.Status.Containers...) {
		last := c.LastState.Terminated
		if c.State.Terminated != nil {
			last = c.State.Terminated
		}
		limit := patience
		if last != nil && strings.HasPrefix(last.Message, unread) {
			limit++ // the container after it has ended by then, and its end tells more
		}
		if c.RestartCount >= limit && last != nil {
			return fmt.Sprintf("pod %s: container %s ended with status %d, %d times: %s", p.Metadata.Name, c.Name,
				last.ExitCode, c.RestartCount, strings.TrimSpace(last.Message))
		}
		if w := c.State.Waiting; w != nil {
			switch w.Reason {
			case "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerError", "RunContainerError":
				return fmt.Sprintf("pod %s: container %s: %s: %s", p.Metadata.Name, c.Name, w.Reason, w.Message)
			}
		}
	}
	if p.Status.Phase == "Failed" {
		return fmt.Sprintf("pod %s has failed", p.Metadata.Name)
	}
	return ""
}

// awaiting returns an error that says what a pod is at, unless it has come to
// the phase, and is ready where that is to run.
func (p pod) awaiting(phase string) error {
	if p.Status.Phase != phase {
		return fmt.Errorf("pod %s is %s, want %s", p.Metadata.Name, p.Status.Phase, phase)
	}
	if phase == "Running" {
		return ready("pod "+p.Metadata.Name, p.Status.Conditions)
	}
	return nil
}
