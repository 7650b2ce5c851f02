package clusterhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"syscall"

	"seatrial/internal/qmp"
)

// The control protocol is HTTP over a unix socket. Bodies are JSON; streams (dial, console) are
// upgraded connections. A failure is a status above 399 with a wireError.
const (
	upgradeProtocol = "seatrial-stream"

	kindNoMachine = "no-machine"
	kindEnded     = "ended"
)

// wireError carries an error over the control socket. Kinds that callers tell apart become the
// same error again on the other side.
type wireError struct {
	Text  string
	Kind  string     `json:",omitempty"`
	Errno int        `json:",omitempty"`
	QMP   *qmp.Error `json:",omitempty"`
}

// kinds are the sentinels that cross the socket.
func kinds() map[string]error {
	return map[string]error{kindNoMachine: ErrNoMachine, kindEnded: ErrMachineEnded}
}

func toWire(err error) wireError {
	w := wireError{Text: err.Error()}
	if refused, ok := errors.AsType[*qmp.Error](err); ok {
		w.QMP = refused
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		w.Errno = int(errno)
	}
	for kind, sentinel := range kinds() {
		if errors.Is(err, sentinel) {
			w.Kind = kind
		}
	}
	return w
}

// remoteError is an error of the host as its client sees it.
type remoteError struct {
	text  string
	cause error // nil, or what the error was on the other side
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.cause }

func (w wireError) err() error {
	e := &remoteError{text: w.Text, cause: kinds()[w.Kind]}
	switch {
	case w.QMP != nil:
		e.cause = w.QMP
	case w.Errno != 0:
		e.cause = syscall.Errno(w.Errno)
	}
	return e
}

// reply writes a result, or an error.
func reply(w http.ResponseWriter, result any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		result = toWire(err)
	}
	_ = json.NewEncoder(w).Encode(result) // a client that went away has its own error
}

// decodeReply reads a result, or an error.
func decodeReply(r *http.Response, result any) error {
	if r.StatusCode >= http.StatusBadRequest {
		var w wireError
		if err := json.NewDecoder(r.Body).Decode(&w); err != nil {
			return fmt.Errorf("cluster host answered %s", r.Status)
		}
		return w.err()
	}
	if result == nil {
		return nil
	}
	if err := json.NewDecoder(r.Body).Decode(result); err != nil {
		return fmt.Errorf("decode answer of cluster host: %w", err)
	}
	return nil
}
