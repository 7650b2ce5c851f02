package basic

import (
	"context"
	"time"

	"seatrial/harness"
)

// busybox is the container image of cl.internet, the one that kola uses.
const busybox = "ghcr.io/flatcar/busybox"

func internet() harness.Test {
	return group(harness.Test{
		Name:    "cl.internet",
		Doc:     "The machine reaches the internet: update server, container registry, a host by ICMP, and a time server.",
		Tags:    []string{harness.TagInternet},
		Timeout: 5 * time.Minute,
		Needs: harness.Needs{
			Internet: []string{"ghcr.io", "pkg-containers.githubusercontent.com", "flatcar.org", "pool.ntp.org"},
		},
	},
		check{Subtest: harness.Subtest{
			Name: "UpdateEngine", Doc: "update_engine tells its status.", Image: needs(flatcar),
			Run: func(ctx context.Context, t *harness.T) {
				t.Machine(0).Must(ctx, "update_engine_client -status")
			},
		}},
		check{Subtest: harness.Subtest{
			Name: "DockerEcho", Doc: "A container from a public registry runs.", Image: needs("docker"),
			Run: func(ctx context.Context, t *harness.T) {
				if out := t.Machine(0).MustRoot(ctx, "docker run --rm "+busybox+" echo from inside"); out != "from inside" {
					t.Errorf("the container printed %q", out)
				}
			},
		}},
		check{Subtest: harness.Subtest{
			Name: "DockerPing", Doc: "A container reaches a host on the internet.", Image: needs("docker"),
			Run: func(ctx context.Context, t *harness.T) {
				t.Machine(0).MustRoot(ctx, "docker run --rm "+busybox+" ping -c 4 flatcar.org")
			},
		}},
		check{Subtest: harness.Subtest{
			Name: "NTPDate", Doc: "A public time server answers.",
			Run: func(ctx context.Context, t *harness.T) {
				m := t.Machine(0)
				if m.Status(ctx, "command -v ntpdate") != 0 {
					t.Skipf("image has no ntpdate")
				}
				m.MustRoot(ctx, "ntpdate -d -s -u pool.ntp.org")
			},
		}},
	)
}
