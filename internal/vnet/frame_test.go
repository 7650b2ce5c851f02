package vnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

func TestReadFrame(t *testing.T) {
	tests := []struct {
		name  string
		input []byte
		want  []byte
		err   error
	}{
		{"frame", []byte{0, 0, 0, 3, 'a', 'b', 'c', 'x'}, []byte("abc"), nil},
		{"empty frame", []byte{0, 0, 0, 0}, []byte{}, nil},
		{"end between frames", nil, nil, io.EOF},
		{"end in the length", []byte{0, 0}, nil, io.ErrUnexpectedEOF},
		{"end in the frame", []byte{0, 0, 0, 3, 'a'}, nil, io.ErrUnexpectedEOF},
		{"end before the frame", []byte{0, 0, 0, 3}, nil, io.ErrUnexpectedEOF},
		{"largest", append(binary.BigEndian.AppendUint32(nil, maxFrameSize), make([]byte, maxFrameSize)...), make([]byte, maxFrameSize), nil},
		{"one more", append(binary.BigEndian.AppendUint32(nil, maxFrameSize+1), make([]byte, maxFrameSize+1)...), nil, errFraming},
		{"text", []byte("GET / HTTP/1.1\r\n"), nil, errFraming},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readFrame(bytes.NewReader(tt.input))
			if !errors.Is(err, tt.err) || !bytes.Equal(got, tt.want) {
				t.Errorf("got %d bytes, error %v; want %d bytes, error %v", len(got), err, len(tt.want), tt.err)
			}
		})
	}
}

// FuzzReadFrame checks that what is read from any stream is written back as the same bytes, and that
// no stream makes the reader take more than a frame's memory.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		var back bytes.Buffer
		for {
			frame, err := readFrame(r)
			if err != nil {
				break
			}
			if err := writeFrame(&back, frame); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(stream, back.Bytes()) {
			t.Errorf("read %x, wrote %x", stream, back.Bytes())
		}
	})
}

// FuzzGateway feeds the gateway arbitrary frames: it must neither panic nor stop answering.
func FuzzGateway(f *testing.F) {
	n := newNetwork(f, testConfig(f))
	if _, err := n.AddHost(Host{Name: "a"}); err != nil {
		f.Fatal(err)
	}
	v4, v6 := n.Gateway()
	for _, dst := range [][]byte{v4.AsSlice(), v6.AsSlice(), {192, 0, 2, 1}} {
		f.Add(uint16(0x0800), append([]byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 77, 0, 11}, dst...))
	}
	f.Add(uint16(0x86dd), []byte{0x60, 0, 0, 0, 0, 8, 58, 255})
	f.Add(uint16(0x0806), []byte{0, 1, 8, 0, 6, 4, 0, 1})
	f.Fuzz(func(t *testing.T, kind uint16, body []byte) {
		frame := append([]byte(n.gw.mac), MAC(1, "a", "lan")...)
		frame = binary.BigEndian.AppendUint16(frame, kind)
		n.gw.receive(append(frame, body...))
	})
}
