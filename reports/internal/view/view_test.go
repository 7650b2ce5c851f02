package view

import (
	"slices"
	"testing"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
)

func TestSeconds(t *testing.T) {
	for s, want := range map[float64]string{
		0: "0.0s", 0.04: "0.0s", 12.345: "12.3s", 59.94: "59.9s", 59.96: "1m00s", 192: "3m12s", 3599.4: "59m59s", 3599.6: "1h00m", 7320: "2h02m",
	} {
		if got := Seconds(s); got != want {
			t.Errorf("Seconds(%g) = %s, want %s", s, got, want)
		}
	}
}

func TestFirstLine(t *testing.T) {
	tests := []struct {
		in    string
		limit int
		want  string
	}{
		{"one", 10, "one"}, {"one\ntwo", 10, "one…"}, {" \n one\n", 10, "one"}, {"äöüäöü", 4, "äöü…"}, {"four\nx", 4, "four"}, {"", 4, ""},
	}
	for _, tt := range tests {
		if got := FirstLine(tt.in, tt.limit); got != tt.want {
			t.Errorf("FirstLine(%q, %d) = %q, want %q", tt.in, tt.limit, got, tt.want)
		}
	}
}

func TestLastLines(t *testing.T) {
	if got := LastLines("a\nb\nc", 2); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("got %q", got)
	}
	if got := LastLines("", 2); got != nil {
		t.Errorf("got %q", got)
	}
}

func TestDeciding(t *testing.T) {
	attempts := []rollup.Attempt{
		{N: 1, Outcome: event.Error, Cut: true}, {N: 2, Outcome: event.Fail}, {N: 3, Outcome: event.Error}, {N: 4, Outcome: event.Pass}, {N: 5},
	}
	tests := []struct {
		verdict rollup.Verdict
		outcome event.Outcome
		first   int // how many of the attempts there are
		want    int
	}{
		{rollup.Flaky, event.Pass, 4, 3}, {rollup.Fail, event.Fail, 3, 2}, {rollup.Error, event.Error, 3, 3},
		{rollup.Missing, "", 5, 5}, {rollup.Missing, "", 0, 0}, {rollup.Skip, event.Skip, 0, 0}, {rollup.Pass, event.Pass, 4, 4},
	}
	for _, tt := range tests {
		a := Deciding(rollup.Row{Verdict: tt.verdict, Outcome: tt.outcome, Attempts: attempts[:tt.first]})
		got := 0
		if a != nil {
			got = a.N
		}
		if got != tt.want {
			t.Errorf("%s of %d attempts: attempt %d, want %d", tt.verdict, tt.first, got, tt.want)
		}
	}
}

// TestSymbols sees that every verdict has a sign of its own.
func TestSymbols(t *testing.T) {
	seen := make(map[string]rollup.Verdict)
	for _, v := range rollup.Verdicts() {
		s := Symbol(v)
		if other, taken := seen[s]; taken || s == "" {
			t.Errorf("%s has the sign %q, as has %s", v, s, other)
		}
		seen[s] = v
	}
}

func TestSkips(t *testing.T) {
	r := rollup.Result{Results: []rollup.Row{
		{Test: "a", Verdict: rollup.Skip, Message: "no tpm"}, {Test: "b", Verdict: rollup.Skip},
		{Test: "c", Verdict: rollup.Pass, Message: "no gpu"}, {Test: "d", Verdict: rollup.Skip, Message: "no gpu"}, {Test: "e", Verdict: rollup.Skip, Message: "no gpu"},
	}}
	got := ""
	for _, g := range Skips(r) {
		got += g.Reason + ":"
		for _, row := range g.Rows {
			got += " " + row.Test
		}
		got += "; "
	}
	if want := "no gpu: d e; no tpm: a; no reason given: b; "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
