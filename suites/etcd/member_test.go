package etcd

import (
	"os/exec"
	"testing"
)

func TestSettings(t *testing.T) {
	s := settings{"NAME": "m0"}.with(settings{"DATA_DIR": "/d", "NAME": "m1"})
	const want = "[Service]\nEnvironment=\"ETCD_DATA_DIR=/d\"\nEnvironment=\"ETCD_NAME=m1\"\n"
	if got := s.unit(); got != want {
		t.Errorf("unit is %q, want %q", got, want)
	}
	if out, err := exec.Command("sh", "-n", "-c", startScript(s)).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
