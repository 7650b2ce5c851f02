package triage

import "hash/crc32"

// The filter on n-grams, after Kubernetes' triage/summarize. With its 64
// buckets texts of some hundred bytes that share nothing look alike.
const (
	gramSize = 4
	buckets  = 512
)

// grams counts the n-grams of a text by the low bits of their CRC-32.
type grams [buckets]int16

func gramsOf(text string) *grams {
	var g grams
	for i := range max(0, len(text)-gramSize+1) {
		g[crc32.ChecksumIEEE([]byte(text[i:i+gramSize]))%buckets]++
	}
	return &g
}

// atLeast returns a lower bound of the edit distance of two texts. An edit
// removes at most four n-grams and adds at most four. Kubernetes divides by
// four, which is no bound, and misses some of the texts that its limit allows.
func (g *grams) atLeast(o *grams) int {
	sum := 0
	for i, n := range g {
		sum += max(int(n-o[i]), int(o[i]-n))
	}
	return sum / (2 * gramSize)
}

// distance returns the edit distance (insert, delete, replace a byte) of two
// texts, or limit+1 if it is more than limit.
//
// It follows Ukkonen (Information and Control 64, 1985) as improved by Berghel
// and Roach (ACM TOIS 14, 1996): for each number of edits it keeps how far each
// diagonal can come, so that like texts cost their length times the distance.
func distance(a, b string, limit int) int {
	last := len(a) - len(b) // the diagonal on which both texts end
	if last > limit || -last > limit {
		return limit + 1
	}
	// reach[k+limit+1] is the furthest row of a on diagonal k = row - column.
	const nowhere = -2
	reach, next := make([]int, 2*limit+3), make([]int, 2*limit+3)
	for i := range reach {
		reach[i], next[i] = nowhere, nowhere
	}
	for edits := 0; edits <= limit; edits++ {
		for k := -edits; k <= edits; k++ {
			i := k + limit + 1
			row := max(reach[i]+1, reach[i-1]+1, reach[i+1])
			if edits == 0 {
				row = 0
			}
			row = min(row, len(a), len(b)+k)
			for row >= 0 && row < len(a) && row-k >= 0 && row-k < len(b) && a[row] == b[row-k] {
				row++
			}
			next[i] = row
		}
		if next[last+limit+1] == len(a) {
			return edits
		}
		reach, next = next, reach
	}
	return limit + 1
}

// alike reports whether two texts differ by less than a tenth of their mean
// length.
func alike(a, b string) bool {
	limit := likeness(a, b)
	return a == b || limit > 1 && distance(a, b, limit-1) < limit
}

// likeness is the number of edits from which on two texts are not alike.
func likeness(a, b string) int { return (len(a) + len(b)) / 20 }
