package fake

import (
	"context"
	"testing"
	"time"

	"seatrial/platforms"
	"seatrial/platforms/platformtest"
)

// bootTime is how long the machines of the conformance suite take to boot: who
// gives them less waits in vain, and nobody else waits.
const bootTime = time.Second

func TestConformance(t *testing.T) {
	for name, without := range map[string][]platforms.Capability{
		"all":  {platforms.Fork},
		"fork": nil,
		"few": {
			platforms.Fork,
			platforms.ExtraDisks, platforms.GrowDisk, platforms.FirmwareBIOS, platforms.FirmwareUEFI, platforms.MultiMachine,
			platforms.Fixtures, platforms.Impair,
		},
	} {
		t.Run(name, func(t *testing.T) {
			platformtest.Run(t, func(*testing.T) platformtest.Harness {
				tooSoon := func(ctx context.Context) error {
					if end, ok := ctx.Deadline(); ok && time.Until(end) < bootTime {
						<-ctx.Done()
					}
					return context.Cause(ctx)
				}
				p := New(Options{
					Capabilities: func(c *platforms.Capabilities) {
						c.Has[platforms.Fork] = true
						for _, w := range without {
							delete(c.Has, w)
						}
					},
					Boot:    func(ctx context.Context, _ *Machine, _ platforms.MachineSpec) error { return tooSoon(ctx) },
					Restore: func(ctx context.Context, _ *Machine, _ platforms.MachineSpec) error { return tooSoon(ctx) },
				})
				return platformtest.Harness{Platform: p, BootTime: 10 * time.Second, CommandTime: 5 * time.Second}
			})
		})
	}
}
