package triage

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
)

// Version is that of the algorithm that makes keys. It stands in each key, so
// that keys of different versions never meet by accident; it grows with any
// change to [Sign] or to the masks.
const Version = 1

// masked is the pattern of LUCI's failure-reason clustering, version 6
// (analysis/internal/clustering/algorithms/failurereason): base64, runs of
// hexadecimal digits, and numbers. Names given by rename are kept.
var masked = regexp.MustCompile(`UNIQ[0-9]+|[/+0-9a-zA-Z]{10,}=+|[\-0-9a-fA-F \t]{16,}|[0-9a-fA-Fx]{8,}|[0-9]+`)

// mask replaces with "%" what LUCI takes for accidental.
func mask(text string) string {
	return masked.ReplaceAllStringFunc(text, func(token string) string {
		if strings.HasPrefix(token, "UNIQ") {
			return token
		}
		return "%"
	})
}

// exactKey returns the key of a signature: "v1/<area>/<32 hex digits>". As in
// LUCI the digest is the first 16 bytes of a SHA-256. Titles are not masked:
// they have no noise left, and the numbers in them are parts of names (ext4).
func exactKey(s Signature) string {
	text := s.Text
	if s.Kind != Oops {
		text = mask(text)
	}
	digest := sha256.Sum256([]byte(text))
	return fmt.Sprintf("v%d/%s/%x", Version, area(s), digest[:16])
}

// area is what signatures must share to be compared at all: the class, or one
// area for all oopses, as it does not matter during what a kernel died.
func area(s Signature) string {
	switch {
	case s.Kind == Oops:
		return string(Oops)
	case s.Class == "":
		return "assertion"
	default:
		return string(s.Class)
	}
}

// idOf makes the id of a new cluster from the key of its largest part.
func idOf(key string) string {
	digest := sha256.Sum256([]byte(key))
	return fmt.Sprintf("%x", digest[:8])
}
