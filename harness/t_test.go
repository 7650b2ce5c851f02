package harness

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seatrial/harness/event"
	"seatrial/platforms"
	"seatrial/platforms/fake"
)

// try runs a test function on one machine and returns how it ended.
func try(t *testing.T, o fake.Options, run func(context.Context, *T)) (*event.TestFinished, *engine) {
	t.Helper()
	e := newEngine(t, o)
	e.run(t.Context(), t, named("t", run))
	return e.finished("t"), e
}

// TestMachineAPI: what a test author can do with a machine.
func TestMachineAPI(t *testing.T) {
	f, _ := try(t, fake.Options{}, func(ctx context.Context, t *T) {
		m := t.Machine(0)
		if got := m.Must(ctx, "printf 'a\\nb\\n\\n'"); got != "a\nb" {
			t.Errorf("Must gave %q", got)
		}
		if got := m.MustRoot(ctx, `echo "it's" | tee /root/mark`); got != "it's" {
			t.Errorf("MustRoot gave %q", got)
		}
		if got := m.Status(ctx, "exit 7"); got != 7 {
			t.Errorf("Status gave %d", got)
		}
		res, err := m.Exec(ctx, platforms.Command{Line: "cat; exit 2", Stdin: strings.NewReader("in")})
		if err != nil || res.ExitCode != 2 || string(res.Stdout) != "in" {
			t.Errorf("Exec gave %+v, %v", res, err)
		}
		_, err = m.Output(ctx, "echo why; exit 3")
		if exit, ok := errors.AsType[*ExitError](err); !ok || exit.Result.ExitCode != 3 || !strings.HasSuffix(err.Error(), "exit status 3: why") {
			t.Errorf("Output gave %v", err)
		}
		m.Upload(ctx, "/opt/x", fs.FileMode(0o755), []byte("data"))
		if got := m.Download(ctx, "/opt/x"); string(got) != "data" {
			t.Errorf("Download gave %q", got)
		}
		before := m.Must(ctx, "cat /proc/sys/kernel/random/boot_id")
		m.Reboot(ctx)
		if m.Must(ctx, "cat /proc/sys/kernel/random/boot_id") == before {
			t.Errorf("it was not rebooted")
		}
		var console bytes.Buffer
		if err := m.Console(ctx, &console); err != nil || strings.Count(console.String(), "Linux version") != 2 {
			t.Errorf("Console gave %q, %v", console.String(), err)
		}
		conn, err := m.Dial(ctx, "tcp", "localhost:22")
		t.Check(err)
		conn.Close()
	})
	if f.Outcome != event.Pass {
		t.Errorf("it ended as %s/%s: %s", f.Outcome, f.Class, f.Message)
	}
}

// A script does not hide what it complained of: the message has its beginning,
// and the log all of it.
func TestFailingScript(t *testing.T) {
	const script = "true first\necho why\nexit 3"
	for name, run := range map[string]func(context.Context, *T){
		"must":    func(ctx context.Context, t *T) { t.Machine(0).Must(ctx, script) },
		"awaited": func(ctx context.Context, t *T) { t.Machine(0).Expect(ctx, time.Second, script) },
	} {
		f, e := try(t, fake.Options{}, run)
		if !strings.HasSuffix(f.Message, "m0: true first…: exit status 3: why") || strings.Contains(f.Message, "\n") {
			t.Errorf("%s: the message is %q", name, f.Message)
		}
		if out := of[*event.Output](e); len(out) != 1 || out[0].Text != "m0: "+script {
			t.Errorf("%s: logged %v", name, out)
		}
	}
}

func TestBrief(t *testing.T) {
	long := strings.Repeat("é", 100)
	for line, want := range map[string]string{
		"true": "true", "true\n": "true…", "a\nb": "a…", long: long[:160] + "…", "x" + long: "x" + long[:158] + "…",
	} {
		if got := brief(line); got != want {
			t.Errorf("%q becomes %q, want %q", line, got, want)
		}
	}
}

