package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestRunError(t *testing.T) {
	var log bytes.Buffer
	tl := tools{log: &syncWriter{w: &log}, env: []string{"WORD=from-env"}}
	err := tl.run(t.Context(), command{args: []string{"sh", "-c", "echo out; echo $WORD >&2; exit 3"}})
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "from-env") {
		t.Errorf("error is %v, want exit status and last output", err)
	}
	if !strings.Contains(log.String(), "out\n") {
		t.Errorf("log is %q, want the output", log.String())
	}
	if err := tl.run(t.Context(), command{args: []string{"no-such-program"}}); err == nil {
		t.Error("a program that is not there ran")
	}
}

func TestOutputAndInput(t *testing.T) {
	out, err := testTools().output(t.Context(), "sh", "-c", "echo out; echo err >&2")
	if err != nil || string(out) != "out\n" {
		t.Errorf("output is %q, %v", out, err)
	}
	if err := testTools().run(t.Context(), command{args: []string{"grep", "-q", "x"}, stdin: strings.NewReader("x\n")}); err != nil {
		t.Errorf("input was not read: %v", err)
	}
}

// TestInheritedFiles: a file that this program was given open, as a shell does,
// does not reach the tools.
func TestInheritedFiles(t *testing.T) {
	fd, err := syscall.Dup(int(os.Stdin.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	out, err := testTools().output(t.Context(), "sh", "-c", fmt.Sprintf("test -e /proc/self/fd/%d && echo open || echo closed", fd))
	if err != nil || string(out) != "closed\n" {
		t.Errorf("file %d of this program is %q in a tool: %v", fd, out, err)
	}
}

// TestCancel ends a program and its children; the children would hold the
// output open.
func TestCancel(t *testing.T) {
	for name, isolated := range map[string]bool{"plain": false, "isolated": true} {
		t.Run(name, func(t *testing.T) {
			if isolated && os.Geteuid() != 0 {
				t.Skip("namespaces of its own need root")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			began := time.Now()
			err := testTools().run(ctx, command{args: []string{"sh", "-c", "sleep 60 & sleep 60"}, isolated: isolated})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error is %v, want that of the context", err)
			}
			if took := time.Since(began); took > stopGrace {
				t.Errorf("it took %v to end", took)
			}
		})
	}
}

func TestTailWriter(t *testing.T) {
	w := &tailWriter{limit: 5}
	for _, s := range []string{"abc", "def", " "} {
		if _, err := w.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.String(); got != "cdef" {
		t.Errorf("tail is %q, want %q", got, "cdef")
	}
}
