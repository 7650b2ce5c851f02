package basic

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/kballard/go-shellquote"

	"seatrial/harness"
)

// question is a shell script that is run as root, under a name by which its
// answer is found.
type question struct{ name, script string }

// answer is what a script printed, on both streams and without the newlines at
// its end, and its exit status.
type answer struct {
	out    string
	status int
}

// ok reports whether the script exited with status 0.
func (a answer) ok() bool { return a.status == 0 }

// String is fit for a message about an answer that is no good.
func (a answer) String() string {
	if a.ok() {
		return fmt.Sprintf("%q", a.out)
	}
	return fmt.Sprintf("%q (exit status %d)", a.out, a.status)
}

// answers holds the answers by the names of their questions.
type answers map[string]answer

// ask puts questions to machine 0 in one command.
func ask(ctx context.Context, t *harness.T, questions ...question) answers {
	return askMachine(ctx, t, t.Machine(0), questions...)
}

func askMachine(ctx context.Context, t *harness.T, m *harness.Machine, questions ...question) answers {
	out := m.MustRoot(ctx, askScript(questions))
	got, err := parseAnswers(out)
	if err != nil {
		t.Fatalf("%s: %v", m.ID(), err)
	}
	for _, q := range questions {
		if _, ok := got[q.name]; !ok {
			t.Fatalf("%s did not answer %q: %s", m.ID(), q.name, out)
		}
	}
	return got
}

// answerMark starts the line that ends an answer; exit status and name follow.
const answerMark = "@@seatrial-answer "

// askScript runs each question in a subshell of its own, with nothing to read.
func askScript(questions []question) string {
	var b strings.Builder
	b.WriteString("export LC_ALL=C\n")
	for _, q := range questions {
		fmt.Fprintf(&b, "(\n%s\n) </dev/null 2>&1\nprintf '\\n%s%%s %%s\\n' $? %s\n", q.script, answerMark, shellquote.Join(q.name))
	}
	return b.String()
}

func parseAnswers(out string) (answers, error) {
	got := answers{}
	var text []string
	for line := range strings.SplitSeq(out, "\n") {
		rest, ok := strings.CutPrefix(line, answerMark)
		if !ok {
			text = append(text, line)
			continue
		}
		code, name, _ := strings.Cut(rest, " ")
		status, err := strconv.Atoi(code)
		if err != nil {
			return nil, fmt.Errorf("read the answer to %q: exit status %q is not a number", name, code)
		}
		got[name] = answer{out: strings.TrimRight(strings.Join(text, "\n"), "\n"), status: status}
		text = nil
	}
	return got, nil
}
