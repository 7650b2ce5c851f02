package vnet

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// plug attaches a port whose frames the test takes from out.
func plug(f *fabric, names ...string) (ports []*port) {
	for _, name := range names {
		ports = append(ports, f.attach(name))
	}
	return ports
}

// ether makes a frame between the machines that bytes name; 0xff is broadcast.
func ether(dst, src, mark byte) []byte {
	frame := make([]byte, 60)
	for i := range 6 {
		frame[i], frame[6+i] = dst, src
	}
	frame[14] = mark
	return frame
}

// marks takes the frames that wait at a port.
func marks(p *port) (got []byte) {
	for len(p.out) > 0 {
		got = append(got, (<-p.out)[14])
	}
	return got
}

func TestSwitchLearns(t *testing.T) {
	f := newFabric(t.Context())
	p := plug(f, "a", "b", "c")
	check := func(step string, want ...string) {
		t.Helper()
		for i, w := range want {
			if got := string(marks(p[i])); got != w {
				t.Errorf("%s: port %d got %q, want %q", step, i, got, w)
			}
		}
	}
	f.forward(p[0], ether(2, 0x10, '1'))
	check("unknown destination", "", "1", "1")
	f.forward(p[1], ether(0x10, 2, '2'))
	check("learned from the first", "2", "", "")
	f.forward(p[0], ether(2, 0x10, '3'))
	check("learned from the answer", "", "3", "")
	f.forward(p[0], ether(0xff, 0x10, '4'))
	check("broadcast", "", "4", "4")
	f.forward(p[0], ether(0x10, 0x10, '5'))
	check("to itself", "", "", "")
	f.forward(p[2], ether(0xff, 2, '6'))
	check("moved", "6", "6", "")
	f.forward(p[0], ether(2, 0x10, '7'))
	check("after the move", "", "", "7")
	f.detach(p[2])
	f.forward(p[0], ether(2, 0x10, '8'))
	check("after its port is gone", "", "8", "")
	f.forward(p[0], ether(2, 0x10, '9')[:13])
	check("too short", "", "", "")
	if got := p[0].stats.snapshot().Malformed; got != 1 {
		t.Errorf("malformed = %d, want 1", got)
	}
}

func TestPinnedAddressCannotBeTaken(t *testing.T) {
	f := newFabric(t.Context())
	p := plug(f, GatewayPort, "a", "thief")
	f.pin(etherAddr{4, 4, 4, 4, 4, 4}, p[0])
	f.forward(p[2], ether(0x10, 4, 'x'))
	marks(p[0])
	f.forward(p[1], ether(4, 0x10, 'y'))
	if got := string(marks(p[0])); got != "y" {
		t.Errorf("gateway got %q, want y", got)
	}
}

func TestMACTableIsBounded(t *testing.T) {
	f := newFabric(t.Context())
	p := plug(f, "a")[0]
	frame := ether(0xff, 0, 0)
	for i := range 2 * maxLearned {
		frame[9], frame[10], frame[11] = byte(i>>16), byte(i>>8), byte(i)
		f.forward(p, frame)
	}
	if len(f.learned) != maxLearned {
		t.Errorf("%d addresses learned, want %d", len(f.learned), maxLearned)
	}
}

