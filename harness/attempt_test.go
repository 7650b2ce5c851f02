package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatrial/harness/event"
	"seatrial/platforms"
	"seatrial/platforms/fake"
)

// booting is what a fake platform does when the first machine of a test
// starts; the machines of the test "next" start well.
func booting(hook func(context.Context, *fake.Machine) error) fake.Options {
	return fake.Options{Boot: func(ctx context.Context, m *fake.Machine, spec platforms.MachineSpec) error {
		if spec.Name == "healthy" {
			return nil
		}
		return hook(ctx, m)
	}}
}

// ending is a way in which a test can end.
type ending struct {
	name    string
	fake    fake.Options
	needs   Needs
	run     func(context.Context, *T) // passes, when nil
	outcome event.Outcome
	class   event.Class
	message string        // that the failure's message contains
	limit   time.Duration // by which the test has to be over; 0 means a second
}

// wait waits for what the harness makes of a guest.
func wait(ctx context.Context, _ *T) { <-ctx.Done() }

// stuck is what a guest looks like whose CPU takes a breakpoint for ever.
func stuck(m *fake.Machine) {
	m.Print("RIP: 0010:asm_exc_int3+0x0/0x40\n")
	m.StopSSH()
}

// guestEndings are those that are the guest's doing.
func guestEndings() []ending {
	after := func(do func(*fake.Machine), then func(context.Context, *T)) func(context.Context, *T) {
		return func(ctx context.Context, t *T) {
			do(faked(t, 0))
			then(ctx, t)
		}
	}
	log := func(text string) func(*fake.Machine) {
		return func(m *fake.Machine) { m.Log("kernel", text) }
	}
	return []ending{
		{name: "panics", run: after(func(m *fake.Machine) { m.Panic("Fatal exception") }, wait),
			outcome: event.Fail, class: event.Console, message: "kernel panic: Fatal exception (m0 console line "},
		{name: "panics under a command", run: func(ctx context.Context, t *T) { t.Machine(0).MustRoot(ctx, "echo c >/proc/sysrq-trigger") },
			outcome: event.Fail, class: event.Console, message: "kernel panic"},
		{name: "panics at boot", fake: booting(func(_ context.Context, m *fake.Machine) error { m.Panic("no init found"); return nil }),
			outcome: event.Fail, class: event.Console, message: "kernel panic"},
		{name: "hangs at boot", fake: booting(func(_ context.Context, m *fake.Machine) error { m.Hang(); return nil }),
			outcome: event.Fail, class: event.Boot, message: "boot took too long", limit: DefaultBootTimeout + time.Second},
		{name: "hangs at boot, own limit", fake: booting(func(_ context.Context, m *fake.Machine) error { m.Hang(); return nil }),
			needs: Needs{BootTimeout: 5 * time.Second}, outcome: event.Fail, class: event.Boot, message: "of at most 5s", limit: 6 * time.Second},
		{name: "halts at boot", fake: booting(func(_ context.Context, m *fake.Machine) error { m.Halt(); return nil }),
			outcome: event.Fail, class: event.Boot, message: "shut itself down"},
		{name: "does not boot", fake: booting(func(_ context.Context, m *fake.Machine) error {
			return &platforms.GuestError{Machine: m.ID(), Op: "boot", Err: errors.New("no bootable device")}
		}), outcome: event.Fail, class: event.Boot, message: "no bootable device"},
		{name: "hangs", run: after((*fake.Machine).Hang, func(ctx context.Context, t *T) { t.Machine(0).Must(ctx, "true") }),
			outcome: event.Fail, class: event.KernelHang, message: "does not answer", limit: DefaultTimeout + 30*time.Second},
		{name: "halts", run: after((*fake.Machine).Halt, wait), outcome: event.Fail, class: event.LostConnection, message: "shut itself down"},
		{name: "halts under a command", run: func(ctx context.Context, t *T) { t.Machine(0).MustRoot(ctx, "systemctl poweroff") },
			outcome: event.Fail, class: event.LostConnection, message: "shut itself down"},
		{name: "stops SSH", run: after((*fake.Machine).StopSSH, passes), outcome: event.Fail, class: event.KernelHang, message: "stopped answering"},
		{name: "hangs in a breakpoint of its own", run: after(stuck, passes), outcome: event.Fail, class: event.KernelHang, message: "stopped answering"},
		{name: "does not come back", run: func(ctx context.Context, t *T) { t.Machine(0).Reboot(ctx) },
			fake: booting(func(_ context.Context, m *fake.Machine) error {
				if m.Boots() > 1 {
					m.Hang()
				}
				return nil
			}), needs: Needs{BootTimeout: 5 * time.Second}, outcome: event.Fail, class: event.Boot, message: "did not reboot", limit: 20 * time.Second},
		{name: "failed unit", fake: booting(func(_ context.Context, m *fake.Machine) error { m.FailUnit("ntpd.service"); return nil }),
			outcome: event.Fail, class: event.Console, message: "unit failed: ntpd.service"},
		{name: "failed unit that may", fake: booting(func(_ context.Context, m *fake.Machine) error { m.FailUnit("ntpd.service"); return nil }),
			needs: Needs{Degraded: true}, outcome: event.Pass},
		{name: "finding in the journal", run: after(log("BUG: unable to handle page fault for address: 0000"), passes),
			outcome: event.Fail, class: event.Console, message: "(m0 journal line 1)"},
		{name: "finding that may", run: after(log("BUG: unable to handle page fault for address: 0000"), passes),
			needs: Needs{Exempt: []string{"bad-kernel-access"}}, outcome: event.Pass},
	}
}

