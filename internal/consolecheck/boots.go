package consolecheck

import "regexp"

// stage is how far a boot has come, by what was printed.
type stage int

const (
	unknown stage = iota
	firmware
	kernel
)

// marker is a line that tells where in a boot the text is.
type marker struct {
	literal string
	pattern *regexp.Regexp
	stage   stage
	// once markers appear once in a boot: at the same stage as before they
	// begin a new one.
	once bool
}

// markers returns those of a source.
func markers(source string) []marker {
	linux := marker{"Linux version ", regexp.MustCompile(`^Linux version \d`), kernel, true}
	if source == Journal {
		return []marker{linux, {"-- Boot ", regexp.MustCompile(`^-- Boot [0-9a-f]{32} --`), firmware, true}}
	}
	return []marker{
		linux,
		{"SeaBIOS (version", regexp.MustCompile(`^SeaBIOS \(version`), firmware, true},
		{"UEFI firmware (version", regexp.MustCompile(`^UEFI firmware \(version`), firmware, true},
		{"BdsDxe: ", regexp.MustCompile(`^BdsDxe: (?:loading|starting) Boot`), firmware, false},
		{"EFI stub: ", regexp.MustCompile(`^EFI stub: Booting`), firmware, false},
		{"GRUB", regexp.MustCompile(`^(?:GRUB loading|Welcome to GRUB|\s*GNU GRUB )`), firmware, false},
	}
}

// boots counts the boots of a text.
type boots struct {
	n       int
	stage   stage
	markers []marker
}

// see looks at a message and says whether a new boot begins with it.
func (b *boots) see(text string) bool {
	for _, m := range b.markers {
		if !containsAny(text, []string{m.literal}) || !m.pattern.MatchString(text) {
			continue
		}
		again := b.stage == kernel && m.stage == firmware || b.stage == m.stage && m.once
		b.stage = m.stage
		if again {
			b.n++
		}
		return again
	}
	return false
}
