package platformtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"seatrial/platforms"
)

func testIdentity(t *testing.T, f *fixture) {
	if got := f.a.ID(); got != "a" {
		t.Errorf("the ID is %q", got)
	}
	addrs := f.a.Addresses()
	if len(addrs) == 0 {
		t.Fatal("it has no address")
	}
	if f.b != nil {
		for _, x := range addrs {
			for _, y := range f.b.Addresses() {
				if x == y {
					t.Errorf("both machines have the address %s", x)
				}
			}
		}
	}
	if states := f.states.String(); states == "" {
		t.Error("no progress was told")
	}
}

func testExec(t *testing.T, f *fixture) {
	big := strings.Repeat("0123456789abcdef", 1<<14) // 256 KiB
	tests := []struct {
		name, line, stdin string
		want              platforms.Result
	}{
		{name: "nothing", line: "true"},
		{name: "exit status", line: "exit 42", want: platforms.Result{ExitCode: 42}},
		{name: "highest exit status", line: "exit 255", want: platforms.Result{ExitCode: 255}},
		{name: "signal", line: "kill -KILL $$", want: platforms.Result{ExitCode: 137, Signal: "KILL"}},
		{name: "both streams", line: "echo out; echo err >&2; exit 3",
			want: platforms.Result{ExitCode: 3, Stdout: []byte("out\n"), Stderr: []byte("err\n")}},
		{name: "stdin", line: "cat", stdin: big, want: platforms.Result{Stdout: []byte(big)}},
		{name: "stdin not read", line: "echo done", stdin: big, want: platforms.Result{Stdout: []byte("done\n")}},
		{name: "shell syntax", line: `echo "a  b" 'c' && false || echo no`, want: platforms.Result{Stdout: []byte("a  b c\nno\n")}},
		{name: "too much output", line: fmt.Sprintf("head -c %d /dev/zero", platforms.MaxOutput+100),
			want: platforms.Result{Stdout: make([]byte, platforms.MaxOutput), Truncated: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := platforms.Command{Line: tt.line}
			if tt.stdin != "" {
				cmd.Stdin = strings.NewReader(tt.stdin)
			}
			got := f.exec(t, f.a, cmd)
			if got.ExitCode != tt.want.ExitCode || got.Signal != tt.want.Signal || got.Truncated != tt.want.Truncated {
				t.Errorf("exit %d %q, truncated %v; want exit %d %q, %v",
					got.ExitCode, got.Signal, got.Truncated, tt.want.ExitCode, tt.want.Signal, tt.want.Truncated)
			}
			if !bytes.Equal(got.Stdout, tt.want.Stdout) || !bytes.Equal(got.Stderr, tt.want.Stderr) {
				t.Errorf("%d bytes of stdout, %d of stderr; want %d, %d", len(got.Stdout), len(got.Stderr), len(tt.want.Stdout), len(tt.want.Stderr))
			}
		})
	}
	if r := f.exec(t, f.a, platforms.Command{Line: "no-such-command-anywhere"}); r.ExitCode != 127 {
		t.Errorf("an unknown command has exit status %d", r.ExitCode)
	}
}

// testExecStreams: writers get the output as it comes, all of it, and the result keeps none.
func testExecStreams(t *testing.T, f *fixture) {
	ctx, cancel := context.WithTimeout(t.Context(), f.CommandTime)
	defer cancel()
	stdin, typed := io.Pipe()
	stdout := newWatchedBuffer()
	done := make(chan error, 1)
	go func() {
		r, err := f.a.Exec(ctx, platforms.Command{Line: "echo ready; cat; echo bye", Stdin: stdin, Stdout: stdout})
		if err == nil && (r.ExitCode != 0 || len(r.Stdout) > 0) {
			err = fmt.Errorf("result is %+v", r)
		}
		done <- err
	}()
	for _, text := range []string{"ready\n", "hello\n"} {
		if err := stdout.await(ctx, text); err != nil {
			t.Error(err)
		}
		if text == "ready\n" {
			if _, err := io.WriteString(typed, "hello\n"); err != nil {
				t.Error(err)
			}
		}
	}
	typed.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := stdout.String(); got != "ready\nhello\nbye\n" {
		t.Errorf("stdout is %q", got)
	}
	const size = platforms.MaxOutput + 1000
	var count counter
	r := f.exec(t, f.a, platforms.Command{Line: fmt.Sprintf("head -c %d /dev/zero", size), Stdout: &count})
	if count != size || r.Truncated {
		t.Errorf("the writer got %d bytes of %d, truncated %v", count, size, r.Truncated)
	}
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// testExecCancel: a command is given up promptly, with the reason, and the machine stays usable.
func testExecCancel(t *testing.T, f *fixture) {
	why := errors.New("no longer of interest")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	started := newWatchedBuffer()
	go func() {
		_ = started.await(t.Context(), "started") // else the command itself fails
		cancel(why)
	}()
	begin := time.Now()
	_, err := f.a.Exec(ctx, platforms.Command{Line: "echo started; sleep 600", Stdout: started})
	if !errors.Is(err, why) {
		t.Errorf("a cancelled command gave %v", err)
	}
	if d := time.Since(begin); d > f.CommandTime {
		t.Errorf("it took %v", d)
	}
	if _, err := f.a.Exec(ctx, platforms.Command{Line: "true"}); !errors.Is(err, why) {
		t.Errorf("a command with an ended context gave %v", err)
	}
	f.run(t, f.a, "true")
}

// testExecMany: more commands at once than an SSH connection has sessions.
func testExecMany(t *testing.T, f *fixture) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*f.CommandTime)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 14 {
		wg.Go(func() {
			want := fmt.Sprintf("number %d\n", i)
			r, err := f.a.Exec(ctx, platforms.Command{Line: fmt.Sprintf("echo number %d", i)})
			if err != nil || string(r.Stdout) != want {
				t.Errorf("command %d gave %q, %v", i, r.Stdout, err)
			}
		})
	}
	wg.Wait()
}