// otherEndings are those that are the platform's, the harness's and the test's
// own doing.
func otherEndings() []ending {
	trouble := errors.New("no space left")
	return []ending{
		{name: "pass", outcome: event.Pass},
		{name: "assertion", run: fails, outcome: event.Fail, class: event.Assertion, message: "one is not two"},
		{name: "two assertions", run: func(ctx context.Context, t *T) { fails(ctx, t); t.Fatalf("nor is it three") },
			outcome: event.Fail, class: event.Assertion, message: "one is not two\nnor is it three"},
		{name: "command fails", run: func(ctx context.Context, t *T) { t.Machine(0).Must(ctx, "echo no luck >&2; exit 3") },
			outcome: event.Fail, class: event.Assertion, message: "exit status 3: no luck"},
		{name: "condition does not come true", run: func(ctx context.Context, t *T) { t.Machine(0).Expect(ctx, 5*time.Second, "exit 1") },
			outcome: event.Fail, class: event.Assertion, message: "not within 5s", limit: 6 * time.Second},
		{name: "skip", run: func(_ context.Context, t *T) { t.Skipf("not on %s", t.Arch()) }, outcome: event.Skip, message: "not on amd64"},
		{name: "panic", run: func(_ context.Context, t *T) { t.Logf("%d", []int{}[len(t.Name())]) },
			outcome: event.Error, class: event.Harness, message: "index out of range"},
		{name: "panic with an error", run: func(context.Context, *T) { panic(trouble) },
			outcome: event.Error, class: event.Harness, message: "panic: no space left"},
		{name: "machine that is not there", run: func(_ context.Context, t *T) { t.Machine(1) },
			outcome: event.Error, class: event.Infra, message: "asks for machine 1 of 1"},
		{name: "ignores its context", run: func(context.Context, *T) { time.Sleep(time.Hour) },
			outcome: event.Error, class: event.Harness, message: "ignored its ended context", limit: DefaultTimeout + testGrace + time.Second},
		{name: "time-out", run: func(ctx context.Context, t *T) { t.Machine(0).Must(ctx, "sleep infinity") },
			outcome: event.Fail, class: event.Timeout, message: "the guest still answers", limit: DefaultTimeout + time.Second},
		{name: "machine killed", run: func(ctx context.Context, t *T) { faked(t, 0).Kill(); wait(ctx, t) },
			outcome: event.Error, class: event.Infra, message: "killed from outside"},
		{name: "machine killed under a command", run: func(ctx context.Context, t *T) {
			time.AfterFunc(time.Millisecond, faked(t, 0).Kill)
			t.Machine(0).Must(ctx, "sleep infinity")
		}, outcome: event.Error, class: event.Infra, message: "killed from outside"},
		{name: "machine killed at boot", fake: booting(func(_ context.Context, m *fake.Machine) error { m.Kill(); return nil }),
			outcome: event.Error, class: event.Provision, message: "killed from outside"},
		{name: "connection lost", run: func(ctx context.Context, t *T) {
			time.AfterFunc(time.Millisecond, faked(t, 0).Disconnect)
			t.Machine(0).Must(ctx, "sleep infinity")
		}, outcome: event.Error, class: event.LostConnection, message: "connection lost"},
		{name: "hangs by its emulator", fake: fake.Options{Capabilities: func(c *platforms.Capabilities) { c.StaleCode = true }},
			run:     func(ctx context.Context, t *T) { stuck(faked(t, 0)); t.Machine(0).Must(ctx, "true") },
			outcome: event.Error, class: event.Infra, message: "QEMU before 8.1 (m0 console line "},
		{name: "no cluster", fake: fake.Options{NewCluster: func(spec platforms.ClusterSpec) error {
			if strings.HasPrefix(spec.Name, "next") {
				return nil
			}
			return trouble
		}}, outcome: event.Error, class: event.Provision, message: "no space left"},
		{name: "no machine", fake: booting(func(context.Context, *fake.Machine) error { return trouble }),
			outcome: event.Error, class: event.Provision, message: "no space left"},
		{name: "test powers off", run: func(ctx context.Context, t *T) { t.Machine(0).PowerOff(ctx) }, outcome: event.Pass},
	}
}

