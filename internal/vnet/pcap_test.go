package vnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// readPcap parses a capture and returns its frames.
func readPcap(t testing.TB, b []byte, at time.Time) (frames [][]byte) {
	t.Helper()
	le := binary.LittleEndian
	want := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 1, 0, 0, 0}
	le.PutUint32(want[16:], maxFrameSize)
	if len(b) < len(want) || !bytes.Equal(b[:len(want)], want) {
		t.Fatalf("file header % x, want % x", b[:min(len(b), len(want))], want)
	}
	b = b[len(want):]
	for len(b) > 0 {
		seconds, micros, size, whole := le.Uint32(b), le.Uint32(b[4:]), le.Uint32(b[8:]), le.Uint32(b[12:])
		if got := time.Unix(int64(seconds), int64(micros)*1000); !at.IsZero() && !got.Equal(at) {
			t.Errorf("frame at %v, want %v", got, at)
		}
		if size != whole {
			t.Errorf("frame of %d bytes cut to %d", whole, size)
		}
		frames = append(frames, b[16:16+size])
		b = b[16+size:]
	}
	return frames
}

func TestCapture(t *testing.T) {
	at := time.Date(2026, 11, 22, 1, 2, 3, 456789000, time.UTC)
	cfg := testConfig(t)
	cfg.Now = func() time.Time { return at }
	n := newNetwork(t, cfg)
	p := plug(n.fabric, "a", "b")
	var file bytes.Buffer
	n.fabric.forward(p[0], ether(0xff, 0x10, 'x'))
	stop, err := n.Capture(&file, 0)
	if err != nil {
		t.Fatal(err)
	}
	impair(t, n.fabric, Impairment{Links: []LinkFault{{Drop: 1}}})
	sent := [][]byte{ether(0xff, 0x10, '1'), ether(0x10, 2, '2'), append(ether(0xff, 2, '3'), make([]byte, 1454)...)}
	for _, frame := range sent {
		n.fabric.forward(p[0], frame)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	n.fabric.forward(p[0], ether(0xff, 0x10, 'y'))
	if diff := cmp.Diff(sent, readPcap(t, file.Bytes(), at)); diff != "" {
		t.Error(diff)
	}
	if err := stop(); err != nil {
		t.Errorf("second stop: %v", err)
	}
}

func TestCaptureLimit(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	p := plug(n.fabric, "a")
	var file bytes.Buffer
	const frames = 3
	const limit = pcapHeaderSize + frames*(pcapRecordHeader+60) + 30
	stop, err := n.Capture(&file, limit)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		n.fabric.forward(p[0], ether(0xff, 0x10, 0))
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := len(readPcap(t, file.Bytes(), time.Time{})); got != frames || file.Len() > limit {
		t.Errorf("%d frames in %d bytes, want %d in at most %d", got, file.Len(), frames, limit)
	}
	if _, err := n.Capture(&file, 10); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("limit below the header: %v", err)
	}
}

// brokenWriter fails after its first write, or blocks until released.
type brokenWriter struct {
	writes int
	err    error
	block  chan struct{}
}

func (w *brokenWriter) Write(b []byte) (int, error) {
	w.writes++
	if w.writes == 1 {
		return len(b), nil
	}
	if w.block != nil {
		<-w.block
	}
	return len(b), w.err
}

func TestCaptureReportsLoss(t *testing.T) {
	n := newNetwork(t, testConfig(t))
	p := plug(n.fabric, "a")
	full := errors.New("disk full")
	stop, err := n.Capture(&brokenWriter{err: full}, 0)
	if err != nil {
		t.Fatal(err)
	}
	n.fabric.forward(p[0], ether(0xff, 0x10, 0))
	if err := stop(); !errors.Is(err, full) {
		t.Errorf("error %v, want the writer's", err)
	}
	slow := &brokenWriter{block: make(chan struct{})}
	if stop, err = n.Capture(slow, 0); err != nil {
		t.Fatal(err)
	}
	for range captureQueue + 10 {
		n.fabric.forward(p[0], ether(0xff, 0x10, 0))
	}
	close(slow.block)
	if err := stop(); !errors.Is(err, errIncomplete) {
		t.Errorf("error %v, want %v", err, errIncomplete)
	}
}