// TestFixture: a test serves its machines, and the listener is closed
// before the cluster goes.
func TestFixture(t *testing.T) {
	var listener net.Listener
	var accepted error
	stuck := fake.Options{Destroy: func(platforms.ClusterSpec) error {
		_, accepted = listener.Accept()
		return errors.New("it is stuck")
	}}
	f, _ := try(t, stuck, func(ctx context.Context, t *T) {
		listener = t.Listen(ctx, 8080)
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "hello") //nolint:errcheck // the guest says what it got
			conn.Close()
		}()
		if got := t.Machine(0).Must(ctx, "cat </dev/tcp/"+t.FixtureAddress().String()+"/8080"); got != "hello" {
			t.Errorf("the machine read %q", got)
		}
	})
	if f.Outcome != event.Pass {
		t.Errorf("it ended as %s: %s", f.Outcome, f.Message)
	}
	if !errors.Is(accepted, net.ErrClosed) {
		t.Errorf("when the cluster was destroyed, Accept gave %v", accepted)
	}
}

// TestImpair: a test parts its machines and brings them together again.
func TestImpair(t *testing.T) {
	e := newEngine(t, fake.Options{})
	two := named("t", func(ctx context.Context, t *T) {
		reach := "head -c 4 </dev/tcp/" + t.Machine(1).Address().String() + "/22"
		for _, step := range []struct {
			impairment platforms.Impairment
			want       bool
		}{{platforms.Impairment{}, true}, {platforms.Impairment{Groups: [][]string{{"m0"}, {"m1"}}}, false}, {platforms.Impairment{}, true}} {
			t.Impair(ctx, step.impairment)
			if got := t.Machine(0).Status(ctx, reach) == 0; got != step.want {
				t.Errorf("%+v: it is reached: %v", step.impairment, got)
			}
		}
	})
	two.Needs.Machines = 2
	e.run(t.Context(), t, two)
	if f := e.finished("t"); f.Outcome != event.Pass {
		t.Errorf("it ended as %s: %s", f.Outcome, f.Message)
	}
}

// TestImpairmentEnds: what a subtest did to the network is not the next one's.
func TestImpairmentEnds(t *testing.T) {
	e := newEngine(t, fake.Options{})
	reach := func(ctx context.Context, t *T) bool {
		return t.Machine(0).Status(ctx, "head -c 4 </dev/tcp/"+t.Machine(1).Address().String()+"/22") == 0
	}
	two := Test{Name: "t", Needs: Needs{Machines: 2}, Subtests: []Subtest{
		{Name: "parted", Run: func(ctx context.Context, t *T) {
			t.Impair(ctx, platforms.Impairment{Groups: [][]string{{"m0"}, {"m1"}}})
			if reach(ctx, t) {
				t.Fatalf("it is reached")
			}
			t.Fatalf("parted for good")
		}},
		{Name: "whole", Run: func(ctx context.Context, t *T) {
			if !reach(ctx, t) {
				t.Errorf("it is not reached")
			}
		}},
	}}
	e.run(t.Context(), t, two)
	if f := e.finished("t"); f.Outcome != event.Fail || f.Message != "parted: parted for good" {
		t.Errorf("it ended as %s: %s", f.Outcome, f.Message)
	}
}

