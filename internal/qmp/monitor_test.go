package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	goqemu "github.com/digitalocean/go-qemu/qmp"
)

const greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "test"}, "capabilities": ["oob"]}}` + "\r\n"

// request is a command as the fake QEMU gets it.
type request struct {
	Execute   string          `json:"execute"`
	Arguments json.RawMessage `json:"arguments"`
	ID        string          `json:"id"`
}

// fakeQEMU answers commands on one end of a pipe. handle returns what to write; it may be many
// lines, or none.
type fakeQEMU struct {
	conn net.Conn
	done chan struct{}
}

// start connects a monitor to a fake that greets, accepts qmp_capabilities with extra appended,
// and leaves every other command to handle.
func start(t *testing.T, o Options, extra string, handle func(f *fakeQEMU, r request) string) (*Monitor, *fakeQEMU) {
	t.Helper()
	ours, theirs := net.Pipe()
	f := &fakeQEMU{conn: theirs, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.write(greeting)
		lines := bufio.NewScanner(theirs)
		for lines.Scan() {
			var r request
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				t.Errorf("fake got %q: %v", lines.Bytes(), err)
				return
			}
			if r.Execute == "qmp_capabilities" {
				f.write(ok(r, "{}") + extra)
				continue
			}
			f.write(handle(f, r))
		}
	}()
	m := New(func(context.Context) (net.Conn, error) { return ours, nil }, o)
	t.Cleanup(func() {
		if err := m.Disconnect(); err != nil {
			t.Error(err)
		}
		theirs.Close()
		<-f.done
	})
	return m, f
}

func (f *fakeQEMU) write(s string) {
	if s != "" {
		_, _ = f.conn.Write([]byte(s)) // the monitor may be gone: the test looks at its side
	}
}

func ok(r request, result string) string {
	return fmt.Sprintf(`{"return": %s, "id": %q}`+"\r\n", result, r.ID)
}

func event(name string, n int) string {
	return fmt.Sprintf(`{"event": %q, "data": {"n": %d}, "timestamp": {"seconds": 1, "microseconds": 2}}`+"\r\n", name, n)
}

func mustConnect(t *testing.T, m *Monitor) {
	t.Helper()
	if err := m.Connect(); err != nil {
		t.Fatal(err)
	}
}

func TestExecute(t *testing.T) {
	m, _ := start(t, Options{}, "", func(_ *fakeQEMU, r request) string {
		switch r.Execute {
		case "echo":
			return ok(r, string(r.Arguments))
		default:
			return fmt.Sprintf(`{"id": %q, "error": {"class": "CommandNotFound", "desc": "no %s"}}`+"\n", r.ID, r.Execute)
		}
	})
	mustConnect(t, m)
	if got := m.Version().String(); got != "7.2.22" {
		t.Errorf("version is %s", got)
	}
	var out struct{ Word string }
	if err := m.Execute(t.Context(), "echo", map[string]string{"word": "hi"}, &out); err != nil || out.Word != "hi" {
		t.Errorf("echo gave %+v, %v", out, err)
	}
	err := m.Execute(t.Context(), "nonsense", nil, nil)
	var refused *Error
	if !errors.As(err, &refused) || refused.Class != "CommandNotFound" || refused.Command != "nonsense" {
		t.Errorf("nonsense gave %v", err)
	}
	raw, err := m.Run([]byte(`{"execute": "echo", "arguments": {"word": "raw"}, "id": 7}`))
	if err != nil || !strings.Contains(string(raw), `"return": {"word":"raw"}`) && !strings.Contains(string(raw), `{"word": "raw"}`) {
		t.Errorf("Run gave %s, %v", raw, err)
	}
	for _, bad := range []string{`{"arguments": {}}`, `[]`, `{"execute": 1}`, `{`} {
		if _, err := m.Run([]byte(bad)); err == nil {
			t.Errorf("Run accepted %s", bad)
		}
	}
}

// A reply far above 64 KiB and events around it: the reader neither dies nor mixes them up.
func TestBigRepliesAmongEvents(t *testing.T) {
	const events = 40
	big := strings.Repeat("x", 3<<20)
	m, _ := start(t, Options{}, "", func(_ *fakeQEMU, r request) string {
		var b strings.Builder
		b.WriteString(event("BEFORE", 0))
		b.WriteString(ok(r, `"`+big+`"`))
		for i := range events {
			b.WriteString(event("AFTER", i))
		}
		return b.String()
	})
	got, err := m.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustConnect(t, m)
	const rounds = 3
	for range rounds {
		var out string
		if err := m.Execute(t.Context(), "big", nil, &out); err != nil || out != big {
			t.Fatalf("reply of %d bytes, %v", len(out), err)
		}
	}
	for range rounds {
		if e := <-got; e.Event != "BEFORE" {
			t.Fatalf("got %+v", e)
		}
		for i := range events {
			if e := <-got; e.Event != "AFTER" || e.Data["n"] != float64(i) {
				t.Fatalf("got %+v, want AFTER %d", e, i)
			}
		}
	}
}

func TestMessageTooLong(t *testing.T) {
	m, _ := start(t, Options{MaxMessage: 1000}, "", func(_ *fakeQEMU, r request) string {
		return ok(r, `"`+strings.Repeat("x", 2000)+`"`)
	})
	mustConnect(t, m)
	if err := m.Execute(t.Context(), "big", nil, nil); !errors.Is(err, ErrTooLong) || !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// Commands in flight together get their own replies, in whatever order they come.
func TestConcurrentCommands(t *testing.T) {
	var held []string
	m, _ := start(t, Options{}, "", func(_ *fakeQEMU, r request) string {
		held = append(held, ok(r, string(r.Arguments)))
		if len(held) < 10 {
			return ""
		}
		answer := ""
		for _, h := range held {
			answer = h + answer
		}
		held = nil
		return answer
	})
	mustConnect(t, m)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			var out struct{ N int }
			if err := m.Execute(t.Context(), "echo", map[string]int{"n": i}, &out); err != nil || out.N != i {
				t.Errorf("command %d got %d, %v", i, out.N, err)
			}
		})
	}
	wg.Wait()
}

// An event glued to the handshake's reply reaches who subscribed before Connect.
func TestEventGluedToHandshake(t *testing.T) {
	m, _ := start(t, Options{}, event("EARLY", 1), nil)
	got, err := m.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustConnect(t, m)
	if e := <-got; e.Event != "EARLY" {
		t.Errorf("got %+v", e)
	}
}

// A subscriber that never reads holds up neither commands, nor other subscribers, nor Disconnect.
func TestSlowSubscriber(t *testing.T) {
	m, _ := start(t, Options{}, "", func(_ *fakeQEMU, r request) string {
		return strings.Repeat(event("E", 0), 100) + ok(r, "{}")
	})
	slow, err := m.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	fast, err := m.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mustConnect(t, m)
	for range 20 {
		if err := m.Execute(t.Context(), "noisy", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 2000 {
		<-fast
	}
	cancel()
	for range fast { // it is closed once ctx has ended
	}
	if err := m.Disconnect(); err != nil {
		t.Fatal(err)
	}
	for range slow {
	}
}

func TestServerDies(t *testing.T) {
	m, _ := start(t, Options{}, "", func(f *fakeQEMU, r request) string {
		f.write(event("LAST", 1))
		if r.Execute == "quit" {
			f.write(ok(r, "{}"))
		}
		f.conn.Close()
		return ""
	})
	got, err := m.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustConnect(t, m)
	if err := m.Execute(t.Context(), "die", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("command gave %v", err)
	}
	<-m.Done()
	if err := m.Execute(t.Context(), "later", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("later command gave %v", err)
	}
	if e, more := <-got; !more || e.Event != "LAST" {
		t.Errorf("last event is %+v", e)
	}
	if _, more := <-got; more {
		t.Error("the channel of events stays open")
	}
	if _, err := m.Events(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Events gave %v", err)
	}
}

// A reply that comes right before the end of the connection still counts.
func TestReplyThenEnd(t *testing.T) {
	for range 50 {
		m, _ := start(t, Options{}, "", func(f *fakeQEMU, r request) string {
			f.write(ok(r, "{}"))
			f.conn.Close()
			return ""
		})
		mustConnect(t, m)
		if err := m.Execute(t.Context(), "quit", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := start(t, Options{Timeout: time.Minute}, "", func(_ *fakeQEMU, r request) string {
			if r.Execute == "silent" {
				return ""
			}
			return ok(r, "{}")
		})
		mustConnect(t, m)
		begin := time.Now()
		if err := m.Execute(t.Context(), "silent", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if d := time.Since(begin); d != time.Minute {
			t.Errorf("gave up after %v", d)
		}
		why := errors.New("no longer needed")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		if err := m.Execute(ctx, "silent", nil, nil); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		if err := m.Execute(t.Context(), "other", nil, nil); err != nil {
			t.Errorf("a command after an abandoned one: %v", err)
		}
	})
}

// A QEMU that does not read does not block its callers beyond their deadlines.
func TestStuckServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		m, _ := start(t, Options{Timeout: time.Minute}, "", func(*fakeQEMU, request) string {
			<-stuck
			return ""
		})
		defer close(stuck)
		mustConnect(t, m)
		for range 3 {
			if err := m.Execute(t.Context(), "any", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestConnectFailures(t *testing.T) {
	refused := errors.New("refused")
	m := New(func(context.Context) (net.Conn, error) { return nil, refused }, Options{})
	if err := m.Execute(t.Context(), "any", nil, nil); !errors.Is(err, ErrNotConnected) {
		t.Errorf("before Connect: %v", err)
	}
	if err := m.Connect(); !errors.Is(err, refused) {
		t.Errorf("Connect gave %v", err)
	}
	if err := m.Connect(); err == nil {
		t.Error("a second Connect was accepted")
	}
	if err := m.Disconnect(); err != nil {
		t.Errorf("Disconnect gave %v", err)
	}
	if _, err := m.Events(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Events gave %v", err)
	}

	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		m := New(func(context.Context) (net.Conn, error) { return ours, nil }, Options{})
		if err := m.Connect(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a silent QEMU gave %v", err)
		}
	})

	ours, theirs := net.Pipe()
	go func() {
		_, _ = theirs.Write([]byte("SSH-2.0-OpenSSH\r\n"))
		theirs.Close()
	}()
	m = New(func(context.Context) (net.Conn, error) { return ours, nil }, Options{})
	if err := m.Connect(); !errors.Is(err, ErrClosed) {
		t.Errorf("a server of something else gave %v", err)
	}
}

// go-qemu's users see nothing but the interface.
func TestAsInterface(t *testing.T) {
	m, _ := start(t, Options{}, "", func(_ *fakeQEMU, r request) string { return ok(r, "{}") })
	var i goqemu.Monitor = m
	if err := i.Connect(); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Run([]byte(`{"execute":"stop"}`)); err != nil {
		t.Error(err)
	}
}
