package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"seatrial/platforms"
)

// start runs the agent of an architecture here, on a pseudo-terminal in place of a port.
func start(t *testing.T, arch string) *Client {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("the agent runs as root only")
	}
	data, err := Binary(arch)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(program, data, 0o700); err != nil {
		t.Fatal(err)
	}
	argv := []string{program}
	if arch != runtime.GOARCH {
		emulator, err := exec.LookPath(map[string]string{"arm64": "qemu-aarch64-static", "amd64": "qemu-x86_64-static"}[arch])
		if err != nil {
			t.Skip("there is no user mode emulator for " + arch)
		}
		argv = []string{emulator, program}
	}
	port, path := openPort(t)
	cmd := exec.Command(argv[0], append(argv[1:], path)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := New(port)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		c.Close()
	})
	return c
}

// openPort makes a raw pseudo-terminal.
func openPort(t *testing.T) (port *os.File, path string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("there are no pseudo-terminals: %v", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &unix.Termios{Cflag: unix.CS8 | unix.CREAD}); err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "port"), fmt.Sprintf("/dev/pts/%d", n)
}

func login(t *testing.T) Login {
	return Login{Groups: []uint32{0, 4}, Umask: 0o027, Dir: t.TempDir(), Shell: "/bin/sh", Env: []string{"PATH=/usr/bin:/bin", "X=a b"}}
}

type outcome struct {
	platforms.Result
	stdout, stderr string
}

func run(ctx context.Context, c *Client, l Login, line string, stdin io.Reader) (outcome, error) {
	var stdout, stderr bytes.Buffer
	r, err := c.Run(ctx, l, platforms.Command{Line: line, Stdin: stdin, Stdout: &stdout, Stderr: &stderr})
	return outcome{r, stdout.String(), stderr.String()}, err
}

func TestAgent(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			c := start(t, arch)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			t.Run("Steps", func(t *testing.T) { testSteps(ctx, t, c) })
			t.Run("Run", func(t *testing.T) { testRun(ctx, t, c) })
			t.Run("Many", func(t *testing.T) { testMany(ctx, t, c) })
			t.Run("Cancel", func(t *testing.T) { testCancel(ctx, t, c) })
			t.Run("Input", func(t *testing.T) { testInput(ctx, t, c) })
		})
	}
}

func testSteps(ctx context.Context, t *testing.T, c *Client) {
	nonce := [NonceSize]byte{1, 2, 3, 255}
	if _, _, err := c.Do(ctx, SetNonce(nonce)); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Knock(ctx); err != nil || got != nonce {
		t.Errorf("the nonce is %v, %v", got, err)
	}
	one, err := c.Random(ctx)
	if two, err2 := c.Random(ctx); err != nil || err2 != nil || len(one) != NonceSize || bytes.Equal(one, two) {
		t.Errorf("random are %x and %x, %v, %v", one, two, err, err2)
	}
	file := filepath.Join(t.TempDir(), "file")
	if _, _, err := c.Do(ctx, AppendFile(file, "one\n"), AppendFile(file, "two\n")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "one\ntwo\n" {
		t.Errorf("the file has %q, %v", data, err)
	}
	if _, _, err := c.Do(ctx, Seed(make([]byte, 32))); err != nil && !errors.Is(err, syscall.ENOSYS) { // in user mode emulation
		t.Error(err)
	}
	_, asked, err := c.Do(ctx, WriteFile(file+"/x", "x"), AppendFile(file, "three\n"))
	if !asked || !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("an impossible step gave %v, %v", asked, err)
	}
	for a, want := range map[string]error{"127.0.0.1": nil, "192.0.2.1": syscall.EADDRNOTAVAIL, "2001:db8::1": syscall.EADDRNOTAVAIL} {
		if _, _, err := c.Do(ctx, HasAddress(netip.MustParseAddr(a))); !errors.Is(err, want) {
			t.Errorf("the address %s gave %v, want %v", a, err, want)
		}
	}
	if _, _, err := c.Do(ctx, SetMAC("no-such-nic", make([]byte, 6))); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("a MAC address for nobody gave %v", err)
	}
}

