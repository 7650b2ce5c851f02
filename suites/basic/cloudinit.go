package basic

import (
	"context"
	"fmt"
	"strings"
	"time"

	"seatrial/harness"
)

// cloudinitBoot bounds the boot of a machine on which cloud-init works, which
// is Python and takes its time.
const cloudinitBoot = 3 * time.Minute

func cloudinitBasic() harness.Test {
	return harness.Test{
		Name: "cl.cloudinit.basic",
		Doc:  "A cloud-config sets the host name and writes a file.",
		Needs: harness.Needs{
			Image:       needs("cloud-init"),
			BootTimeout: cloudinitBoot,
			Cold:        true,
			UserData: `#cloud-config
hostname: core1
write_files:
  - path: /etc/seatrial-cloudinit
    permissions: "0640"
    content: |
      written by cloud-config
`,
		},
		Run: func(ctx context.Context, t *harness.T) {
			t.Report(cloudinitBasicFaults(ask(ctx, t,
				question{"file", "cat /etc/seatrial-cloudinit && stat -c %a /etc/seatrial-cloudinit"},
				question{"hostname", "hostnamectl --static"})))
		},
		Sabotage: []harness.Sabotage{{
			Name:    "file-changed",
			Break:   `mv /etc/seatrial-cloudinit /run/seatrial-cloudinit`,
			Undo:    `mv /run/seatrial-cloudinit /etc/seatrial-cloudinit`,
			Message: `cloud-config did not write`,
		}, {
			Name:    "hostname-changed",
			Break:   `hostnamectl set-hostname other`,
			Undo:    `hostnamectl set-hostname core1`,
			Message: `host name "other"`,
		}},
	}
}

func cloudinitBasicFaults(got answers) []string {
	var faults []string
	if file := got["file"]; file.out != "written by cloud-config\n640" {
		faults = append(faults, fmt.Sprintf("cloud-config did not write the file as asked: %s", file))
	}
	return append(faults, hostnameIs("core1", got["hostname"])...)
}

func hostnameIs(want string, got answer) []string {
	if got.out == want {
		return nil
	}
	return []string{fmt.Sprintf("cloud-config wants the host name %q, the machine has the host name %s", want, got)}
}

func cloudinitScript() harness.Test {
	return harness.Test{
		Name: "cl.cloudinit.script",
		Doc:  "A script given as user data is run once, as root.",
		Needs: harness.Needs{
			Image:       needs("cloud-init"),
			BootTimeout: cloudinitBoot,
			Cold:        true,
			UserData: `#!/bin/sh
id -un >>/etc/seatrial-script
`,
		},
		Run: func(ctx context.Context, t *harness.T) {
			// The script may be a unit that nothing waits for.
			t.Machine(0).Expect(ctx, 20*time.Second, harness.Root("test -s /etc/seatrial-script"))
			if out := t.Machine(0).MustRoot(ctx, "cat /etc/seatrial-script"); out != "root" {
				t.Errorf("the script should have run once as root, and left %q", out)
			}
		},
		Sabotage: []harness.Sabotage{{
			Name:    "script-run-twice",
			Break:   `echo root >>/etc/seatrial-script`,
			Undo:    `echo root >/etc/seatrial-script`,
			Message: `should have run once`,
		}},
	}
}

func cloudinitMultipart() harness.Test {
	return harness.Test{
		Name: "cl.cloudinit.multipart-mime",
		Doc:  "Each part of multipart user data has its effect: cloud-configs by type and by first line, files in every encoding, a script; other types have none.",
		Needs: harness.Needs{
			Image:       needs("cloud-init"),
			BootTimeout: cloudinitBoot,
			Cold:        true,
			UserData:    multipartUserData,
		},
		Run: func(ctx context.Context, t *harness.T) {
			user := t.Machine(0).Must(ctx, "id -un")
			t.Machine(0).Expect(ctx, 20*time.Second, harness.Root("test -e /etc/seatrial-multipart"))
			t.Report(multipartFaults(ask(ctx, t,
				question{"hostname", "hostnamectl --static"},
				question{"keys", "cat ~" + user + "/.ssh/authorized_keys ~" + user + "/.ssh/authorized_keys.d/* 2>/dev/null"},
				question{"files", "cd /etc/seatrial-files && for f in *; do echo \"$f=$(cat \"$f\")\"; done"},
			)))
		},
		Sabotage: []harness.Sabotage{{
			Name:    "encoded-file-missing",
			Break:   `mv /etc/seatrial-files/gzip /run/seatrial-gzip`,
			Undo:    `mv /run/seatrial-gzip /etc/seatrial-files/gzip`,
			Message: `file of encoding gzip`,
		}, {
			Name:    "hostname-changed",
			Break:   `hostnamectl set-hostname other`,
			Undo:    `hostnamectl set-hostname multipart`,
			Message: `host name "other"`,
		}},
	}
}

