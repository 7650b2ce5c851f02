package expr

import (
	"cmp"
	"strings"
)

// CompareVersions compares the versions of images, which follow no one scheme:
// 3033.2.4, 4012.0.0+nightly-20260101-2100, 12, 38.20230227.20.2, 2.0.0-rc.1.
// It returns -1, 0 or 1.
//
// Versions are runs of digits, compared as numbers of any length, and runs of
// letters, compared as texts; what is between them only separates. A number is
// greater than letters. Missing numbers are 0, so that 12 is 12.0. Where one
// version ends, the other is greater, unless it goes on with "~" or with
// alpha, beta, dev, pre, rc or snapshot: a release comes after what led to it.
// What follows "+" counts like the rest: a nightly build on top of 4012.0.0 is
// greater.
func CompareVersions(a, b string) int {
	as, bs := parts(a), parts(b)
	for i := range max(len(as), len(bs)) {
		if c := compareParts(at(as, i), at(bs, i)); c != 0 {
			return c
		}
	}
	return 0
}

// The ranks of parts: what led to a release, the end, letters, numbers.
const (
	before = iota
	end
	letters
	number
)

type versionPart struct {
	rank int
	text string // of a number without leading zeros
}

func at(ps []versionPart, i int) versionPart {
	if i < len(ps) {
		return ps[i]
	}
	return versionPart{rank: end}
}

func compareParts(a, b versionPart) int {
	byLength := 0
	if a.rank == number {
		byLength = cmp.Compare(len(a.text), len(b.text))
	}
	return cmp.Or(cmp.Compare(a.rank, b.rank), byLength, cmp.Compare(a.text, b.text))
}

// parts cuts a version into its runs. Zeros after which no number comes are left
// out: 12.0 is 12, and 12.0-rc.1 leads to both.
func parts(version string) []versionPart {
	var ps []versionPart
	add := func(p versionPart) {
		for p.rank != number && len(ps) > 0 && ps[len(ps)-1] == (versionPart{rank: number}) {
			ps = ps[:len(ps)-1]
		}
		if p.rank != end {
			ps = append(ps, p)
		}
	}
	for i := 0; i < len(version); {
		kind := classOf(version[i])
		j := i + 1
		for j < len(version) && classOf(version[j]) == kind {
			j++
		}
		text := version[i:j]
		switch {
		case kind == number:
			add(versionPart{number, strings.TrimLeft(text, "0")})
		case kind == letters && leadsTo(text):
			add(versionPart{before, strings.ToLower(text)})
		case kind == letters:
			add(versionPart{letters, text})
		case strings.Contains(text, "~"):
			add(versionPart{rank: before})
		}
		i = j
	}
	add(versionPart{rank: end})
	return ps
}

// leadsTo reports whether a word names what comes before a release.
func leadsTo(word string) bool {
	switch strings.ToLower(word) {
	case "alpha", "beta", "dev", "pre", "rc", "snapshot":
		return true
	}
	return false
}

func classOf(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return number
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80:
		return letters
	default:
		return end
	}
}
