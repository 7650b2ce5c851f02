package html

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// browser is a Chromium that is driven over its DevTools protocol
// (chromedevtools.github.io/devtools-protocol), on a pipe and without a network.
type browser struct {
	t       *testing.T
	in      io.WriteCloser
	out     *bufio.Reader
	id      int
	session string
	errors  []string // exceptions of the page and complaints of its policy
}

// message is what goes over the pipe, ended by a zero byte.
type message struct {
	ID        int                       `json:"id,omitempty"`
	SessionID string                    `json:"sessionId,omitempty"`
	Method    string                    `json:"method,omitempty"`
	Params    any                       `json:"params,omitempty"`
	Result    json.RawMessage           `json:"result,omitempty"`
	Error     *struct{ Message string } `json:"error,omitempty"`
}

// openBrowser starts Chromium with one empty page. Without a Chromium the test
// is skipped.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skipf("no browser to look at the page with: install the package chromium (make deps does): %v", err)
	}
	profile, err := os.MkdirTemp("", "seatrial-browser-") // t.TempDir would be removed too early
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	cmd := exec.CommandContext(ctx, path,
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	theirs, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{theirs, ours} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	ours.Close()
	t.Cleanup(func() {
		in.Close()
		out.Close()
		cancel()
		if err := cmd.Wait(); err != nil && ctx.Err() == nil {
			t.Logf("chromium: %v", err)
		}
		remove(t, profile)
	})
	b := &browser{t: t, in: in, out: bufio.NewReaderSize(out, 1<<20)}
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network", "Accessibility"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// remove removes the directory of a browser that has ended, whose children may
// write to it for a moment longer.
func remove(t *testing.T, profile string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for giveUp := time.Now().Add(10 * time.Second); ; <-tick.C {
		err := os.RemoveAll(profile)
		if err == nil {
			return
		}
		if time.Now().After(giveUp) {
			t.Error(err)
			return
		}
	}
}

// call sends a command and waits for its result; events that come meanwhile
// are looked at by event.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.id++
	line, err := json.Marshal(message{ID: b.id, SessionID: b.session, Method: method, Params: params})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(line, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	for {
		m := b.next()
		if m.ID != b.id {
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
		return
	}
}

// next reads a message and notes what speaks against the page.
func (b *browser) next() message {
	b.t.Helper()
	line, err := b.out.ReadBytes(0)
	if err != nil {
		b.t.Fatalf("chromium is gone: %v", err)
	}
	var m message
	var raw struct{ Params json.RawMessage }
	line = line[:len(line)-1]
	if err := errors.Join(json.Unmarshal(line, &m), json.Unmarshal(line, &raw)); err != nil {
		b.t.Fatalf("chromium said %.200s: %v", line, err)
	}
	switch m.Method {
	case "Runtime.exceptionThrown", "Log.entryAdded":
		b.errors = append(b.errors, string(raw.Params))
	case "Network.requestWillBeSent":
		var p struct{ Request struct{ URL string } }
		if err := json.Unmarshal(raw.Params, &p); err != nil || len(p.Request.URL) < 5 || p.Request.URL[:5] != "file:" {
			b.errors = append(b.errors, "request of "+p.Request.URL)
		}
	}
	return m
}

// open loads a file and returns the time until a frame of it was drawn, its
// script run.
func (b *browser) open(file, hash string) time.Duration {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": "about:blank"}, nil)
	b.call("Page.navigate", map[string]any{"url": "file://" + file + hash}, nil)
	for {
		if m := b.next(); m.Method == "Page.loadEventFired" {
			break
		}
	}
	ms := b.eval(`new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))`)
	return time.Duration(ms.(float64) * float64(time.Millisecond))
}

// eval evaluates an expression in the page, waiting for promises.
func (b *browser) eval(expression string) any {
	b.t.Helper()
	var out struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &out)
	if out.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, out.ExceptionDetails)
	}
	return out.Result.Value
}

// slowness is how much slower the machine is at this moment than an idle one
// with two cores of 2024, at least 1: limits of time are scaled by it.
func (b *browser) slowness() float64 {
	b.t.Helper()
	const idle = 60 // milliseconds
	const loop = `(() => { const start = performance.now(); let x = 0; for (let i = 0; i < 2e7; i++) x = (x * 31 + i) | 0; return performance.now() - start + (x & 0) })()`
	return max(1, min(b.eval(loop).(float64), b.eval(loop).(float64), b.eval(loop).(float64))/idle)
}

// want evaluates an expression and compares it.
func (b *browser) want(expression string, want any) {
	b.t.Helper()
	if got := b.eval(expression); fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("%s is %v, want %v", expression, got, want)
	}
}

// press sends keys as a keyboard does.
func (b *browser) press(keys ...string) {
	b.t.Helper()
	codes := map[string]int{"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
	for _, key := range keys {
		down := map[string]any{"type": "keyDown", "key": key, "windowsVirtualKeyCode": codes[key]}
		switch {
		case key == "Enter":
			down["text"] = "\r"
		case codes[key] == 0:
			down["text"] = key
		}
		b.call("Input.dispatchKeyEvent", down, nil)
		b.call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "windowsVirtualKeyCode": codes[key]}, nil)
	}
	b.eval(`new Promise(done => setTimeout(done, 150))`) // for the search that waits for the end of typing
}

// look sets the window and the colours.
func (b *browser) look(width, height int, dark bool, media string) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"media": media, "features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// shoot saves a picture where -shots says.
func (b *browser) shoot(name string) {
	b.t.Helper()
	if *shots == "" {
		return
	}
	var out struct{ Data string }
	b.call("Page.captureScreenshot", nil, &out)
	b.save(name+".png", out.Data)
}

// print saves the page as it comes out of a printer.
func (b *browser) print(name string) {
	b.t.Helper()
	if *shots == "" {
		return
	}
	var out struct{ Data string }
	b.call("Page.printToPDF", map[string]any{"landscape": true, "printBackground": false}, &out)
	b.save(name+".pdf", out.Data)
}

func (b *browser) save(name, data string) {
	b.t.Helper()
	content, err := base64.StdEncoding.DecodeString(data)
	if err == nil {
		err = os.WriteFile(filepath.Join(*shots, name), content, 0o644)
	}
	if err != nil {
		b.t.Error(err)
	}
}
