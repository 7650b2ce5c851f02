package sshx

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// WaitReady tries Dial, one try after the other, until one succeeds or ctx
// ends. Also a refused login is tried again: a guest's user data may come late.
// Only a wrong host key ends the wait at once.
//
// progress, when not nil, is told in a few words why the guest is not ready,
// whenever that changes. The error at the end of ctx wraps its cause and that
// of the last try.
func WaitReady(ctx context.Context, dial DialFunc, cfg Config, progress func(state string)) (*Client, error) {
	cfg = cfg.withDefaults()
	var last error
	var state string
	for tries := 1; ; tries++ {
		c, err := Dial(ctx, dial, cfg)
		if err == nil {
			return c, nil
		}
		if _, wrong := errors.AsType[*HostKeyError](err); wrong {
			return nil, fmt.Errorf("wait for ssh: %w", err)
		}
		// A try that the end of ctx cut off says less than the one before. A dial may
		// notice that end before ctx does.
		end, ends := ctx.Deadline()
		cut := ctx.Err() != nil || ends && !time.Now().Before(end)
		if !cut || last == nil {
			last = err
		}
		if failed, ok := errors.AsType[*DialError](last); ok && failed.state() != state {
			state = failed.state()
			if progress != nil {
				progress("waiting for ssh: " + state)
			}
		}
		select {
		case <-time.After(cfg.PollInterval):
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for ssh: %w after %d tries; the last one: %w", context.Cause(ctx), tries, last)
		}
	}
}
