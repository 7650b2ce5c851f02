package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// get asks for a URL, as it is: without compression on the way, by which the
// length and the digest would be those of something else.
func get(ctx context.Context, w *watchdog, u *url.URL) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Close = true // one file, one connection, nothing left behind
	w.start()
	defer w.stop()
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return nil, requestError(ctx, err)
	}
	return resp, nil
}

// requestError takes the URL, which may hold secrets, out of an error of the
// HTTP client, and names what ended its context.
func requestError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// A watchdog ends a context when something that it watches takes too long.
type watchdog struct {
	limit  time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func newWatchdog(ctx context.Context, limit time.Duration) (*watchdog, context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watchdog{limit: limit, cancel: cancel}
	w.timer = time.AfterFunc(limit, func() {
		cancel(fmt.Errorf("the server sent nothing for %v", limit))
	})
	w.timer.Stop()
	return w, ctx
}

func (w *watchdog) start() { w.timer.Reset(w.limit) }
func (w *watchdog) stop()  { w.timer.Stop() }

// Close ends the watchdog, and its context.
func (w *watchdog) Close() {
	w.stop()
	w.cancel(context.Canceled)
}

// reader watches each read of a response's body.
func (w *watchdog) reader(ctx context.Context, body io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		w.start()
		defer w.stop()
		n, err := body.Read(p)
		if err != nil && err != io.EOF {
			err = requestError(ctx, err)
		}
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
