package qmp

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	goqemu "github.com/digitalocean/go-qemu/qmp"
)

// message is any of the objects that QEMU sends, one to a line.
type message struct {
	Greeting *struct {
		Version goqemu.Version `json:"version"`
	} `json:"QMP"`
	Event  string          `json:"event"`
	ID     json.RawMessage `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`

	raw []byte // the whole line
}

// readMessage reads one line of at most limit bytes. The message owns its memory.
func readMessage(r *bufio.Reader, limit int) (message, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > limit {
			return message{}, fmt.Errorf("%w: more than %d bytes", ErrTooLong, limit)
		}
		if err == nil {
			break
		}
		if errors.Is(err, io.EOF) && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return message{}, err
		}
	}
	m := message{raw: bytes.TrimSpace(line)}
	if err := json.Unmarshal(m.raw, &m); err != nil {
		return message{}, fmt.Errorf("decode message: %w", err)
	}
	return m, nil
}

// withID returns a command with its id set, and the command's name.
func withID(command []byte, id string) (line []byte, name string, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(command, &fields); err != nil {
		return nil, "", fmt.Errorf("decode command: %w", err)
	}
	verb, ok := fields["execute"]
	if !ok {
		verb, ok = fields["exec-oob"]
	}
	if !ok || json.Unmarshal(verb, &name) != nil || name == "" {
		return nil, "", errors.New("decode command: it has no name to execute")
	}
	if fields["id"], err = json.Marshal(id); err != nil {
		return nil, "", fmt.Errorf("encode id: %w", err)
	}
	line, err = json.Marshal(fields)
	if err != nil {
		return nil, "", fmt.Errorf("encode command: %w", err)
	}
	return append(line, '\n'), name, nil
}