func TestSlowReaderLosesFramesAlone(t *testing.T) {
	f := newFabric(t.Context())
	p := plug(f, "a", "slow", "fast")
	var fast int
	for range portQueue + 5 {
		f.forward(p[0], ether(0xff, 0x10, 0))
		fast += len(marks(p[2]))
	}
	if fast != portQueue+5 {
		t.Errorf("fast reader got %d frames", fast)
	}
	got := p[1].stats.snapshot()
	want := PortStats{SentFrames: portQueue, SentBytes: 60 * portQueue, Overflowed: 5}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestServeSaysWhyItEnded(t *testing.T) {
	checkGoroutines(t)
	why := errors.New("reboot")
	tests := []struct {
		name string
		end  func(far net.Conn, cancel context.CancelCauseFunc, closeNet context.CancelFunc)
		want error
	}{
		{"peer closes", func(far net.Conn, _ context.CancelCauseFunc, _ context.CancelFunc) { far.Close() }, nil},
		{"context", func(_ net.Conn, cancel context.CancelCauseFunc, _ context.CancelFunc) { cancel(why) }, why},
		{"network", func(_ net.Conn, _ context.CancelCauseFunc, closeNet context.CancelFunc) { closeNet() }, errClosed},
		{"garbage", func(far net.Conn, _ context.CancelCauseFunc, _ context.CancelFunc) {
			_, _ = io.WriteString(far, "GET / HTTP/1.1\r\n")
		}, errFraming},
		{"torn frame", func(far net.Conn, _ context.CancelCauseFunc, _ context.CancelFunc) {
			_, _ = far.Write([]byte{0, 0, 0, 60, 1})
			far.Close()
		}, io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			netCtx, closeNet := context.WithCancel(context.Background())
			defer closeNet()
			f := newFabric(netCtx)
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			near, far := net.Pipe()
			defer far.Close()
			ended := make(chan error, 1)
			go func() { ended <- f.serve(ctx, "a", near) }()
			await(t, func() bool { f.mu.RLock(); defer f.mu.RUnlock(); return len(f.ports) == 1 })
			// The port's writer is stuck in a write that nobody reads: it must end all the same.
			f.forward(f.attach("b"), ether(0xff, 0x10, 0))
			tt.end(far, cancel, closeNet)
			select {
			case err := <-ended:
				if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if err != nil && !strings.Contains(err.Error(), "port a") {
					t.Errorf("error %q does not name the port", err)
				}
			case <-soon(t).Done():
				t.Fatal("still serving")
			}
			if len(f.ports) != 1 {
				t.Errorf("port is still there")
			}
		})
	}
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := newFabric(ctx)
		go f.delay.run(ctx)
		p := plug(f, "a", "b")
		impair(t, f, Impairment{Links: []LinkFault{{From: "a", To: "b", Delay: 100 * time.Millisecond}}})
		for mark := range byte(10) {
			f.forward(p[0], ether(0xff, 0x10, mark))
		}
		f.forward(p[1], ether(0xff, 2, 'r'))
		if got := string(marks(p[0])); got != "r" {
			t.Errorf("the way back is delayed, too: %q", got)
		}
		time.Sleep(99 * time.Millisecond)
		synctest.Wait()
		if got := marks(p[1]); len(got) != 0 {
			t.Errorf("%v came early", got)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if diff := cmp.Diff([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, marks(p[1])); diff != "" {
			t.Error(diff)
		}
		cancel()
		synctest.Wait()
	})
}

func TestJitterStaysInRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := newFabric(ctx)
		go f.delay.run(ctx)
		p := plug(f, "a", "b")
		impair(t, f, Impairment{Links: []LinkFault{{Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond}}})
		for range 100 {
			f.forward(p[0], ether(0xff, 0x10, 0))
		}
		time.Sleep(30*time.Millisecond - time.Microsecond)
		synctest.Wait()
		early := len(marks(p[1]))
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		half := len(marks(p[1]))
		time.Sleep(20*time.Millisecond + time.Microsecond)
		synctest.Wait()
		late := len(marks(p[1]))
		if early != 0 || half < 30 || half+late != 100 {
			t.Errorf("%d before, %d in the first half, %d in the second", early, half, late)
		}
		cancel()
		synctest.Wait()
	})
}

func TestDelayedFramesAreBounded(t *testing.T) {
	f := newFabric(t.Context())
	p := plug(f, "a", "b")
	impair(t, f, Impairment{Links: []LinkFault{{Delay: time.Hour}}})
	for range maxDelayed + 3 {
		f.forward(p[0], ether(0xff, 0x10, 0))
	}
	if got := p[1].stats.snapshot().Overflowed; got != 3 {
		t.Errorf("overflowed = %d, want 3", got)
	}
}

// impair puts an impairment in force on a bare switch, where every name is known.
func impair(t testing.TB, f *fabric, im Impairment) {
	t.Helper()
	faults, err := im.compile(1, func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	f.faults.Store(faults)
}

// BenchmarkSwitch moves full-size frames from one stream to another through the switch.
func BenchmarkSwitch(b *testing.B) {
	f := newFabric(b.Context())
	dir := b.TempDir()
	connect := func(name string) net.Conn {
		l, err := net.Listen("unix", dir+"/"+name)
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		far, err := net.Dial("unix", dir+"/"+name)
		if err != nil {
			b.Fatal(err)
		}
		near, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		go func() { _ = f.serve(b.Context(), name, near) }()
		return far
	}
	from, to := connect("from"), connect("to")
	defer from.Close()
	defer to.Close()
	await(b, func() bool { f.mu.RLock(); defer f.mu.RUnlock(); return len(f.ports) == 2 })

	frame := make([]byte, 1514)
	copy(frame, ether(2, 0x10, 0))
	b.SetBytes(int64(len(frame)))
	// The window keeps the sender from overrunning the port's queue, as TCP would.
	window := make(chan struct{}, portQueue/2)
	received := make(chan error, 1)
	go func() {
		for range b.N {
			if _, err := readFrame(to); err != nil {
				received <- err
				return
			}
			<-window
		}
		received <- nil
	}()
	b.ResetTimer()
	for range b.N {
		window <- struct{}{}
		if err := writeFrame(from, frame); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-received; err != nil {
		b.Fatal(err)
	}
}
