package stats

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// near reports whether got is want up to a relative difference.
func near(got, want, tolerance float64) bool {
	return got == want || math.Abs(got-want) <= tolerance*math.Abs(want)
}

// Published values with as many digits as their sources give; exact fractions
// stand for those that are printed rounded.
func TestFisherPublished(t *testing.T) {
	tests := []struct {
		source string
		table  Table
		kind   string
		want   float64
		digits float64 // half a unit of the last published digit
	}{
		{"R 4, ?fisher.test, tea tasting (Agresti 1990, p. 61): p-value = 0.2429, 17/70", Table{3, 1, 1, 3}, "greater", 17.0 / 70, 1e-12},
		{"the same, two-sided: p-value = 0.4857, 34/70", Table{3, 1, 1, 3}, "two-sided", 34.0 / 70, 1e-12},
		{"R 4, ?fisher.test, convictions of twins (Fisher 1962): p-value = 0.0004652", Table{2, 10, 15, 3}, "less", 0.0004652, 5e-8},
		{"the same with more digits, R 4: 0.0004651809", Table{2, 10, 15, 3}, "less", 0.0004651809, 5e-11},
		{"the same, two-sided, R 4: 0.0005367241", Table{2, 10, 15, 3}, "two-sided", 0.0005367241, 5e-11},
		{"Wikipedia, Fisher's exact test, dieters, one-tailed: 0.001379728", Table{1, 9, 11, 3}, "less", 0.001379728, 5e-10},
		{"the same, two-tailed: 0.002759456", Table{1, 9, 11, 3}, "two-sided", 0.002759456, 5e-10},
		{"SciPy 1.0 reference, fisher_exact, whales: 0.0349650349650", Table{8, 2, 1, 5}, "two-sided", 5.0 / 143, 1e-12},
	}
	for _, tt := range tests {
		t.Run(tt.source, func(t *testing.T) {
			f, err := FisherExact(tt.table)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]float64{"less": f.Less, "greater": f.Greater, "two-sided": f.TwoSided}[tt.kind]
			if math.Abs(got-tt.want) > tt.digits {
				t.Errorf("%s: got %.13g, want %.13g", tt.kind, got, tt.want)
			}
		})
	}
}

// exactFisher computes the test with rational numbers, from binomials.
func exactFisher(t Table) Fisher {
	row, col, total := int64(t.A+t.B), int64(t.A+t.C), int64(t.A+t.B+t.C+t.D)
	all := new(big.Int).Binomial(total, col)
	weight := func(a int64) *big.Int {
		w := new(big.Int).Binomial(row, a)
		return w.Mul(w, new(big.Int).Binomial(total-row, col-a))
	}
	observed := weight(int64(t.A))
	less, greater, both := new(big.Int), new(big.Int), new(big.Int)
	for a := max(0, row+col-total); a <= min(row, col); a++ {
		w := weight(a)
		if a <= int64(t.A) {
			less.Add(less, w)
		}
		if a >= int64(t.A) {
			greater.Add(greater, w)
		}
		if w.Cmp(observed) <= 0 {
			both.Add(both, w)
		}
	}
	share := func(n *big.Int) float64 {
		f, _ := new(big.Rat).SetFrac(n, all).Float64()
		return f
	}
	return Fisher{share(less), share(greater), share(both)}
}

func TestFisherExactArithmetic(t *testing.T) {
	check := func(table Table, tolerance float64) {
		t.Helper()
		got, err := FisherExact(table)
		if err != nil {
			t.Fatal(err)
		}
		want := exactFisher(table)
		if !near(got.Less, want.Less, tolerance) || !near(got.Greater, want.Greater, tolerance) || !near(got.TwoSided, want.TwoSided, tolerance) {
			t.Fatalf("%v: got %+v, want %+v", table, got, want)
		}
	}
	for i := range 6 * 6 * 6 * 6 { // every small table, those without variation too
		check(Table{i % 6, i / 6 % 6, i / 36 % 6, i / 216}, 1e-12)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		check(Table{r.IntN(120), r.IntN(120), r.IntN(120), r.IntN(120)}, 1e-12)
	}
	check(Table{0, 2000, 1000, 1000}, 1e-12) // 1e-300 and less
	check(Table{40, 3000, 2, 2800}, 1e-12)
}

// With counts of a million there is no exact arithmetic to compare with, but a
// logarithm of the observed table's probability, good to about 1e-8.
func TestFisherLargeCounts(t *testing.T) {
	lchoose := func(n, k int) float64 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(n - k + 1))
		return a - b - c
	}
	for _, table := range []Table{{500_000, 499_000, 498_000, 501_000}, {1_000_000, 1_000_000, 1_000_000, 1_000_000}, {3, 999_997, 20, 999_980}} {
		f, err := FisherExact(table)
		if err != nil {
			t.Fatal(err)
		}
		n := table.A + table.B + table.C + table.D
		observed := math.Exp(lchoose(table.A+table.B, table.A) + lchoose(table.C+table.D, table.C) - lchoose(n, table.A+table.C))
		if !near(f.Less+f.Greater-1, observed, 1e-6) {
			t.Errorf("%v: tails overlap by %g, want the table's probability %g", table, f.Less+f.Greater-1, observed)
		}
		swapped, err := FisherExact(Table{table.C, table.D, table.A, table.B})
		if err != nil {
			t.Fatal(err)
		}
		if !near(swapped.Less, f.Greater, 1e-11) || !near(swapped.TwoSided, f.TwoSided, 1e-11) {
			t.Errorf("%v: exchanging the rows gives %+v, not the mirror of %+v", table, swapped, f)
		}
	}
}

func TestFisherRefuses(t *testing.T) {
	for _, table := range []Table{{-1, 0, 0, 0}, {0, 0, 0, MaxCount + 1}} {
		if _, err := FisherExact(table); err == nil {
			t.Errorf("%v: no error", table)
		}
	}
}

func BenchmarkFisherMillions(b *testing.B) {
	for b.Loop() {
		if _, err := FisherExact(Table{500_000, 499_000, 498_000, 501_000}); err != nil {
			b.Fatal(err)
		}
	}
}
