package harness

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"seatrial/internal/consolecheck"
	"seatrial/platforms"
)

// target is a platform with what is known of the guests that it boots.
type target struct {
	platform platforms.Platform
	caps     platforms.Capabilities
	forker   platforms.Forker // nil where machines are not forked
	cache    FactsCache
	log      *slog.Logger

	asking sync.Mutex // held while a guest is asked
	mu     sync.Mutex
	known  Facts   // Has is nil until the facts are known
	factor float64 // 0 until the slowness is measured
	// hopeless says, by template, why machines cannot be forked in this run.
	hopeless map[string]error
	checks   map[string]*consolecheck.Check // by what they check, and who is exempt
}

func newTarget(p platforms.Platform, cache FactsCache, log *slog.Logger) *target {
	t := &target{platform: p, caps: p.Capabilities(), cache: cache, log: log, hopeless: map[string]error{}, checks: map[string]*consolecheck.Check{}}
	if t.caps.Has[platforms.Fork] {
		t.forker, _ = p.(platforms.Forker)
	}
	if f, ok := cache.Load(t.caps.Image.Digest); ok {
		t.known = f
	}
	if factor, ok := cache.LoadSpeed(t.caps); ok {
		t.factor = factor
	}
	return t
}

// facts returns what is known of the image; Has is nil when nothing is.
func (t *target) facts() Facts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known
}

// slowness is the measured slowness of the guests, or a guess before there was
// one to measure.
func (t *target) slowness() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.factor > 0:
		return t.factor
	case t.caps.Accel == "tcg":
		return bootSlowness
	}
	return 1
}

// know asks the first guest of a target for the image's facts and measures its
// speed; later guests get the answers.
func (t *target) know(ctx context.Context, g *guest) (Facts, float64, error) {
	t.asking.Lock()
	defer t.asking.Unlock()
	if t.facts().Has == nil {
		if err := t.learn(ctx, g.m); err != nil {
			return Facts{}, 0, err
		}
	}
	if !t.measured() {
		factor, err := measureSlowness(ctx, g.m)
		if err != nil {
			return Facts{}, 0, err
		}
		t.mu.Lock()
		t.factor = factor
		t.mu.Unlock()
		if err := t.cache.SaveSpeed(t.caps, factor); err != nil {
			t.log.Warn("the guest's speed is not kept", "err", err)
		}
	}
	return t.facts(), t.slowness(), nil
}

func (t *target) measured() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.factor > 0
}

// learn probes the image and keeps what it has found out.
func (t *target) learn(ctx context.Context, m platforms.Machine) error {
	f, err := probe(ctx, m)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.known = f
	t.mu.Unlock()
	if err := t.cache.Save(t.caps.Image.Digest, f); err != nil {
		t.log.Warn("facts of the image are not kept", "err", err)
	}
	return nil
}

// check is what consoles or journals are examined by.
func (t *target) check(source string, exempt []string) *consolecheck.Check {
	key := strings.Join(slices.Concat([]string{source}, exempt), "\n")
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.checks[key] == nil {
		t.checks[key] = consolecheck.New(consolecheck.Config{Accel: t.caps.Accel, Source: source, Exempt: exempt})
	}
	return t.checks[key]
}
