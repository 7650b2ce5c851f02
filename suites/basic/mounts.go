package basic

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mount is a line of /proc/self/mounts.
type mount struct {
	fstype  string
	options []string
}

func (m mount) has(option string) bool { return slices.Contains(m.options, option) }

// parseMounts reads /proc/self/mounts, in the format of fstab(5), and returns
// the mounts by their mount points: of several at one point, the last, which
// hides the others.
func parseMounts(table string) map[string]mount {
	mounts := map[string]mount{}
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) >= 4 {
			mounts[unescapeMount(f[1])] = mount{fstype: f[2], options: strings.Split(f[3], ",")}
		}
	}
	return mounts
}

// unescapeMount replaces the three octal digits after a backslash that the
// kernel writes for white space and backslashes.
func unescapeMount(s string) string {
	return regexp.MustCompile(`\\[0-7]{3}`).ReplaceAllStringFunc(s, func(esc string) string {
		code, err := strconv.ParseUint(esc[1:], 8, 8)
		if err != nil {
			return esc
		}
		return string(rune(code))
	})
}
