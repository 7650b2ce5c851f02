package event

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxLine bounds the encoding of one event, in bytes. Writers cut long texts
// well below it.
const MaxLine = 4 << 20

// ErrTorn is wrapped by a Decoder's error for a last line that a cut-off
// writer left without its newline.
var ErrTorn = errors.New("torn last line")

// header has the fields that every event has.
type header struct {
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"`
	Type string    `json:"type"`
}

// MarshalJSON encodes the event as one flat object, header fields first.
func (e Event) MarshalJSON() ([]byte, error) {
	if e.Body == nil {
		return nil, errors.New("encode event: no body")
	}
	head, err := json.Marshal(header{e.Seq, e.Time.UTC(), e.Body.Type()})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.Body.Type(), err)
	}
	body, err := json.Marshal(e.Body)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.Body.Type(), err)
	}
	if len(body) == len("{}") {
		return head, nil
	}
	head[len(head)-1] = ','
	return append(head, body[1:]...), nil
}

// UnmarshalJSON decodes an event. One of an unknown type gets a nil Body and
// no error: readers pass over it.
func (e *Event) UnmarshalJSON(data []byte) error {
	var h header
	if err := json.Unmarshal(data, &h); err != nil {
		return err
	}
	if h.Type == "" {
		return errors.New("event has no type")
	}
	e.Seq, e.Time, e.Body = h.Seq, h.Time, newBody(h.Type)
	if e.Body == nil {
		return nil
	}
	return json.Unmarshal(data, e.Body)
}

func newBody(name string) Body {
	for _, b := range bodies() {
		if b.Type() == name {
			return b
		}
	}
	return nil
}

// bodies returns a new value of each type of event.
func bodies() []Body {
	return []Body{
		&RunStarted{}, &TestPlanned{}, &AttemptStarted{}, &MachineBooting{},
		&MachineReady{}, &MachineGone{}, &SubtestFinished{}, &Output{},
		&Finding{}, &AttemptFinished{}, &TestFinished{}, &CleanupFailed{},
		&RunFinished{},
	}
}

// Encode writes e to w as one line.
func Encode(w io.Writer, e Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if len(line) > MaxLine {
		return fmt.Errorf("encode %s: line of %d bytes is over the limit of %d", e.Body.Type(), len(line), MaxLine)
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// Decoder reads events from a stream of JSON lines.
type Decoder struct {
	r    *bufio.Reader
	line int
	off  int64
}

// NewDecoder returns a Decoder that reads r.
func NewDecoder(r io.Reader) *Decoder { return &Decoder{r: bufio.NewReaderSize(r, 64<<10)} }

// Offset is the number of bytes up to the end of the last whole line read.
func (d *Decoder) Offset() int64 { return d.off }

// Decode returns the next event, or io.EOF at the end. A last line without
// newline is an error that wraps ErrTorn. Empty lines are passed over.
func (d *Decoder) Decode() (Event, error) {
	for {
		line, err := d.readLine()
		if err != nil {
			return Event{}, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return Event{}, fmt.Errorf("events line %d: %w", d.line, err)
		}
		return e, nil
	}
}

func (d *Decoder) readLine() ([]byte, error) {
	var line []byte
	for {
		part, err := d.r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			d.line++
			d.off += int64(len(line))
			return line, nil
		case len(line) > MaxLine:
			return nil, fmt.Errorf("events line %d: longer than %d bytes", d.line+1, MaxLine)
		case errors.Is(err, bufio.ErrBufferFull):
			// Read on: the line is longer than the buffer.
		case err == io.EOF && len(line) > 0:
			return nil, fmt.Errorf("events line %d: %w", d.line+1, ErrTorn)
		default:
			return nil, err
		}
	}
}
