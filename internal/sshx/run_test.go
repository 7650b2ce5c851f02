package sshx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"seatrial/platforms"
)

func TestRun(t *testing.T) {
	c := newServer(t).connect()
	tests := []struct {
		name string
		cmd  platforms.Command
		want platforms.Result
	}{
		{"success", platforms.Command{Line: "true"}, platforms.Result{}},
		{"streams apart", platforms.Command{Line: "echo out; echo err >&2"},
			platforms.Result{Stdout: []byte("out\n"), Stderr: []byte("err\n")}},
		{"exit status", platforms.Command{Line: "echo before; exit 7"},
			platforms.Result{ExitCode: 7, Stdout: []byte("before\n")}},
		{"not found", platforms.Command{Line: "no-such-command 2>/dev/null"}, platforms.Result{ExitCode: 127}},
		{"signal", platforms.Command{Line: "kill -TERM $$"}, platforms.Result{ExitCode: 143, Signal: "TERM"}},
		{"signal unknown to the library", platforms.Command{Line: "kill -USR1 $$"},
			platforms.Result{ExitCode: 138, Signal: "USR1"}},
		{"input", platforms.Command{Line: "cat", Stdin: strings.NewReader("hello")},
			platforms.Result{Stdout: []byte("hello")}},
		{"input not read", platforms.Command{Line: "exit 3", Stdin: strings.NewReader(strings.Repeat("x", 8<<20))},
			platforms.Result{ExitCode: 3}},
		{"output at the limit", platforms.Command{Line: fmt.Sprintf("head -c %d /dev/zero", platforms.MaxOutput)},
			platforms.Result{Stdout: make([]byte, platforms.MaxOutput)}},
		{"output past the limit", platforms.Command{Line: fmt.Sprintf("head -c %d /dev/zero; exit 1", 5*platforms.MaxOutput)},
			platforms.Result{ExitCode: 1, Stdout: make([]byte, platforms.MaxOutput), Truncated: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := c.Run(t.Context(), tt.cmd)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Stdout, tt.want.Stdout) {
				t.Errorf("stdout: %d bytes, want %d", len(got.Stdout), len(tt.want.Stdout))
			}
			got.Stdout, tt.want.Stdout = nil, nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunStreamsAsItComes(t *testing.T) {
	c := newServer(t).connect()
	in, feed := io.Pipe()
	out, sink := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		result, err := c.Run(t.Context(), platforms.Command{Line: "cat", Stdin: in, Stdout: sink})
		if err == nil && (result.Stdout != nil || result.ExitCode != 0) {
			err = fmt.Errorf("result %+v", result)
		}
		ended <- err
	}()
	buf := make([]byte, 5)
	for _, word := range []string{"first", "again"} {
		if _, err := io.WriteString(feed, word); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, buf); err != nil || string(buf) != word {
			t.Fatalf("read %q, %v; want %q", buf, err, word)
		}
	}
	feed.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestRunOneWriterForBothStreams(t *testing.T) {
	c := newServer(t).connect()
	var both bytes.Buffer // the race detector watches it
	_, err := c.Run(t.Context(), platforms.Command{
		Line:   "for i in 1 2 3 4 5 6 7 8 9; do echo out; echo err >&2; done",
		Stdout: &both, Stderr: &both,
	})
	if err != nil || both.Len() != 72 {
		t.Errorf("%d bytes, %v; want 72", both.Len(), err)
	}
}

func TestRunManyAtOnce(t *testing.T) {
	c := newServer(t).connect()
	var tasks sync.WaitGroup
	for i := range 5 * maxSessions {
		tasks.Go(func() {
			result, err := c.Run(t.Context(), platforms.Command{Line: fmt.Sprintf("echo %d; exit %d", i, i)})
			if err != nil || result.ExitCode != i || string(result.Stdout) != fmt.Sprintln(i) {
				t.Errorf("command %d: %+v, %v", i, result, err)
			}
		})
	}
	tasks.Wait()
}

func TestRunCancelled(t *testing.T) {
	s := newServer(t)
	c := s.connect()
	alive := filepath.Join(s.tmp, "alive")
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	// The command's output says that it runs; its end removes the file.
	out := writerFunc(func(p []byte) (int, error) { cancel(cause); return len(p), nil })
	_, err := c.Run(ctx, platforms.Command{
		Line:   "touch " + alive + "; echo here; while sleep 0.01; do touch " + alive + "; done",
		Stdout: out,
	})
	if !errors.Is(err, cause) || errors.Is(err, platforms.ErrConnectionLost) {
		t.Fatalf("error %v, want %v", err, cause)
	}
	waitUntil(t, "the command is dead", func() bool {
		if err := os.Remove(alive); err != nil {
			return os.IsNotExist(err)
		}
		return false
	})
	if result, err := c.Run(t.Context(), platforms.Command{Line: "echo fine"}); err != nil || string(result.Stdout) != "fine\n" {
		t.Errorf("the connection after a cancelled command: %+v, %v", result, err)
	}
}

// A cancelled command whose server does not even open the session.
func TestRunCancelledBeforeStart(t *testing.T) {
	s := newServer(t)
	release := make(chan struct{})
	s.handle = func(string, ssh.Channel) bool { <-release; return true }
	t.Cleanup(func() { close(release) })
	c := s.connect()
	var tasks sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for range maxSessions + 2 { // the last ones wait for their turn
		tasks.Go(func() {
			if _, err := c.Run(ctx, platforms.Command{Line: "true"}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want a deadline", err)
			}
		})
	}
	tasks.Wait()
}

func TestRunStreamErrors(t *testing.T) {
	c := newServer(t).connect()
	broken := errors.New("broken")
	t.Run("stdout", func(t *testing.T) {
		out := writerFunc(func([]byte) (int, error) { return 0, broken })
		_, err := c.Run(t.Context(), platforms.Command{Line: "yes", Stdout: out})
		if !errors.Is(err, broken) {
			t.Errorf("error %v, want %v", err, broken)
		}
	})
	t.Run("stdin", func(t *testing.T) {
		in := io.MultiReader(strings.NewReader("half"), errReader{broken})
		_, err := c.Run(t.Context(), platforms.Command{Line: "cat; sleep 60", Stdin: in})
		if !errors.Is(err, broken) {
			t.Errorf("error %v, want %v", err, broken)
		}
	})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestRunConnectionLost(t *testing.T) {
	t.Run("server dies", func(t *testing.T) {
		s := newServer(t)
		c := s.connect()
		out := writerFunc(func(p []byte) (int, error) { s.stop(); return len(p), nil })
		_, err := c.Run(t.Context(), platforms.Command{Line: "echo here; sleep 60", Stdout: out})
		if !errors.Is(err, platforms.ErrConnectionLost) {
			t.Errorf("error %v, want a lost connection", err)
		}
		<-c.Done()
		if _, err := c.Run(t.Context(), platforms.Command{Line: "true"}); !errors.Is(err, platforms.ErrConnectionLost) {
			t.Errorf("error %v after the end, want a lost connection", err)
		}
	})
	t.Run("server ends the session without a status", func(t *testing.T) {
		s := newServer(t)
		s.handle = func(string, ssh.Channel) bool { return true }
		_, err := s.connect().Run(t.Context(), platforms.Command{Line: "true"})
		if !errors.Is(err, platforms.ErrConnectionLost) {
			t.Errorf("error %v, want a lost connection", err)
		}
	})
	t.Run("closed by us", func(t *testing.T) {
		c := newServer(t).connect()
		out := writerFunc(func(p []byte) (int, error) { go c.Close(); return len(p), nil })
		_, err := c.Run(t.Context(), platforms.Command{Line: "echo here; sleep 60", Stdout: out})
		if !errors.Is(err, platforms.ErrConnectionLost) || !strings.Contains(err.Error(), "closed by the client") {
			t.Errorf("error %v, want one that says who closed", err)
		}
	})
}

func TestShell(t *testing.T) {
	s := newServer(t)
	c := s.connect()
	in, feed := io.Pipe()
	resized := make(chan platforms.Size)
	ended := make(chan platforms.Result, 1)
	var out bytes.Buffer
	go func() {
		result, err := c.Shell(t.Context(), in, &out, &out,
			&platforms.Terminal{Name: "xterm", Size: platforms.Size{Columns: 80, Rows: 24}, Resized: resized})
		if err != nil {
			t.Error(err)
		}
		ended <- result
	}()
	if got := <-s.resize; got != (platforms.Size{Columns: 80, Rows: 24}) {
		t.Errorf("terminal of %v", got)
	}
	resized <- platforms.Size{Columns: 132, Rows: 50}
	if got := <-s.resize; got != (platforms.Size{Columns: 132, Rows: 50}) {
		t.Errorf("resized to %v", got)
	}
	fmt.Fprintln(feed, "echo $((6 * 7)); exit 5")
	result := <-ended
	feed.Close()
	if result.ExitCode != 5 || out.String() != "42\n" {
		t.Errorf("shell: %+v, output %q", result, out.String())
	}
}

// waitUntil polls until ok.
func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 5 s: %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
