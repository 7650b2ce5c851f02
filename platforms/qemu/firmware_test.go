package qemu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"seatrial/platforms"
)

// describe writes a descriptor of firmware whose files exist if there is.
func describe(t *testing.T, dir, name, arch, machine string, there bool, features string) (code string) {
	t.Helper()
	code, vars := filepath.Join(dir, name+".code.fd"), filepath.Join(dir, name+".vars.fd")
	if there {
		for _, f := range []string{code, vars} {
			if err := os.WriteFile(f, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := fmt.Sprintf(`{"interface-types": ["uefi"], "features": [%s],
		"mapping": {"device": "flash", "executable": {"filename": %q, "format": "raw"}, "nvram-template": {"filename": %q, "format": "raw"}},
		"targets": [{"architecture": %q, "machines": [%q]}]}`, features, code, vars, arch, machine)
	if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return code
}

func TestFindUEFI(t *testing.T) {
	admin, distro := t.TempDir(), t.TempDir()
	const secure = `"secure-boot", "enrolled-keys", "requires-smm"`
	describe(t, distro, "10-hidden", "x86_64", "pc-q35-*", true, "")
	if err := os.WriteFile(filepath.Join(admin, "10-hidden.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	describe(t, distro, "20-absent", "x86_64", "pc-q35-*", false, "")
	describe(t, distro, "30-other-machine", "x86_64", "pc-i440fx-*", true, "")
	describe(t, distro, "40-not-enrolled", "x86_64", "pc-q35-*", true, `"secure-boot"`)
	wantSecure := describe(t, distro, "50-secure", "x86_64", "pc-q35-*", true, secure)
	wantARM := describe(t, admin, "55-arm", "aarch64", "virt-*", true, "")
	wantPlain := describe(t, distro, "60-plain", "x86_64", "pc-q35-*", true, `"acpi-s3"`)
	describe(t, distro, "70-later", "x86_64", "pc-q35-*", true, "")
	dirs := []string{admin, distro, "/nonexistent"}

	amd64, arm64 := testLaunch(t, "amd64").arch, testLaunch(t, "arm64").arch
	for _, tt := range []struct {
		a      arch
		secure bool
		want   string
	}{
		{amd64, false, wantPlain}, {amd64, true, wantSecure}, {arm64, false, wantARM}, {arm64, true, ""},
	} {
		got, err := findUEFI(dirs, tt.a, tt.secure)
		_, missing := errors.AsType[*MissingError](err)
		if got.Code.Filename != tt.want || missing != (tt.want == "") || got.SMM != (tt.want == wantSecure) {
			t.Errorf("%s, secure %v: got %+v, %v", tt.a.name, tt.secure, got, err)
		}
	}
	found, lacking := firmwares(dirs, arm64)
	if _, ok := found[platforms.UEFI]; !ok || lacking[platforms.UEFISecure] == nil || len(found) != 1 || len(lacking) != 1 {
		t.Errorf("found %v, lacking %v", found, lacking)
	}
	if err := os.WriteFile(filepath.Join(admin, "00-broken.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := findUEFI(dirs, amd64, false); err == nil {
		t.Error("a broken descriptor was passed over")
	}
}
