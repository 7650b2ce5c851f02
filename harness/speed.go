package harness

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kballard/go-shellquote"

	"seatrial/platforms"
)

// speed is a measured slowness with the time of its measurement.
type speed struct {
	Slowness float64   `json:"slowness"`
	Measured time.Time `json:"measured"`
}

// speedAge is for how long a measurement counts. On a busy host guests are
// measured to be slow, and a host does not stay busy.
const speedAge = 15 * time.Minute

// LoadSpeed returns the slowness of a platform's guests on this host, if it was
// measured in the last days.
func (c FactsCache) LoadSpeed(caps platforms.Capabilities) (float64, bool) {
	var s speed
	data, err := os.ReadFile(c.speedPath(caps))
	if err != nil || c.Host == "" || json.Unmarshal(data, &s) != nil || s.Slowness < 1 || s.Slowness > maxSlowness {
		return 0, false
	}
	age := time.Since(s.Measured)
	return s.Slowness, age >= 0 && age < speedAge
}

// SaveSpeed keeps the slowness of a platform's guests on this host.
func (c FactsCache) SaveSpeed(caps platforms.Capabilities, slowness float64) error {
	if c.Host == "" {
		return nil
	}
	return c.save(c.speedPath(caps), speed{slowness, time.Now().UTC()})
}

// speedPath depends on all that makes a guest slow or fast.
func (c FactsCache) speedPath(caps platforms.Capabilities) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{c.Host, caps.Platform, caps.Arch, caps.Accel, caps.Image.Digest, slownessScript}, "\n")))
	return filepath.Join(c.Dir, fmt.Sprintf("speed-%x.json", sum[:16]))
}

// slownessScript takes a fixed amount of CPU time: it compresses 16 MiB of
// zeros, which no architecture has instructions for. `times` prints the CPU
// time of the shell and, on the second line, that of its children.
const slownessScript = `head -c 16777216 /dev/zero | gzip -1 >/dev/null; times`

// slownessReference is the CPU time of slownessScript in seconds on the
// reference machine: 0.115 to 0.118 were measured on a core of a Xeon at 2.1 GHz
// without emulation.
const slownessReference = 0.12

// maxSlowness bounds the factor, so that a busy host does not turn minutes into
// hours: emulated guests on an idle host were seen at 10 to 25.
const maxSlowness = 30

// measureSlowness returns the guest's CPU time for a fixed piece of work as a
// multiple of the reference, between 1 and maxSlowness.
func measureSlowness(ctx context.Context, m platforms.Machine) (float64, error) {
	res, err := m.Exec(ctx, platforms.Command{Line: "sh -c " + shellquote.Join(slownessScript)})
	if err != nil {
		return 0, fmt.Errorf("measure the guest's speed: %w", err)
	}
	seconds, err := parseTimes(string(res.Stdout))
	if err != nil {
		return 0, fmt.Errorf("measure the guest's speed: %w", err)
	}
	return min(max(1, seconds/slownessReference), maxSlowness), nil
}

// parseTimes adds up the output of the shell's builtin `times`: four fields
// such as "0m1.250s".
func parseTimes(s string) (float64, error) {
	fields := strings.Fields(s)
	if len(fields) != 4 {
		return 0, fmt.Errorf("times printed %q", s)
	}
	var sum float64
	for _, f := range fields {
		minutes, seconds, ok := strings.Cut(strings.TrimSuffix(f, "s"), "m")
		m, err := strconv.ParseFloat(minutes, 64)
		s, err2 := strconv.ParseFloat(strings.Replace(seconds, ",", ".", 1), 64)
		if !ok || err != nil || err2 != nil {
			return 0, fmt.Errorf("times printed %q", f)
		}
		sum += m*60 + s
	}
	return sum, nil
}
