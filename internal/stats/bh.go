package stats

import (
	"cmp"
	"fmt"
	"slices"
)

// BenjaminiHochberg returns the adjusted p-values (often called q-values) of a
// family of tests, in the order of p: rejecting those up to q keeps the
// expected share of false rejections at or below q.
//
// With the p-values in ascending order p(1) to p(m), the adjusted value of the
// i-th is the least of p(j)*m/j over j >= i, at most 1 (Y. Benjamini and
// Y. Hochberg, "Controlling the False Discovery Rate", J. R. Statist. Soc. B
// 57, 1995, pp. 289-300; adjusted values as in R's p.adjust). A p-value
// outside of 0 to 1 is an error.
func BenjaminiHochberg(p []float64) ([]float64, error) {
	order := make([]int, len(p))
	for i, v := range p {
		if !(v >= 0 && v <= 1) {
			return nil, fmt.Errorf("adjust p-values: number %d is %g, not between 0 and 1", i+1, v)
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	adjusted := make([]float64, len(p))
	least := 1.0
	for rank := len(p); rank > 0; rank-- {
		i := order[rank-1]
		least = min(least, p[i]*float64(len(p))/float64(rank))
		adjusted[i] = least
	}
	return adjusted, nil
}
