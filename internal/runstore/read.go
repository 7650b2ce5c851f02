package runstore

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"

	"seatrial/harness/event"
)

// Read yields the events of the run in dir, also while it is being written. A
// torn last line is passed over. After an error there are no more events; it
// wraps ErrNoRun if dir holds no stream.
func Read(dir string) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		file, err := os.Open(filepath.Join(dir, EventsFile))
		if err != nil {
			yield(event.Event{}, openError(dir, err))
			return
		}
		defer file.Close()
		d := event.NewDecoder(file)
		for {
			e, err := d.Decode()
			if isEnd(err) {
				return
			}
			if err != nil {
				yield(event.Event{}, fmt.Errorf("read run %s: %w", dir, err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// isEnd reports whether a stream ends here, cleanly or in a torn line.
func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, event.ErrTorn) }

func openError(dir string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %s has no %s", ErrNoRun, dir, EventsFile)
	}
	return fmt.Errorf("read run: %w", err)
}
