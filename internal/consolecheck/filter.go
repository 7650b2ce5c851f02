package consolecheck

// gramSize is the length of the substrings that a filter looks for.
const gramSize = 4

// filter says quickly of a line that no literal is in it: it knows the first
// bytes of each, by a hash. Nearly all lines of a console end here.
type filter [1 << 16]bool

func newFilter(literals []string) *filter {
	f := new(filter)
	for _, l := range literals {
		var gram uint32
		for i := range gramSize {
			gram = gram<<8 | uint32(l[i])
		}
		f[hash(gram)] = true
	}
	return f
}

// may says whether the line may contain a literal.
func (f *filter) may(line []byte) bool {
	var gram uint32
	for _, b := range line {
		gram = gram<<8 | uint32(b)
		if f[hash(gram)] {
			return true
		}
	}
	return false
}

// hash spreads a gram over the filter, by Knuth's multiplicative method.
func hash(gram uint32) uint16 { return uint16(gram * 2654435761 >> 16) }
