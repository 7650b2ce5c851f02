package basic

import "testing"

func TestPortSSHFaults(t *testing.T) {
	checkFaults(t, portSSHFaults, []faultCase{
		{"server", answers{"banner": said("SSH-2.0-OpenSSH_9.2p1 Debian-2\r")}, nil},
		{"nobody", answers{"banner": failed(1, "bash: connect: Connection refused")}, []string{"Connection refused"}},
		{"silence", answers{"banner": failed(124, "")}, []string{"exit status 124"}},
		{"another service", answers{"banner": said("220 mail.example ESMTP")}, []string{"220 mail.example"}},
	})
}

func TestDbusFaults(t *testing.T) {
	good := answers{
		"restart": failed(1, "Call failed: Interactive authentication required."),
		"read":    said(`s "active"`),
	}
	checkFaults(t, dbusFaults, []faultCase{
		{"as it should be", good, nil},
		{"denied without polkit", good.with("restart", failed(1, "Call failed: Access denied")), nil},
		{"restarted", good.with("restart", said("")), []string{"could restart systemd-tmpfiles-clean.timer"}},
		{"no bus", answers{
			"restart": failed(1, "Failed to connect to bus: No such file or directory"),
			"read":    failed(1, "Failed to connect to bus: No such file or directory"),
		}, []string{"another reason", "could not read"}},
	})
}

func TestUnitPath(t *testing.T) {
	for unit, want := range map[string]string{
		"ntpd.service":                 "/unit/ntpd_2eservice",
		"systemd-tmpfiles-clean.timer": "/unit/systemd_2dtmpfiles_2dclean_2etimer",
	} {
		if got := unitPath(unit); got != want {
			t.Errorf("path of %s is %s, want %s", unit, got, want)
		}
	}
}

func TestUserAddFaults(t *testing.T) {
	checkFaults(t, userAddFaults, []faultCase{
		{"added", answers{"user": said("seatrial-user sudo\nseatrial-user seatrial-user")}, nil},
		{"locked", answers{"user": failed(1, "useradd: cannot lock /etc/passwd; try again later.")}, []string{"cannot lock /etc/passwd"}},
		{"no home", answers{"user": failed(1, "seatrial-user sudo\nstat: cannot statx")}, []string{"cannot statx"}},
		{"no further group", answers{"user": said("seatrial-user\nseatrial-user seatrial-user")}, []string{"got \"seatrial-user\\n"}},
	})
}
