package basic

import (
	"maps"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// faultCase is a row of a table for a function that finds faults: want holds a
// part of each fault, in their order.
type faultCase struct {
	name string
	got  answers
	want []string
}

func checkFaults(t *testing.T, faults func(answers) []string, cases []faultCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Helper()
			wantFaults(t, faults(c.got), c.want...)
		})
	}
}

// wantFaults wants each fault to contain the words at its place.
func wantFaults(t *testing.T, got []string, want ...string) {
	t.Helper()
	matches := len(got) == len(want)
	for i := 0; matches && i < len(got); i++ {
		matches = strings.Contains(got[i], want[i])
	}
	if !matches {
		t.Errorf("faults are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// said is the answer of a script that succeeded.
func said(out string) answer { return answer{out: out} }

// failed is the answer of a script that exited with a status other than 0.
func failed(status int, out string) answer { return answer{out, status} }

// with returns a copy of the answers with one in another's place.
func (a answers) with(name string, replaced answer) answers {
	out := maps.Clone(a)
	out[name] = replaced
	return out
}

func TestAskScriptRoundTrip(t *testing.T) {
	questions := []question{
		{"plain", "echo hello"},
		{"both streams", "echo out; echo err >&2; exit 3"},
		{"no newline", "printf abc"},
		{"lines", "printf 'a\\n\\nb\\n\\n'"},
		{"nothing", "true"},
		{"reads nothing", "cat"},
		{"changes directory", "cd /"},
		{"trap", "trap 'echo cleaned' EXIT; echo done; exit 4"},
		{"here document", "cat <<'END'\n$HOME\nEND"},
		{"locale", "echo $LC_ALL"},
	}
	out, err := exec.Command("sh", "-c", askScript(questions)).Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseAnswers(string(out))
	if err != nil {
		t.Fatal(err)
	}
	want := answers{
		"plain":             {"hello", 0},
		"both streams":      {"out\nerr", 3},
		"no newline":        {"abc", 0},
		"lines":             {"a\n\nb", 0},
		"nothing":           {"", 0},
		"reads nothing":     {"", 0},
		"changes directory": {"", 0},
		"trap":              {"done\ncleaned", 4},
		"here document":     {"$HOME", 0},
		"locale":            {"C", 0},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestParseAnswers(t *testing.T) {
	if got, err := parseAnswers(answerMark + "many x"); err == nil {
		t.Errorf("an exit status that is no number gave %v", got)
	}
	got, err := parseAnswers("cut off before the mark")
	if err != nil || len(got) != 0 {
		t.Errorf("an answer without its end gave %v, %v", got, err)
	}
}

func FuzzParseAnswers(f *testing.F) {
	f.Add("a\n" + answerMark + "0 x\n")
	f.Add(answerMark + "x")
	f.Fuzz(func(t *testing.T, out string) {
		got, err := parseAnswers(out)
		if err != nil && got != nil {
			t.Errorf("both %v and %v", got, err)
		}
	})
}
