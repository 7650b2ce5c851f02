package rollup

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"path"
	"strconv"
	"strings"

	"seatrial/harness/event"
)

// Places knows the places of a run. Platform and architecture name a place;
// accel and image are added only where the run has several of them on the same
// platform and architecture, so that names stay the same from run to run.
type Places struct {
	accels, images map[platformArch]map[string]bool
}

type platformArch struct{ platform, arch string }

// NewPlaces returns the places of the cells of a run.
func NewPlaces(cells iter.Seq[event.Cell]) Places {
	p := Places{
		accels: make(map[platformArch]map[string]bool),
		images: make(map[platformArch]map[string]bool),
	}
	for c := range cells {
		key := platformArch{c.Platform, c.Arch}
		if p.accels[key] == nil {
			p.accels[key] = make(map[string]bool)
			p.images[key] = make(map[string]bool)
		}
		p.accels[key][c.Accel] = true
		p.images[key][c.Image] = true
	}
	return p
}

// Variant is what tells the cell's place from others of its platform and
// architecture: accel, image, both joined by a dash, or mostly "".
func (p Places) Variant(c event.Cell) string {
	key := platformArch{c.Platform, c.Arch}
	var parts []string
	if len(p.accels[key]) > 1 && c.Accel != "" {
		parts = append(parts, c.Accel)
	}
	if len(p.images[key]) > 1 {
		parts = append(parts, c.Image)
	}
	return strings.Join(parts, "-")
}

// ArtifactDir is the directory of attempt n of a cell relative to the run
// directory, with slashes; the machines' directories are in it. Tests and
// places of a run each have their own.
func (p Places) ArtifactDir(c event.Cell, n int) string {
	place := c.Platform + "-" + c.Arch
	if v := p.Variant(c); v != "" {
		place += "-" + v
	}
	return path.Join("artifacts", SafeName(place), SafeName(c.Test), strconv.Itoa(n))
}

// maxFileName bounds the names of files; file systems take 255 bytes.
const maxFileName = 200

// SafeName turns a name into one that is fit for a file and a URL path, and
// does so that different names stay different: bytes outside of
// [A-Za-z0-9._+-] and a leading dot become ~XX, and the end of a very long
// name becomes a digest.
func SafeName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '_', c == '+', c == '-', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "~%02X", c)
		}
	}
	safe := b.String()
	if safe == "" {
		return "~"
	}
	if len(safe) > maxFileName {
		sum := sha256.Sum256([]byte(name))
		safe = safe[:maxFileName-33] + "~" + hex.EncodeToString(sum[:16])
	}
	return safe
}
