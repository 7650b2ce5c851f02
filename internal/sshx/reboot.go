package sshx

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"seatrial/platforms"
)

// BootID returns the random ID that the guest's kernel gave to this boot.
func (c *Client) BootID(ctx context.Context) (string, error) {
	result, err := c.Run(ctx, platforms.Command{Line: "cat /proc/sys/kernel/random/boot_id"})
	if err == nil {
		err = exitError(result)
	}
	id := strings.TrimSpace(string(result.Stdout))
	if err == nil && id == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return "", fmt.Errorf("read boot ID: %w", err)
	}
	return id, nil
}

// Reboot restarts the guest by systemd and returns a new connection, to a boot
// with another ID and the same host key. The old connection is closed in any
// case. dial and progress are those of WaitReady; ctx is the only deadline.
func (c *Client) Reboot(ctx context.Context, dial DialFunc, progress func(state string)) (*Client, error) {
	defer c.Close()
	before, err := c.BootID(ctx)
	if err != nil {
		return nil, fmt.Errorf("reboot: %w", err)
	}
	result, err := c.Run(ctx, platforms.Command{Line: asRoot(c.cfg.User != "root", "systemctl", "reboot")})
	switch {
	case errors.Is(err, platforms.ErrConnectionLost): // it went faster than its answer
	case err != nil:
		return nil, fmt.Errorf("reboot: %w", err)
	case result.ExitCode != 0 && result.ExitCode < 128: // 128 and up: ended by the shutdown
		return nil, fmt.Errorf("reboot: %w", exitError(result))
	}
	if progress != nil {
		progress("shutting down")
	}
	select {
	case <-c.Done():
	case <-ctx.Done():
		return nil, fmt.Errorf("reboot: guest did not go down: %w", context.Cause(ctx))
	}
	cfg := c.cfg
	cfg.HostKey = c.hostKey
	next, err := waitOtherBoot(ctx, dial, cfg, progress, before)
	if err != nil {
		return nil, fmt.Errorf("reboot: %w", err)
	}
	return next, nil
}

// waitOtherBoot connects to the guest once its boot ID is another one. A guest
// that is going down may still accept logins.
func waitOtherBoot(ctx context.Context, dial DialFunc, cfg Config, progress func(string), before string) (*Client, error) {
	ticker := time.NewTicker(cfg.PollInterval)
	defer ticker.Stop()
	for {
		next, err := WaitReady(ctx, dial, cfg, progress)
		if err != nil {
			return nil, err
		}
		id, err := next.BootID(ctx)
		if err == nil && id != before {
			return next, nil
		}
		next.Close()
		if err == nil {
			err = errors.New("guest still runs the same boot")
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; last seen: %w", context.Cause(ctx), err)
		}
	}
}
