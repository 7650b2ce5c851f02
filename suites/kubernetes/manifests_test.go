package kubernetes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// TestManifests holds that each is YAML once it is filled in, with nothing left
// out.
func TestManifests(t *testing.T) {
	const image = "192.0.2.1:5000/probe:latest"
	limits := timeouts(time.Hour)
	for name, manifest := range map[string]string{
		"page":       fmt.Sprintf(pageManifest, `page "x"`),
		"deployment": fmt.Sprintf(deploymentManifest, image),
		"service":    serviceManifest,
		"pod":        fmt.Sprintf(podManifest, "client", "m0", image, `"/bin/get", "http://web/"`),
		"volume":     fmt.Sprintf(volumeManifest, "v", "fd00::1", exported),
		"claim":      fmt.Sprintf(claimManifest, "v"),
		"nfs pod":    fmt.Sprintf(nfsPodManifest, "m1", image),
		"init":       fmt.Sprintf(initConfig, bootstrapKey, "192.0.2.2", "m0", "  taints: []\n", limits, "v1.2.3", "192.0.2.1:5000"),
		"join":       fmt.Sprintf(joinConfig, bootstrapKey, "192.0.2.2", "sha256:00", "192.0.2.3", "m1", limits),
	} {
		if strings.Contains(manifest, "%!") {
			t.Errorf("%s: %s", name, manifest)
		}
		for d := yaml.NewDecoder(strings.NewReader(manifest)); ; {
			var doc map[string]any
			err := d.Decode(&doc)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || doc["kind"] == nil || doc["apiVersion"] == nil {
				t.Errorf("%s: %v: %v", name, doc, err)
				break
			}
		}
	}
}

func TestScripts(t *testing.T) {
	for name, script := range map[string]string{
		"etcd":    etcdScript("192.0.2.2", "arm64", 30*time.Second),
		"prepare": prepareScript("192.0.2.1:8000", "192.0.2.1:5001", "192.0.2.1:5000"),
		"flannel": flannelScript("192.0.2.2", "192.0.2.3", 30*time.Second),
		"proxy":   fmt.Sprintf(proxyScript, "m1"),
	} {
		cmd := exec.Command("sh", "-n")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains([]byte(script), []byte("%!")) {
			t.Errorf("%s: %v: %s\n%s", name, err, out, script)
		}
	}
}

func TestImages(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		if _, err := images(arch, []byte("hyperkube"), []byte("coredns")); err != nil {
			t.Error(err)
		}
	}
	if _, err := images("mips", nil, nil); err == nil {
		t.Error("there are images for mips")
	}
}