// partKey is the public key that a part of the multipart user data adds; its
// private part was thrown away.
const partKey = "AAAAC3NzaC1lZDI1NTE5AAAAIHcGLJ0Ok/tOZRXaRLRRV4j//zgrHtjU4Vs48qczQ87O"

// gzipped is "42\n" compressed by gzip, in base64.
const gzipped = "H4sIAAAAAAAC/zMx4gIAMSmG0QMAAAA="

// Programs that read cloud-configs do not agree on how two lists of the same
// key are joined, so each key is in one part only.
const multipartUserData = `Content-Type: multipart/mixed; boundary="seatrial-part"
MIME-Version: 1.0

--seatrial-part
Content-Type: text/cloud-config; charset="us-ascii"

ssh_authorized_keys:
  - ssh-ed25519 ` + partKey + ` seatrial-part
--seatrial-part
Content-Type: text/cloud-config; charset="us-ascii"

write_files:
  - path: /etc/seatrial-files/b64
    encoding: b64
    content: NDIK
  - path: /etc/seatrial-files/base64
    encoding: base64
    content: NDIK
  - path: /etc/seatrial-files/gzip
    encoding: gzip
    content: !!binary ` + gzipped + `
  - path: /etc/seatrial-files/gz
    encoding: gz
    content: !!binary ` + gzipped + `
  - path: /etc/seatrial-files/gz+base64
    encoding: gz+base64
    content: ` + gzipped + `
  - path: /etc/seatrial-files/gzip+b64
    encoding: gzip+b64
    content: ` + gzipped + `
  - path: /etc/seatrial-files/plain
    content: "42"
--seatrial-part
Content-Type: text/x-shellscript; charset="us-ascii"
Content-Disposition: attachment; filename="create-file"

#!/bin/sh
touch /etc/seatrial-multipart
--seatrial-part
Content-Type: text/plain; charset="us-ascii"

Nothing that anyone should act on.
--seatrial-part
Content-Type: text/plain; charset="us-ascii"

#cloud-config
hostname: multipart
--seatrial-part--
`

// multipartFaults judges what the parts did. That the script ran is known.
func multipartFaults(got answers) []string {
	faults := hostnameIs("multipart", got["hostname"])
	if keys := got["keys"]; !strings.Contains(keys.out, partKey) {
		faults = append(faults, "the SSH key of the first part is not authorized")
	}
	for _, encoding := range []string{"b64", "base64", "gz", "gz+base64", "gzip", "gzip+b64", "plain"} {
		if !strings.Contains("\n"+got["files"].out+"\n", "\n"+encoding+"=42\n") {
			faults = append(faults, fmt.Sprintf("the file of encoding %s is missing or wrong: %s", encoding, got["files"]))
		}
	}
	return faults
}

// cloudinitChecks are about coreos-cloudinit, called by hand.
func cloudinitChecks() []check {
	return []check{
		{Subtest: harness.Subtest{
			Name: "CloudConfig", Doc: "coreos-cloudinit applies a cloud-config: SSH keys, and settings of etcd.",
			Image: needs(flatcar),
			Run: judge(cloudConfigFaults, question{"apply", `w=$(mktemp -d)
trap 'rm -rf "$w" /run/systemd/system/etcd.service.d/20-cloudinit.conf; update-ssh-keys -d seatrial >/dev/null 2>&1' EXIT
cat >"$w/config" <<'END'
#cloud-config
coreos:
  etcd:
    discovery: https://discovery.invalid/token
ssh_authorized_keys:
  - ssh-ed25519 ` + partKey + ` seatrial-one
END
coreos-cloudinit --workspace "$w" --from-file "$w/config" --ssh-key-name seatrial || exit
cat /run/systemd/system/etcd.service.d/20-cloudinit.conf ~core/.ssh/authorized_keys`}),
		}},
		{Subtest: harness.Subtest{
			Name: "Script", Doc: "coreos-cloudinit runs a script in a unit of its own.",
			Image: needs(flatcar),
			Run: judge(cloudScriptFaults, question{"active", `w=$(mktemp -d)
trap 'systemctl stop "$(cat "$w/scripts/unit-name")"; rm -rf "$w"' EXIT
printf '#!/bin/sh\nsleep 100\n' >"$w/script"
coreos-cloudinit --workspace "$w" --from-file "$w/script" || exit
systemctl is-active "$(cat "$w/scripts/unit-name")"`}),
		}},
	}
}

func cloudConfigFaults(got answers) []string {
	apply := got["apply"]
	for _, want := range []string{`ETCD_DISCOVERY=https://discovery.invalid/token`, partKey} {
		if !apply.ok() || !strings.Contains(apply.out, want) {
			return []string{fmt.Sprintf("coreos-cloudinit did not write %s: %s", want, apply)}
		}
	}
	return nil
}

func cloudScriptFaults(got answers) []string {
	if active := got["active"]; !active.ok() || !strings.HasSuffix("\n"+active.out, "\nactive") {
		return []string{fmt.Sprintf("coreos-cloudinit did not start the script: %s", active)}
	}
	return nil
}
