package blame

import "testing"

func TestJudge(t *testing.T) {
	const p, f, m, u = Passes, Fails, Mixed, Unclear
	for _, test := range []struct {
		four FourWay // again, old tests, old image, both old
		want Cause
	}{
		{FourWay{p, p, p, p}, Sporadic},
		{FourWay{p, f, f, f}, Sporadic},
		{FourWay{m, f, p, p}, Sporadic},
		{FourWay{u, p, p, p}, Infra},
		{FourWay{f, f, p, p}, Product},
		{FourWay{f, f, p, f}, Product},
		{FourWay{f, m, p, u}, Product},
		{FourWay{f, p, f, p}, Test},
		{FourWay{f, p, m, u}, Test},
		{FourWay{f, f, f, f}, Infra},
		{FourWay{f, m, m, m}, Infra},
		{FourWay{f, f, f, p}, Unknown},
		{FourWay{f, p, p, p}, Unknown},
		{FourWay{f, u, p, p}, Unknown},
		{FourWay{f, f, u, p}, Unknown},
		{FourWay{f, f, f, u}, Unknown},
	} {
		if got, why := Judge(test.four); got != test.want || why == "" {
			t.Errorf("%v: %s (%s), want %s", test.four, got, why, test.want)
		}
	}
}

func TestCell(t *testing.T) {
	failed := map[string]int{"x": 1}
	for _, test := range []struct {
		tally Tally
		want  Cell
	}{
		{Tally{}, Unclear},
		{Tally{Errors: 3}, Unclear},
		{Tally{Skipped: 1}, Unclear},
		{Tally{Passed: 1, Errors: 2}, Passes},
		{Tally{Failed: failed, Errors: 1}, Fails},
		{Tally{Failed: failed, Passed: 1}, Mixed},
	} {
		if got := test.tally.Cell(); got != test.want {
			t.Errorf("%+v: %s, want %s", test.tally, got, test.want)
		}
	}
}
