package qemu

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestCheckSpace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	if err := checkSpace(dir, 1); err != nil {
		t.Error(err)
	}
	if err := checkSpace(dir, 1<<40); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "XDG_STATE_HOME") {
		t.Errorf("with a need of 2^60 bytes: %v", err)
	}
}
