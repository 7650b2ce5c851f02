package blame

// Cell is how a test fared in one of the runs of an investigation.
type Cell string

// The cells. Unclear stands for errors, skips, and a test that is not there.
const (
	Passes  Cell = "passes"
	Fails   Cell = "fails"
	Mixed   Cell = "mixed"
	Unclear Cell = "unclear"
)

// Cell sums a tally up.
func (t Tally) Cell() Cell {
	failed := t.Total() - t.Passed - t.Errors - t.Skipped
	switch {
	case failed > 0 && t.Passed > 0:
		return Mixed
	case failed > 0:
		return Fails
	case t.Passed > 0:
		return Passes
	default:
		return Unclear
	}
}

// FourWay has the cells of the four runs of an investigation, after openQA's
// openqa-investigate: the failure again, with the old tests, on the old image,
// and with both.
type FourWay struct {
	Again, OldTests, OldImage, OldBoth Cell
}

// Cause is what an investigation blames.
type Cause string

// The causes. Unknown means that the four runs do not tell.
const (
	Product  Cause = "product"
	Test     Cause = "test"
	Infra    Cause = "infra"
	Sporadic Cause = "sporadic"
	Unknown  Cause = "unknown"
)

// Judge says what the four runs blame, and why. A mixed cell of an old run
// counts as a failure: what changed did not bring it.
func Judge(f FourWay) (Cause, string) {
	passes := func(c Cell) bool { return c == Passes }
	fails := func(c Cell) bool { return c == Fails || c == Mixed }
	switch {
	case f.Again == Unclear:
		return Infra, "the same run again tells neither pass nor fail"
	case f.Again != Fails:
		return Sporadic, "the same run again passes, at least at times"
	case passes(f.OldImage) && fails(f.OldTests):
		return Product, "it passes on the old image, and fails on the new one with old and new tests"
	case passes(f.OldTests) && fails(f.OldImage):
		return Test, "the old test passes, and the new one fails on the old and the new image"
	case fails(f.OldTests) && fails(f.OldImage) && fails(f.OldBoth):
		return Infra, "the old test fails on the old image, where it once passed: something around them changed"
	case fails(f.OldTests) && fails(f.OldImage) && passes(f.OldBoth):
		return Unknown, "image and test both broke: neither of the old ones alone passes, and both together do"
	case passes(f.OldTests) && passes(f.OldImage):
		return Unknown, "only the new test on the new image fails: the test asks for something that the image lost, or never promised"
	}
	return Unknown, "a run that would tell them apart did not end in pass or fail"
}