func testRun(ctx context.Context, t *testing.T, c *Client) {
	l := login(t)
	for _, tt := range []struct {
		line string
		want outcome
	}{
		{"true", outcome{}},
		{"echo out; echo err >&2; exit 3", outcome{platforms.Result{ExitCode: 3}, "out\n", "err\n"}},
		{"kill -KILL $$", outcome{Result: platforms.Result{ExitCode: 137, Signal: "KILL"}}},
		{"echo again >/dev/stderr", outcome{stderr: "again\n"}},
		{`echo "$X" $0; umask; id -G; pwd`, outcome{stdout: "a b sh\n0027\n0 4\n" + l.Dir + "\n"}},
		{"cat; echo done", outcome{stdout: "done\n"}},
		{"echo 'two\nlines'", outcome{stdout: "two\nlines\n"}},
	} {
		if got, err := run(ctx, c, l, tt.line, nil); err != nil || got.ExitCode != tt.want.ExitCode || got.Signal != tt.want.Signal ||
			got.stdout != tt.want.stdout || got.stderr != tt.want.stderr {
			t.Errorf("%q gave %+v, %v; want %+v", tt.line, got, err, tt.want)
		}
	}
	l.Shell = "/no/such/shell"
	if got, err := run(ctx, c, l, "true", nil); err != nil || got.ExitCode != 127 {
		t.Errorf("without a shell: %+v, %v", got, err)
	}
	if _, err := run(ctx, c, l, strings.Repeat("x", maxPayload), nil); !errors.Is(err, ErrRefused) {
		t.Errorf("too long a line gave %v", err)
	}
}

func testMany(ctx context.Context, t *testing.T, c *Client) {
	l := login(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			const size = 1 << 20
			got, err := run(ctx, c, l, fmt.Sprintf("head -c %d /dev/zero; echo %d >&2", size, i), nil)
			if err != nil || len(got.stdout) != size || got.stderr != fmt.Sprintln(i) {
				t.Errorf("command %d gave %d bytes and %q, %v", i, len(got.stdout), got.stderr, err)
			}
		})
	}
	wg.Wait()
}

func testCancel(ctx context.Context, t *testing.T, c *Client) {
	l := login(t)
	why := errors.New("no longer of interest")
	ctx, cancel := context.WithCancelCause(ctx)
	pids, wrote := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := c.Run(ctx, l, platforms.Command{Line: "echo $$; sleep 600", Stdout: wrote, Stderr: io.Discard})
		ended <- err
	}()
	var pid int
	if _, err := fmt.Fscan(pids, &pid); err != nil {
		t.Fatal(err)
	}
	cancel(why)
	if err := <-ended; !errors.Is(err, why) {
		t.Errorf("it gave %v", err)
	}
	for deadline := time.Now().Add(5 * time.Second); syscall.Kill(pid, 0) == nil; {
		if time.Now().After(deadline) {
			t.Fatal("the command goes on")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := c.Run(ctx, l, platforms.Command{Line: "true", Stdout: io.Discard, Stderr: io.Discard}); !errors.Is(err, why) {
		t.Errorf("with an ended context it gave %v", err)
	}
}

func testInput(ctx context.Context, t *testing.T, c *Client) {
	l := login(t)
	big := strings.Repeat("0123456789abcdef", 1<<15)
	for line, want := range map[string]string{"cat": big, "head -c 10": big[:10], "echo done": "done\n"} {
		if got, err := run(ctx, c, l, line, strings.NewReader(big)); err != nil || got.stdout != want {
			t.Errorf("%s gave %d bytes of %d, %v", line, len(got.stdout), len(want), err)
		}
	}
	broken := errors.New("broken")
	if _, err := run(ctx, c, l, "cat", io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("an input that broke gave %v", err)
	}
	if _, err := c.Run(ctx, l, platforms.Command{Line: "yes", Stdout: failing{broken}, Stderr: io.Discard}); !errors.Is(err, broken) {
		t.Errorf("a writer that broke gave %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestLost: an agent that dies takes its commands with it.
func TestLost(t *testing.T) {
	c := start(t, runtime.GOARCH)
	_, err := run(t.Context(), c, login(t), "kill -KILL $PPID; sleep 1", nil)
	if !errors.Is(err, platforms.ErrConnectionLost) || c.Err() == nil {
		t.Errorf("it gave %v; the connection has %v", err, c.Err())
	}
}

// TestWatch: a guest that hangs is noticed.
func TestWatch(t *testing.T) {
	port, _ := openPort(t)
	c := New(port)
	defer c.Close()
	c.Watch(t.Context(), time.Millisecond, 20*time.Millisecond)
	if c.Err() == nil {
		t.Error("the connection still works")
	}
}

// TestBinaries: the programs are made of the source that is here.
func TestBinaries(t *testing.T) {
	source, err := os.ReadFile("guest/agent.c")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("guest/agent.sum")
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(source); !strings.HasPrefix(string(want), hex.EncodeToString(sum[:])) {
		t.Error("agent.c was changed after the programs were made: run guest/build")
	}
}
