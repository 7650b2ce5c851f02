package agent

import (
	"embed"
	"fmt"
)

//go:embed guest/agent-amd64 guest/agent-arm64
var binaries embed.FS

// Binary is the guest's program for an architecture (as in GOARCH). It is called with the path of
// the port, as root.
func Binary(arch string) ([]byte, error) {
	data, err := binaries.ReadFile("guest/agent-" + arch)
	if err != nil {
		return nil, fmt.Errorf("there is no agent for %s", arch)
	}
	return data, nil
}