// TestEndings: each way in which a test can end has its outcome and class, is
// known in time, and leaves the next test alone. That no goroutine is left is
// seen to by synctest.
func TestEndings(t *testing.T) {
	for _, tt := range slices.Concat(guestEndings(), otherEndings()) {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, tt.fake)
				e.Budget = one()
				test := named("ends", passes)
				if test.Needs = tt.needs; tt.run != nil {
					test.Run = tt.run
				}
				next := named("next", passes)
				next.Needs.Spec.Name = "healthy"
				began := time.Now()
				var first time.Duration // until the first attempt was over
				e.hook = func(b event.Body) {
					if _, ok := b.(*event.AttemptFinished); ok && first == 0 {
						first = time.Since(began)
					}
				}
				if end := e.run(t.Context(), t, test, next); end != event.Complete {
					t.Errorf("the run ended as %s", end)
				}
				tt.check(t, e, first)
				if f := e.finished("next"); f.Outcome != event.Pass {
					t.Errorf("the next test ended as %s: %s", f.Outcome, f.Message)
				}
				time.Sleep(2 * time.Hour) // for the one that ignores its context
			})
		})
	}
}

func (tt ending) check(t *testing.T, e *engine, took time.Duration) {
	t.Helper()
	f := e.finished("ends")
	if f.Outcome != tt.outcome || f.Class != tt.class || !strings.Contains(f.Message, tt.message) {
		t.Errorf("it ended as %s/%s %q, want %s/%s %q", f.Outcome, f.Class, f.Message, tt.outcome, tt.class, tt.message)
	}
	attempts := 1
	if tt.outcome == event.Error && tt.class != event.Harness {
		attempts += errorRetries
	}
	if f.Attempts != attempts {
		t.Errorf("%d attempts, want %d", f.Attempts, attempts)
	}
	if limit := max(tt.limit, time.Second); took > limit {
		t.Errorf("it took %v, more than %v", took, limit)
	}
	for _, a := range of[*event.AttemptFinished](e) {
		if a.Test == "ends" && (a.Signature != "") != (tt.outcome == event.Fail || tt.outcome == event.Error) {
			t.Errorf("the signature of %s is %q", a.Outcome, a.Signature)
		}
	}
}

// TestKilledIsNotHung: a command that breaks off with its machine does not
// outrun the news of the machine's end.
func TestKilledIsNotHung(t *testing.T) {
	for range 30 {
		e := newEngine(t, fake.Options{NoFiles: true})
		e.run(t.Context(), t, named("ends", func(ctx context.Context, t *T) { t.Machine(0).MustRoot(ctx, "systemctl poweroff") }))
		if f := e.finished("ends"); f.Class != event.LostConnection {
			t.Fatalf("it ended as %s/%s: %s", f.Outcome, f.Class, f.Message)
		}
	}
}

// TestAbandoned: what a test says after it was given up is not heard.
func TestAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, fake.Options{})
		end := make(chan struct{})
		e.run(t.Context(), t, named("ends", func(_ context.Context, t *T) {
			defer close(end)
			time.Sleep(time.Hour)
			t.Logf("still here")
			t.Boot(context.Background(), platforms.MachineSpec{})
		}))
		before := len(of[event.Body](e))
		<-end
		synctest.Wait()
		if more := of[event.Body](e)[before:]; len(more) > 0 {
			t.Errorf("%d events came after the run, the first %s", len(more), more[0].Type())
		}
	})
}

