package debian

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stopGrace is how long a tool that was asked to end may take to clean up.
const stopGrace = 5 * time.Second

// tools runs the programs of the host that the build calls.
type tools struct {
	log *syncWriter // what the programs print
	env []string    // goes over the environment of this program
}

// command describes one program to run.
type command struct {
	args  []string
	stdin io.Reader
	// isolated gives the program and its children process and mount namespaces
	// of their own: its mounts never show outside, and none of its children
	// outlives it, even when the build is killed.
	isolated bool
}

// run runs a program and waits for it. Its output goes to the log; an error
// carries the last lines of it.
func (t tools) run(ctx context.Context, c command) error {
	return t.start(ctx, c, t.log)
}

// output runs a program and returns its standard output.
func (t tools) output(ctx context.Context, args ...string) ([]byte, error) {
	var out bytes.Buffer
	err := t.start(ctx, command{args: args}, &out)
	return out.Bytes(), err
}

func (t tools) start(ctx context.Context, c command, stdout io.Writer) error {
	args := c.args
	if c.isolated {
		args = append([]string{"unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}, args...)
	}
	fmt.Fprintf(t.log, "+ %s\n", strings.Join(c.args, " "))
	program, err := lookTool(args[0])
	if err != nil {
		return err
	}
	tail := &tailWriter{limit: 2000}
	// What this program was given open is not the tools' business: with nine
	// more files open, mmdebstrap hands apt a number of two digits, which the
	// shell cannot redirect to. Kernels before 5.11 lack the flag, and the
	// tools then get everything.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	cmd := exec.CommandContext(ctx, program, args[1:]...)
	cmd.Env = append(cmd.Environ(), t.env...)
	cmd.Stdin = c.stdin
	cmd.Stdout = io.MultiWriter(stdout, tail)
	cmd.Stderr = io.MultiWriter(t.log, tail)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	stop := syscall.SIGTERM
	if c.isolated {
		stop = syscall.SIGKILL // its namespaces end with it, and need no tidying up
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, stop) }
	cmd.WaitDelay = stopGrace
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("run %s: %w", filepath.Base(c.args[0]), ctx.Err())
		}
		return fmt.Errorf("run %s: %w: %s", filepath.Base(c.args[0]), err, tail)
	}
	return nil
}

// syncWriter lets several programs write to one log.
type syncWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *syncWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(p)
}

// tailWriter keeps the last bytes that a program writes to its two streams.
type tailWriter struct {
	mu    sync.Mutex
	limit int
	buf   []byte
}

func (w *tailWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf, p...)
	if over := len(w.buf) - w.limit; over > 0 {
		w.buf = append(w.buf[:0], w.buf[over:]...)
	}
	return len(p), nil
}

func (w *tailWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.TrimSpace(string(w.buf))
}
