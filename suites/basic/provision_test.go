package basic

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"
)

func TestCloudinitBasicFaults(t *testing.T) {
	good := answers{"file": said("written by cloud-config\n640"), "hostname": said("core1")}
	checkFaults(t, cloudinitBasicFaults, []faultCase{
		{"good", good, nil},
		{"no file", good.with("file", failed(1, "cat: No such file")), []string{"did not write"}},
		{"other mode", good.with("file", said("written by cloud-config\n644")), []string{"did not write"}},
		{"other name", good.with("hostname", said("m0")), []string{`wants the host name "core1"`}},
	})
}

func TestMultipartFaults(t *testing.T) {
	const files = "b64=42\nbase64=42\ngz=42\ngz+base64=42\ngzip=42\ngzip+b64=42\nplain=42"
	good := answers{"hostname": said("multipart"), "keys": said("ssh-ed25519 " + partKey + " seatrial-part"), "files": said(files)}
	checkFaults(t, multipartFaults, []faultCase{
		{"good", good, nil},
		{"no key", good.with("keys", said("")), []string{"SSH key"}},
		{"encoding unknown", good.with("files", said(strings.Replace(files, "gz=42", "gz=\x1f", 1))), []string{"encoding gz is"}},
		{"file missing", good.with("files", said(strings.Replace(files, "\nplain=42", "", 1))), []string{"encoding plain"}},
	})
}

func TestCloudConfigFaults(t *testing.T) {
	const out = "[Service]\nEnvironment=\"ETCD_DISCOVERY=https://discovery.invalid/token\"\nssh-ed25519 " + partKey + " seatrial-one"
	checkFaults(t, cloudConfigFaults, []faultCase{
		{"good", answers{"apply": said(out)}, nil},
		{"no key", answers{"apply": said(out[:50])}, []string{"did not write"}},
		{"failed", answers{"apply": failed(1, "parsing user-data failed")}, []string{"parsing user-data failed"}},
	})
}

func TestCloudScriptFaults(t *testing.T) {
	checkFaults(t, cloudScriptFaults, []faultCase{
		{"good", answers{"active": said("2026/01/01 00:00:00 Running script\nactive")}, nil},
		{"inactive", answers{"active": failed(3, "inactive")}, []string{"did not start"}},
	})
}

func TestSwapFaults(t *testing.T) {
	good := answers{
		"unit": said("active"), "swappiness": said("10"),
		"swaps": said("Filename\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/var/vm/swapfile1                       file\t\t65532\t\t0\t\t-2"),
	}
	checkFaults(t, swapFaults, []faultCase{
		{"in use", good, nil},
		{"stopped", good.with("unit", failed(3, "inactive")).with("swaps", said("Filename Type Size Used Priority")), []string{"is inactive", "not in use"}},
		{"too small", good.with("swaps", said("/var/vm/swapfile1 file 1020 0 -2")), []string{"has 1020 KiB, want 65532"}},
		{"sysctl not set", good.with("swappiness", said("60")), []string{"vm.swappiness is \"60\""}},
	})
}

func TestOverlayFaults(t *testing.T) {
	good := answers{"kept": said(""), "recreated": said(""), "not copied": said("")}
	checkFaults(t, overlayFaults, []faultCase{
		{"good", good, nil},
		{"change lost", good.with("kept", failed(1, "")), []string{"was lost"}},
		{"not made again", good.with("recreated", failed(1, "")), []string{"was not made again"}},
		{"copied", good.with("not copied", failed(1, "")), []string{"came back as a copy"}},
	})
	wantFaults(t, copyFaults("now", said("")))
	wantFaults(t, copyFaults("now", said("/etc/hosts")), "/etc/hosts")
	wantFaults(t, copyFaults("now", failed(1, "umount: not mounted")), "not mounted")
}

// TestMultipartUserData decodes what the constant says.
func TestMultipartUserData(t *testing.T) {
	compressed, err := base64.StdEncoding.DecodeString(gzipped)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(r); err != nil || string(plain) != "42\n" {
		t.Errorf("gzipped is %q, %v", plain, err)
	}
	message, err := mail.ReadMessage(strings.NewReader(multipartUserData))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := 0
	for reader := multipart.NewReader(message.Body, params["boundary"]); ; parts++ {
		if _, err := reader.NextPart(); err != nil {
			break
		}
	}
	if parts != 5 {
		t.Errorf("the user data has %d parts, want 5", parts)
	}
}