// TestImageCapabilities: what the image lacks is found out at the first boot,
// and then skips tests without one.
func TestImageCapabilities(t *testing.T) {
	var boots atomic.Int32
	options := fake.Options{
		Image: platforms.NewSet("systemd", "docker"), OSRelease: map[string]string{"ID": "fakeos", "PRETTY_NAME": `Fake OS "1"`},
		Boot: func(context.Context, *fake.Machine, platforms.MachineSpec) error { boots.Add(1); return nil },
	}
	needs := func(name string, cs ...platforms.Capability) Test {
		test := named(name, passes)
		test.Needs.Image = cs
		return test
	}
	subtests := Test{Name: "parts", Doc: "Has parts.", Subtests: []Subtest{
		{Name: "with", Doc: "Runs.", Image: []platforms.Capability{"docker"}, Run: func(ctx context.Context, t *T) {
			if t.OSRelease("ID") != "fakeos" || !t.Has("systemd") || t.Has("etcd") || !t.Has(platforms.RebootCap) {
				t.Errorf("the image is %q", t.OSRelease("ID"))
			}
		}},
		{Name: "without", Doc: "Is skipped.", Image: []platforms.Capability{"etcd"}, Run: fails},
	}}
	tests := []Test{needs("a", "docker", "etcd", "selinux"), needs("b", "etcd"), needs("c", "docker"), subtests}
	want := map[string]event.Outcome{"a": event.Skip, "b": event.Skip, "c": event.Pass, "parts": event.Pass}
	cache := FactsCache{Dir: filepath.Join(t.TempDir(), "facts")}
	for i, wantBoots := range []int32{3, 2} { // a is the first to boot, once
		e := newEngine(t, options)
		e.Budget, e.Facts = one(), cache
		boots.Store(0)
		e.run(t.Context(), t, tests...)
		if diff := cmp.Diff(want, e.outcomes()); diff != "" {
			t.Errorf("run %d: outcomes (-want +got):\n%s", i, diff)
		}
		if got := boots.Load(); got != wantBoots {
			t.Errorf("run %d: %d boots, want %d", i, got, wantBoots)
		}
		if f := e.finished("a"); f.Message != "image lacks etcd and selinux" {
			t.Errorf("run %d: a was skipped, since %q", i, f.Message)
		}
		for _, ready := range of[*event.MachineReady](e) {
			if ready.OSRelease["PRETTY_NAME"] != `Fake OS "1"` || ready.Slowness != 1 || len(ready.Addresses) == 0 {
				t.Errorf("run %d: %+v", i, ready)
			}
		}
	}
}

