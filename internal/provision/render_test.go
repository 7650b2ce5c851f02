package provision

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	key1 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKey1 run"
	key2 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKey2 other"
)

func addresses() map[string]string {
	return map[string]string{
		VarPrivateIPv4: "10.0.0.11",
		VarPublicIPv4:  "192.0.2.11",
		VarHostname:    "node1",
		VarDiscovery:   "http://10.0.0.1:2379/token",
	}
}

// TestGolden renders each file of testdata/render with the options below and
// compares what comes out with its golden file.
func TestGolden(t *testing.T) {
	keys := []string{key1}
	tests := map[string]Options{
		"ignition3.json":        {SSHKeys: keys, Vars: addresses(), IgnitionMax: "3.3"},
		"ignition3-nokeys.json": {Vars: addresses()},
		"ignition3-user.json":   {SSHKeys: keys},
		"ignition2.json":        {SSHKeys: keys, Vars: addresses(), IgnitionMax: "3.3.0", Ignition2: true},
		"ignition1.json":        {SSHKeys: keys},
		"flatcar11.yaml":        {SSHKeys: keys, Vars: addresses(), IgnitionMax: "3.3.0"},
		"fcos14.yaml":           {SSHKeys: keys, User: "admin", Vars: addresses()},
		"empty.txt":             {SSHKeys: keys, IgnitionMax: "3.3.0"},
		"cloud.yaml":            {SSHKeys: keys, Vars: addresses()},
		"cloud-users.yaml":      {SSHKeys: keys},
		"cloud-empty.yaml":      {SSHKeys: keys},
		"script.sh":             {SSHKeys: keys, Vars: addresses()},
		"multipart.eml":         {SSHKeys: keys, Vars: addresses()},
		"multipart-keys.eml":    {SSHKeys: keys},
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			raw := read(t, filepath.Join("testdata", "render", name))
			got, err := Render(raw, o)
			if err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprintf("kind: %s\n", got.Kind)
			for _, w := range got.Report.Warnings {
				text += fmt.Sprintf("warning: %s\n", w)
			}
			text += "\n" + string(got.Data)
			golden(t, filepath.Join("testdata", "render", name+".golden"), text)

			// What was rendered is valid, and rendering it again changes
			// nothing.
			again, err := Render(got.Data, Options{SSHKeys: o.SSHKeys, User: o.User, IgnitionMax: o.IgnitionMax, Ignition2: o.Ignition2})
			if err != nil {
				t.Fatalf("render again: %v", err)
			}
			if diff := cmp.Diff(string(got.Data), string(again.Data)); diff != "" {
				t.Errorf("rendering is not idempotent (-once +twice):\n%s", diff)
			}
		})
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, path)), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// TestUnchanged checks that what needs no change is not touched at all.
func TestUnchanged(t *testing.T) {
	for _, raw := range []string{
		"", " \n\t",
		"{ \"ignition\" : {\"version\":\"3.1.0\"} }\n",
		"#cloud-config\n# a comment\nhostname:   x # another\n",
		"#!/bin/sh\necho $$ $HOME ${PATH} $private_ipv4\n",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--b--\n",
	} {
		got, err := Render([]byte(raw), Options{Vars: map[string]string{"unused": "v"}})
		if err != nil {
			t.Errorf("Render(%q): %v", raw, err)
			continue
		}
		want := raw
		if got.Kind == Empty {
			want = ""
		}
		if string(got.Data) != want {
			t.Errorf("Render(%q) = %q, want it unchanged", raw, got.Data)
		}
	}
}

func TestDetect(t *testing.T) {
	tests := []struct {
		raw  string
		want Kind
	}{
		{"", Empty},
		{"\r\n  ", Empty},
		{`{"ignition":{"version":"3.3.0"}}`, Ignition},
		{"\n {\"ignitionVersion\": 1}", Ignition},
		{`{"ignition":`, Ignition},
		{`{"variant":"fcos","version":"1.4.0"}`, Butane},
		{"variant: flatcar\nversion: 1.0.0\n", Butane},
		{"# why\nversion: 1.0.0\nvariant: fcos\nbad: [", Butane},
		{"#cloud-config", CloudConfig},
		{"#cloud-config \r\nusers: []", CloudConfig},
		{"#!/bin/sh\n", Script},
		{"Content-Type: multipart/mixed; boundary=x\n\n--x--\n", Multipart},
		{"MIME-Version: 1.0\r\nContent-Type: Multipart/Mixed;\r\n boundary=\"x\"\r\n\r\n", Multipart},
		{`{"a":1}`, ""},
		{"hello", ""},
		{"hostname: x\n", ""},
		{"#cloud-config-archive\n", ""},
		{"#include\nhttp://example.com\n", ""},
		{" #cloud-config\n", ""},
		{"Content-Type: text/plain\n\nx", ""},
		{"\x00\xff", ""},
	}
	for _, test := range tests {
		got, err := Detect([]byte(test.raw))
		if got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("Detect(%q) = %q, %v; want %q", test.raw, got, err, test.want)
		}
		if err != nil && !errors.Is(err, ErrUnknownKind) {
			t.Errorf("Detect(%q): %v does not wrap ErrUnknownKind", test.raw, err)
		}
	}
}

func TestBadOptions(t *testing.T) {
	tests := []struct {
		o    Options
		want string
	}{
		{Options{SSHKeys: []string{"ssh-rsa A\nssh-rsa B"}}, "one line"},
		{Options{SSHKeys: []string{" "}}, "one line"},
		{Options{IgnitionMax: "latest"}, `"latest" is no version`},
	}
	for _, test := range tests {
		if _, err := Render(nil, test.o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Render with %+v: %v, want %q", test.o, err, test.want)
		}
	}
}
