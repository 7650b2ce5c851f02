// Package runstore keeps run directories: the event stream of a run, written
// so that a killed runner loses nothing that had finished, and the files
// around it.
//
// A [Store] is the one writer of a stream. Every event goes through it, gets
// its number and its time, is written, and only then reaches the subscribers,
// which see exactly what a later reader of the file sees. The package does not
// interpret results; that is package rollup's.
package runstore

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
)

// EventsFile is the name of the event stream in a run directory.
const EventsFile = "events.jsonl"

// The errors that a caller may want to tell apart.
var (
	// ErrInUse: the directory holds something already.
	ErrInUse = errors.New("output directory in use")
	// ErrLocked: another process writes to the run.
	ErrLocked = errors.New("another process is writing to this run")
	// ErrNoRun: the directory holds no run, or one that died before it began.
	ErrNoRun = errors.New("no run in this directory")
	// ErrPlanChanged: the tests or images are not those of the run.
	ErrPlanChanged = errors.New("the plan is not that of the run")
)

// Config says where a new run directory is made.
type Config struct {
	// Root holds the run directories and the link "latest" to the newest.
	Root string
	// ID is the run's id; see NewID.
	ID string
	// Dir, if set, is the run directory itself. It may exist if it is empty,
	// and gets no link.
	Dir string
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// NewID returns a new random id for a run: 8 hexadecimal digits.
func NewID() string {
	var b [4]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Store writes the event stream of a run. Its methods are safe for concurrent
// use, except that a subscriber must not call Append.
type Store struct {
	dir string
	now func() time.Time

	mu       sync.Mutex
	file     *os.File
	size     int64 // bytes of whole lines in file
	seq      int64 // of the last event
	pending  []event.Body
	subs     []*subscriber
	cells    map[event.Cell]bool
	places   rollup.Places
	stale    bool // places do not know all cells
	unusable error
}

// Create makes a run directory and its empty stream, and takes the run's lock.
// The error wraps ErrInUse if the directory given by c.Dir is not empty.
func Create(c Config) (*Store, error) {
	now := c.Now
	if now == nil {
		now = time.Now
	}
	dir := c.Dir
	if dir == "" {
		dir = filepath.Join(c.Root, now().UTC().Format("20060102-150405")+"-"+c.ID)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make run directory: %w", err)
	}
	if err := requireEmpty(dir); err != nil {
		return nil, err
	}
	// Of two that see the directory empty, only one creates the stream.
	file, err := os.OpenFile(filepath.Join(dir, EventsFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("make event stream: %w", err)
	}
	s := newStore(dir, now, file)
	if err := s.settle(c); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

func newStore(dir string, now func() time.Time, file *os.File) *Store {
	return &Store{dir: dir, now: now, file: file, cells: make(map[event.Cell]bool)}
}

// settle takes the lock of a new run, makes its directory last, and links to it.
func (s *Store) settle(c Config) error {
	if err := lock(s.file); err != nil {
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return err
	}
	if c.Dir != "" {
		return nil
	}
	return replaceLink(filepath.Base(s.dir), filepath.Join(c.Root, "latest"))
}

func requireEmpty(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open run directory: %w", err)
	}
	defer d.Close()
	switch _, err := d.Readdirnames(1); {
	case err == io.EOF:
		return nil
	case err != nil:
		return fmt.Errorf("read run directory: %w", err)
	default:
		return fmt.Errorf("%w: %s is not empty", ErrInUse, dir)
	}
}

// Dir is the run directory.
func (s *Store) Dir() string { return s.dir }

// Append gives the event its number and time, writes it, and hands it to the
// subscribers. At the end of an attempt, a test, a shard or a run, and where
// something was left behind, it returns after the stream is on the disk. When
// it fails nothing was written and no subscriber has seen the event.
func (s *Store) Append(b event.Body) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.record(s.now(), b, durable(b)); err != nil {
		return err
	}
	if _, ok := b.(*event.RunStarted); !ok {
		return nil
	}
	for len(s.pending) > 0 {
		if err := s.record(s.now(), s.pending[0], true); err != nil {
			return err
		}
		s.pending = s.pending[1:]
	}
	return nil
}

// record appends one event that happened at the given time, and returns after
// it is on the disk if durable is set.
func (s *Store) record(at time.Time, b event.Body, durable bool) error {
	if s.unusable != nil {
		return s.unusable
	}
	var line bytes.Buffer
	if err := event.Encode(&line, event.Event{Seq: s.seq + 1, Time: at.UTC(), Body: b}); err != nil {
		return fmt.Errorf("append event: %w", err)
	}
	// What subscribers get is decoded from the line, so that a live report
	// and a replayed one cannot differ.
	e, err := event.NewDecoder(bytes.NewReader(line.Bytes())).Decode()
	if err != nil {
		return fmt.Errorf("append event: %w", err)
	}
	if err := s.write(line.Bytes(), durable); err != nil {
		return err
	}
	s.seq++
	s.note(e)
	for _, sub := range s.subs {
		sub.deliver(e)
	}
	return nil
}

// write adds a line to the stream or leaves the stream as it was.
func (s *Store) write(line []byte, durable bool) error {
	_, err := s.file.WriteAt(line, s.size)
	if err == nil && durable {
		err = s.file.Sync()
	}
	if err != nil {
		if cutErr := s.file.Truncate(s.size); cutErr != nil {
			s.unusable = fmt.Errorf("append event: the stream is damaged: %w", cutErr)
		}
		return fmt.Errorf("append event: %w", err)
	}
	s.size += int64(len(line))
	return nil
}

// durable reports whether an event must survive a crash of the host.
func durable(b event.Body) bool {
	switch b.(type) {
	case *event.RunStarted, *event.AttemptFinished, *event.TestFinished, *event.CleanupFailed, *event.RunFinished:
		return true
	}
	return false
}

// note remembers what the store itself needs of an event.
func (s *Store) note(e event.Event) {
	if b, ok := e.Body.(*event.TestPlanned); ok && !s.cells[b.Cell] {
		s.cells[b.Cell] = true
		s.stale = true
	}
}

// Close ends the writing: it gives up the lock and returns what went wrong in
// subscribers. It may be called again, to no effect.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	errs := make([]error, 0, len(s.subs)+2)
	for _, sub := range s.subs {
		errs = append(errs, sub.failure())
	}
	errs = append(errs, s.file.Sync(), s.file.Close())
	s.file, s.unusable = nil, fmt.Errorf("append event: %w", os.ErrClosed)
	return errors.Join(errs...)
}