// TestSubtests: parts run in order in one cluster, and only those asked for.
func TestSubtests(t *testing.T) {
	part := func(name string, run func(context.Context, *T)) Subtest {
		return Subtest{Name: name, Doc: "Is a part.", Run: run}
	}
	skips := func(_ context.Context, t *T) { t.Skipf("not today") }
	lost := func(ctx context.Context, t *T) {
		faked(t, 0).Kill()
		wait(ctx, t)
	}
	tests := []struct {
		name     string
		parts    []Subtest
		selected []string
		want     string // name outcome[/class], in order
		outcome  event.Outcome
		class    event.Class
		message  string
	}{
		{"all pass", []Subtest{part("x", passes), part("y", passes)}, nil, "x pass, y pass", event.Pass, "", ""},
		{"one fails", []Subtest{part("x", fails), part("y", passes), part("z", skips)}, nil,
			"x fail/assertion, y pass, z skip", event.Fail, event.Assertion, "x: one is not two"},
		{"selected", []Subtest{part("x", fails), part("y", passes), part("z", passes)}, []string{"z", "y"}, "y pass, z pass", event.Pass, "", ""},
		{"all skipped", []Subtest{part("x", skips), part("y", skips)}, nil, "x skip, y skip", event.Skip, "", "every subtest was skipped"},
		{"panic ends the test", []Subtest{part("x", func(context.Context, *T) { panic("boom") }), part("y", passes)}, nil,
			"x error/harness", event.Error, event.Harness, "x: panic: boom"},
		{"machine killed", []Subtest{part("x", passes), part("y", lost), part("z", passes)}, nil,
			"x pass, y error/infra", event.Error, event.Infra, "killed from outside"},
		{"time-out", []Subtest{part("x", wait), part("y", passes)}, nil, "x fail/timeout", event.Fail, event.Timeout, "still answers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, fake.Options{})
				test := Test{Name: "parts", Doc: "Has parts.", Subtests: tt.parts}
				jobs := Plan([]Selected{{Suite: "s", Test: test, Subtests: tt.selected}}, []platforms.Platform{e.platform}, 0)
				if _, err := Run(t.Context(), jobs, e.Options); err != nil {
					t.Error(err)
				}
				var got []string
				for _, s := range of[*event.SubtestFinished](e) {
					if s.N == 1 {
						got = append(got, strings.TrimSuffix(fmt.Sprintf("%s %s/%s", s.Name, s.Outcome, s.Class), "/"))
					}
				}
				if diff := cmp.Diff(tt.want, strings.Join(got, ", ")); diff != "" {
					t.Errorf("subtests (-want +got):\n%s", diff)
				}
				f := e.finished("parts")
				if f.Outcome != tt.outcome || f.Class != tt.class || !strings.Contains(f.Message, tt.message) {
					t.Errorf("it ended as %s/%s: %s", f.Outcome, f.Class, f.Message)
				}
				if want := len(tt.parts); tt.selected == nil && len(of[*event.TestPlanned](e)[0].Subtests) != want {
					t.Errorf("planned subtests: %v", of[*event.TestPlanned](e)[0].Subtests)
				}
			})
		})
	}
}

// TestMachines: a test has the machines that it asked for, and can boot more.
func TestMachines(t *testing.T) {
	e := newEngine(t, fake.Options{})
	two := named("two", func(ctx context.Context, t *T) {
		more := t.Boot(ctx, platforms.MachineSpec{})
		own := t.Boot(ctx, platforms.MachineSpec{Name: "own"})
		for i, want := range []string{"m0", "m1", "m2", "own"} {
			if m := t.Machine(i); m.ID() != want || m.Must(ctx, "hostname") != want {
				t.Errorf("machine %d is %s", i, m.ID())
			}
		}
		if more.Address() == own.Address() {
			t.Errorf("both have the address %s", own.Address())
		}
	})
	two.Needs = Needs{Machines: 2, UserData: "#!/bin/sh\n"}
	none := named("none", func(ctx context.Context, t *T) { t.Boot(ctx, platforms.MachineSpec{}).Must(ctx, "true") })
	none.Needs.Machines = NoMachines
	e.run(t.Context(), t, two, none)
	for _, a := range of[*event.AttemptFinished](e) {
		want := map[string][]string{"two": {"m0", "m1", "m2", "own"}, "none": {"m0"}}[a.Test]
		if a.Outcome != event.Pass || !slices.Equal(a.Machines, want) {
			t.Errorf("%s: %s %s, with %v", a.Test, a.Outcome, a.Message, a.Machines)
		}
	}
}

// TestJournalIsKept: journal.txt holds the journal of each boot to its end.
func TestJournalIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, fake.Options{})
		dir := t.TempDir()
		e.ArtifactDir = func(event.Cell, int) (string, error) { return dir, nil }
		e.run(t.Context(), t, named("reboots", func(ctx context.Context, t *T) {
			faked(t, 0).Log("app", "first boot")
			t.Machine(0).Expect(ctx, time.Second, "true")
			time.Sleep(time.Millisecond) // for the follower
			t.Machine(0).Reboot(ctx)
			faked(t, 0).Log("app", "second boot")
			t.Save("found", []byte("it"))
		}))
		text, err := os.ReadFile(filepath.Join(dir, "m0", "journal.txt"))
		first, second, ok := strings.Cut(string(text), "first boot")
		if err != nil || !ok || first == "" || !strings.Contains(second, "second boot") || !strings.Contains(second, "seatrial-end-of-attempt") {
			t.Errorf("the journal is %q, %v", text, err)
		}
		if found, err := os.ReadFile(filepath.Join(dir, "found")); err != nil || string(found) != "it" {
			t.Errorf("the artifact is %q, %v", found, err)
		}
	})
}
