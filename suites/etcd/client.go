package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"seatrial/suites/etcd/history"
)

// client asks one member over the gateway that serves etcd's version 3 API as
// JSON, in etcd 3.4 and later below /v3. It connects to the member's machine as
// the harness does, past every partition.
type client struct {
	name string // of the member
	http *http.Client
}

func newClient(m member) *client {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return m.Dial(ctx, network, net.JoinHostPort("127.0.0.1", strconv.Itoa(clientPort)))
	}
	return &client{m.ID(), &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// The messages of the API, as far as they are needed. Numbers of 64 bits are
// strings in JSON, and byte strings are in base64.
type (
	header struct {
		Revision int64  `json:"revision,string"`
		Member   string `json:"member_id"`
	}
	keyValue struct {
		Key      []byte `json:"key"`
		Value    []byte `json:"value"`
		Revision int64  `json:"mod_revision,string"`
	}
	statusReply struct {
		Header header `json:"header"`
		Leader string `json:"leader"` // the leader's member_id, 0 or missing without one
	}
	watchEvent struct {
		Type string   `json:"type"` // empty for a write
		KV   keyValue `json:"kv"`
	}
	watchReply struct {
		Result struct {
			Header header       `json:"header"`
			Events []watchEvent `json:"events"`
		} `json:"result"`
	}
)

// call posts a request and decodes the answer.
func (c *client) call(ctx context.Context, path string, in, out any) error {
	body, err := c.post(ctx, path, in)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return fmt.Errorf("%s%s: %w", c.name, path, err)
	}
	return nil
}

func (c *client) post(ctx context.Context, path string, in any) (io.ReadCloser, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.name+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, fmt.Errorf("%s%s: %s: %s", c.name, path, resp.Status, bytes.TrimSpace(text))
	}
	return resp.Body, nil
}

// put writes a key and returns the write's revision.
func (c *client) put(ctx context.Context, key, value string) (int64, error) {
	var reply struct {
		Header header `json:"header"`
	}
	err := c.call(ctx, "/v3/kv/put", map[string][]byte{"key": []byte(key), "value": []byte(value)}, &reply)
	return reply.Header.Revision, err
}

// get reads a key as a quorum knows it; a missing one is the zero keyValue.
func (c *client) get(ctx context.Context, key string) (keyValue, error) {
	var reply struct {
		KVs []keyValue `json:"kvs"`
	}
	err := c.call(ctx, "/v3/kv/range", map[string][]byte{"key": []byte(key)}, &reply)
	if err != nil || len(reply.KVs) == 0 {
		return keyValue{}, err
	}
	return reply.KVs[0], nil
}

// status is what the member itself knows, without asking the others.
func (c *client) status(ctx context.Context) (statusReply, error) {
	var reply statusReply
	err := c.call(ctx, "/v3/maintenance/status", struct{}{}, &reply)
	return reply, err
}

// log returns every version that the member holds up to a revision.
func (c *client) log(ctx context.Context, last int64) ([]history.Version, error) {
	body, err := c.post(ctx, "/v3/watch", map[string]any{
		"create_request": map[string]any{"key": []byte{0}, "range_end": []byte{0}, "start_revision": "1"},
	})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var log []history.Version
	for dec := json.NewDecoder(body); len(log) == 0 || log[len(log)-1].Revision < last; {
		var reply watchReply
		if err := dec.Decode(&reply); err != nil {
			return nil, fmt.Errorf("watch %s up to revision %d, got %d versions: %w", c.name, last, len(log), err)
		}
		for _, e := range reply.Result.Events {
			if e.KV.Revision > last {
				return log, nil
			}
			log = append(log, history.Version{
				Key: string(e.KV.Key), Value: string(e.KV.Value), Revision: e.KV.Revision, Deleted: e.Type == "DELETE",
			})
		}
	}
	return log, nil
}
