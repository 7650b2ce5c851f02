// Package mounts reads what a machine has mounted.
package mounts

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Command prints the table that Parse reads.
const Command = "cat /proc/self/mounts"

// Mount is a line of /proc/self/mounts, whose fields fstab(5) explains.
type Mount struct {
	Point   string
	FSType  string
	Options []string
}

// Has tells whether m is mounted with the option.
func (m Mount) Has(option string) bool { return slices.Contains(m.Options, option) }

// Parse returns the mounts in the order in which they were made, and leaves out
// lines that are not of the format.
func Parse(table string) []Mount {
	var mounts []Mount
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) >= 4 {
			mounts = append(mounts, Mount{Point: unescape(f[1]), FSType: f[2], Options: strings.Split(f[3], ",")})
		}
	}
	return mounts
}

// ByPoint returns the mounts by their mount points: of several at one point, the
// last, which hides the others.
func ByPoint(table string) map[string]Mount {
	mounts := map[string]Mount{}
	for _, m := range Parse(table) {
		mounts[m.Point] = m
	}
	return mounts
}

var octal = regexp.MustCompile(`\\[0-7]{3}`)

// unescape replaces the three octal digits after a backslash that the kernel
// writes for white space and backslashes.
func unescape(s string) string {
	return octal.ReplaceAllStringFunc(s, func(esc string) string {
		code, err := strconv.ParseUint(esc[1:], 8, 8)
		if err != nil {
			return esc
		}
		return string([]byte{byte(code)})
	})
}
