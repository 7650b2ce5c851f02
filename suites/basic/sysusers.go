package basic

import (
	"context"
	"fmt"
	"strings"

	"seatrial/harness"
)

func gshadow() harness.Test {
	return harness.Test{
		Name:  "systemd.sysusers.gshadow",
		Doc:   "systemd-sysusers gets over lines of /etc/gshadow that once made glibc's parser return pointers into nowhere.",
		Needs: harness.Needs{Image: needs("systemd-sysusers")},
		Run: func(ctx context.Context, t *harness.T) {
			got := ask(ctx, t, question{"sysusers", fmt.Sprintf(`cat /etc/gshadow >/run/seatrial-gshadow
trap 'cat /run/seatrial-gshadow >/etc/gshadow; rm /run/seatrial-gshadow' EXIT
echo '%s' >>/etc/gshadow
systemd-sysusers`, gshadowLines())})
			if a := got["sysusers"]; !a.ok() {
				t.Errorf("systemd-sysusers fails: %s", a)
			}
		},
		Sabotage: []harness.Sabotage{{
			Name:    "sysusers-replaced",
			Break:   `mount --bind "$(readlink -f /bin/false)" "$(readlink -f "$(command -v systemd-sysusers)")"`,
			Undo:    `umount "$(readlink -f "$(command -v systemd-sysusers)")"`,
			Message: `systemd-sysusers fails`,
		}},
	}
}

// gshadowLines are three groups. The second line is shorter than the parser's
// buffer of 1024 bytes, but has so many members that the line and the pointers
// to them together do not fit; the parser then left the pointers of the line
// before in its result.
func gshadowLines() string {
	members := make([]string, 48)
	for i := range members {
		members[i] = fmt.Sprintf("member-%02d.abcdef", i)
	}
	return "seatrial0:*::root\nseatrial1:*::" + strings.Join(members, ",") + "\nseatrial2:*::root"
}
