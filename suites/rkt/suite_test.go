package rkt

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"testing"
)

func TestImage(t *testing.T) {
	aci, err := image("arm64")
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(bytes.NewReader(aci))
	if h, err := r.Next(); err != nil || h.Name != "manifest" {
		t.Fatalf("the first file is %+v: %v", h, err)
	}
	var manifest struct {
		ACKind string
		Labels []struct{ Name, Value string }
	}
	if err := json.NewDecoder(r).Decode(&manifest); err != nil || manifest.ACKind != "ImageManifest" || manifest.Labels[1].Value != "aarch64" {
		t.Errorf("%+v: %v", manifest, err)
	}
	if h, err := r.Next(); err != nil || h.Name != "rootfs/bin/probe" || h.Mode != 0o755 {
		t.Errorf("the second file is %+v: %v", h, err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("there is more: %v", err)
	}
}
