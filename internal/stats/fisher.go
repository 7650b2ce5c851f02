package stats

import (
	"fmt"
	"math"
)

// MaxCount is the largest count that a table's cell may hold.
const MaxCount = 1_000_000_000

// Table is a 2x2 table of counts:
//
//	A  B
//	C  D
//
// Rows are two groups, columns are two outcomes.
type Table struct{ A, B, C, D int }

// Fisher is the result of Fisher's exact test. A probability below about
// 1e-308 is 0.
type Fisher struct {
	// Less is the probability, under equal odds in both rows, of an A as small
	// as the observed one or smaller: R's alternative="less".
	Less float64
	// Greater is that of an A as large or larger: alternative="greater".
	Greater float64
	// TwoSided is that of all tables no more likely than the observed one.
	TwoSided float64
}

// tie is the relative difference up to which two tables count as equally
// likely, as in R's fisher.test; it is far above rounding errors and far below
// the difference between unlike tables.
const tie = 1 + 1e-7

// FisherExact tests whether the rows of a table have the same odds, given its
// margins (R. A. Fisher, "The Design of Experiments", 1935, chapter II; the
// two-sided form is the one of R's fisher.test).
//
// Under equal odds A is hypergeometric. Its weights are computed outwards from
// the mode, each as a ratio of its neighbor, and divided by their sum. Unlike
// differences of log-gammas, which cancel, this keeps the relative error
// near 1e-13 with counts in the millions; terms are summed until they vanish,
// some 80 standard deviations at most. A table without variation (an empty row
// or column) has probability 1. Counts below 0 or above MaxCount are an error.
func FisherExact(t Table) (Fisher, error) {
	for _, n := range [...]int{t.A, t.B, t.C, t.D} {
		if n < 0 || n > MaxCount {
			return Fisher{}, fmt.Errorf("test a 2x2 table: count %d is not between 0 and %d", n, MaxCount)
		}
	}
	h := hypergeometric{
		row: float64(t.A) + float64(t.B), col: float64(t.A) + float64(t.C),
		total: float64(t.A) + float64(t.B) + float64(t.C) + float64(t.D),
	}
	observed := float64(t.A)
	limit := h.weight(observed) * tie
	var all, less, greater, both float64
	h.each(func(a, w float64) {
		all += w
		if a <= observed {
			less += w
		}
		if a >= observed {
			greater += w
		}
		if w <= limit {
			both += w
		}
	})
	return Fisher{Less: less / all, Greater: greater / all, TwoSided: both / all}, nil
}

// hypergeometric is the distribution of a table's cell A under fixed margins:
// the sums of its row and of its column, and the total.
type hypergeometric struct{ row, col, total float64 }

// mode is the likeliest value; its weight is 1 by definition.
func (h hypergeometric) mode() float64 {
	m := math.Floor((h.row + 1) * (h.col + 1) / (h.total + 2))
	return min(max(m, h.low()), h.high())
}

func (h hypergeometric) low() float64  { return max(0, h.row+h.col-h.total) }
func (h hypergeometric) high() float64 { return min(h.row, h.col) }

// up is the ratio of the weight of a+1 to that of a.
func (h hypergeometric) up(a float64) float64 {
	return (h.row - a) / (a + 1) * ((h.col - a) / (h.total - h.row - h.col + a + 1))
}

// vanishing is the weight from which on values are left out: below it floating
// point loses digits, and a product may never come to 0.
const vanishing = 0x1p-1022

// each calls f for each value whose weight has not vanished: from the mode
// upwards, then from below the mode downwards.
func (h hypergeometric) each(f func(a, w float64)) {
	mode, w := h.mode(), 1.0
	for a := mode; a <= h.high() && w >= vanishing; a++ {
		f(a, w)
		w *= h.up(a)
	}
	w = 1
	for a := mode - 1; a >= h.low(); a-- {
		if w /= h.up(a); w < vanishing {
			return
		}
		f(a, w)
	}
}

// weight is that of one value; the same steps as in each, so that ties with
// itself are exact.
func (h hypergeometric) weight(value float64) float64 {
	var found float64
	h.each(func(a, w float64) {
		if a == value {
			found = w
		}
	})
	return found
}
