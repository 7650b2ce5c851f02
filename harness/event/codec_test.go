package event

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRoundTrip sends one event of each type through the codec, every field
// set, so that a field without a JSON name or with one used twice shows.
func TestRoundTrip(t *testing.T) {
	var buf bytes.Buffer
	var want []Event
	for i, b := range bodies() {
		fill(reflect.ValueOf(b).Elem())
		e := Event{Seq: int64(i + 1), Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Body: b}
		want = append(want, e)
		if err := Encode(&buf, e); err != nil {
			t.Fatal(err)
		}
	}
	var got []Event
	d := NewDecoder(&buf)
	for {
		e, err := d.Decode()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// fill sets every field of v to a value other than zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"k": "v"}))
	case reflect.String:
		v.SetString("text")
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Bool:
		v.SetBool(true)
	default:
		panic("fill: " + v.Kind().String())
	}
}

func TestDecode(t *testing.T) {
	const ok = `{"seq":1,"time":"2026-01-02T03:04:05Z","type":"run.finished","end":"complete","seconds":1}` + "\n"
	tests := []struct {
		name, in string
		events   int
		err      string
		offset   int64
	}{
		{"empty", "", 0, "", 0},
		{"one", ok, 1, "", int64(len(ok))},
		{"blank lines", "\n" + ok + "\n", 1, "", int64(len(ok)) + 2},
		{"unknown type", `{"seq":1,"type":"from.the.future","x":{}}` + "\n" + ok, 2, "", 42 + int64(len(ok))},
		{"torn", ok + `{"seq":2,"ti`, 1, "events line 2: torn last line", int64(len(ok))},
		{"no type", `{"seq":1}` + "\n", 0, "events line 1: event has no type", 10},
		{"not JSON", "boom\n", 0, "events line 1: invalid character", 5},
		{"wrong field", `{"seq":1,"type":"run.finished","seconds":"x"}` + "\n", 0, "events line 1: ", 46},
		{"too long", strings.Repeat("x", MaxLine+100<<10), 0, "longer than", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := NewDecoder(strings.NewReader(tt.in))
			n := 0
			var err error
			for {
				if _, err = d.Decode(); err != nil {
					break
				}
				n++
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			if n != tt.events || (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %d events and error %v, want %d and %q", n, err, tt.events, tt.err)
			}
			if d.Offset() != tt.offset {
				t.Errorf("offset %d, want %d", d.Offset(), tt.offset)
			}
		})
	}
}

func TestEncodeRefusesHugeLines(t *testing.T) {
	e := Event{Body: &Output{Text: strings.Repeat("x", MaxLine)}}
	if err := Encode(io.Discard, e); err == nil {
		t.Error("a line over the limit was written")
	}
	if err := Encode(io.Discard, Event{}); err == nil {
		t.Error("an event without body was written")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"seq":1,"type":"finding","line":3}` + "\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		d := NewDecoder(bytes.NewReader(in))
		for {
			if _, err := d.Decode(); err != nil {
				return
			}
		}
	})
}