// TestCheck: an error keeps the class of whoever made it.
func TestCheck(t *testing.T) {
	tests := []struct {
		name    string
		run     func(context.Context, *T)
		outcome event.Outcome
		class   event.Class
		message string
	}{
		{"a command's status", func(ctx context.Context, t *T) {
			_, err := t.Machine(0).Output(ctx, "exit 3")
			t.Check(err)
		}, event.Fail, event.Assertion, "exit status 3"},
		{"a missing file", func(ctx context.Context, t *T) { t.Machine(0).Download(ctx, "/no/such") },
			event.Fail, event.Assertion, "m0: /no/such does not exist"},
		{"another error", func(_ context.Context, t *T) { t.Check(errors.New("no route")) }, event.Error, event.Infra, "no route"},
		{"the guest's fault", func(_ context.Context, t *T) {
			t.Check(&platforms.GuestError{Machine: "m0", Op: "boot", Err: errors.New("no kernel")})
		}, event.Fail, event.Boot, "no kernel"},
		{"no artifact name", func(_ context.Context, t *T) { t.Save("a/b", nil) }, event.Error, event.Infra, "not a file name"},
		{"an impairment of nobody", func(ctx context.Context, t *T) {
			t.Impair(ctx, platforms.Impairment{Groups: [][]string{{"nobody"}}})
		}, event.Error, event.Infra, "nobody"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, _ := try(t, fake.Options{}, tt.run)
			if f.Outcome != tt.outcome || f.Class != tt.class || !strings.Contains(f.Message, tt.message) {
				t.Errorf("it ended as %s/%s %q, want %s/%s %q", f.Outcome, f.Class, f.Message, tt.outcome, tt.class, tt.message)
			}
		})
	}
}

// TestWaitFor: a condition is asked for again, not sooner and not longer than
// said, and trouble that waiting cannot mend ends it.
func TestWaitFor(t *testing.T) {
	tests := []struct {
		name    string
		true_   int // asking, from 1, at which the condition is true; 0 means never
		err     error
		took    time.Duration
		outcome event.Outcome
	}{
		{"at once", 1, errors.New("not yet"), 0, event.Pass},
		{"later", 5, errors.New("not yet"), 4 * pollInterval, event.Pass},
		{"never", 0, errors.New("not yet"), 20 * time.Second, event.Fail}, // of twice the scale
		{"a lost connection", 0, platforms.ErrConnectionLost, 0, event.Error},
		{"the guest's fault", 0, &platforms.GuestError{Err: errors.New("x")}, 0, event.Fail},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, fake.Options{})
				e.TimeoutScale = 2
				var took time.Duration
				e.run(t.Context(), t, named("t", func(ctx context.Context, t *T) {
					asked, began := 0, time.Now()
					defer func() {
						if took == 0 {
							took = time.Since(began)
						}
					}()
					t.WaitFor(ctx, "it", 10*time.Second, func(context.Context) error {
						if asked++; asked == tt.true_ {
							return nil
						}
						return tt.err
					})
				}))
				if f := e.finished("t"); f.Outcome != tt.outcome || took != tt.took {
					t.Errorf("it ended as %s after %v, want %s after %v: %s", f.Outcome, took, tt.outcome, tt.took, f.Message)
				}
			})
		})
	}
}

// TestLimits: what a test says is bounded.
func TestLimits(t *testing.T) {
	f, e := try(t, fake.Options{}, func(_ context.Context, t *T) {
		t.Logf("%s", strings.Repeat("x", 1<<20))
		t.Errorf("start %s end", strings.Repeat("y", 1<<20))
	})
	const limit = 65 << 10
	if out := of[*event.Output](e); len(out) != 1 || len(out[0].Text) > limit {
		t.Errorf("%d outputs", len(out))
	}
	if len(f.Message) > limit || !strings.HasPrefix(f.Message, "start") || !strings.HasSuffix(f.Message, "end") || !strings.Contains(f.Message, "bytes left out") {
		t.Errorf("the message has %d bytes", len(f.Message))
	}
}

// TestFindingsAreBounded: a guest that repeats itself does not fill the stream.
func TestFindingsAreBounded(t *testing.T) {
	_, e := try(t, fake.Options{}, func(ctx context.Context, t *T) {
		for range 8 { // boots, each with as many findings as a rule may have
			for range 200 {
				faked(t, 0).Print("BUG: unable to handle page fault for address: 0000\n---[ end trace 0 ]---\n")
			}
			t.Machine(0).Reboot(ctx)
		}
	})
	if n := len(of[*event.Finding](e)); n == 0 || n > maxFindings {
		t.Errorf("%d findings", n)
	}
}
