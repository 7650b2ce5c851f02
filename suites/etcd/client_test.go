package etcd

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"seatrial/suites/etcd/history"
)

// answers of etcd 3.4.23, to the requests of the client.
const (
	putAnswer    = `{"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437","revision":"2","raft_term":"2"}}`
	getAnswer    = `{"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437","revision":"2","raft_term":"2"},"kvs":[{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"YmFy"}],"count":"1"}`
	statusAnswer = `{"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437","revision":"1","raft_term":"2"},"version":"3.4.23","dbSize":"24576","leader":"10276657743932975437","raftIndex":"4","raftTerm":"2","raftAppliedIndex":"4","dbSizeInUse":"24576"}`
	watchAnswer  = `{"result":{"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437","revision":"2","raft_term":"2"},"created":true}}
{"result":{"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437","revision":"2","raft_term":"2"},"events":[{"kv":{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"YmFy"}}]}}
{"result":{"header":{"revision":"4"},"events":[{"type":"DELETE","kv":{"key":"Zm9v","mod_revision":"3"}},{"kv":{"key":"Zm9v","mod_revision":"4","value":"YmFy"}}]}}
`
)

func fake(t *testing.T, status int, wantPath, wantBody, answer string) *client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != wantPath || string(body) != wantBody {
			t.Errorf("%s %s %s, %v; want a POST to %s of %s", r.Method, r.URL.Path, body, err, wantPath, wantBody)
		}
		w.WriteHeader(status)
		io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	return &client{"m0", &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

func TestClient(t *testing.T) {
	revision, err := fake(t, 200, "/v3/kv/put", `{"key":"Zm9v","value":"YmFy"}`, putAnswer).put(t.Context(), "foo", "bar")
	if revision != 2 || err != nil {
		t.Errorf("put: revision %d, %v", revision, err)
	}
	got, err := fake(t, 200, "/v3/kv/range", `{"key":"Zm9v"}`, getAnswer).get(t.Context(), "foo")
	if string(got.Value) != "bar" || got.Revision != 2 || err != nil {
		t.Errorf("get: %s at revision %d, %v", got.Value, got.Revision, err)
	}
	got, err = fake(t, 200, "/v3/kv/range", `{"key":"Zm9v"}`, putAnswer).get(t.Context(), "foo")
	if got.Revision != 0 || err != nil {
		t.Errorf("get of nothing: revision %d, %v", got.Revision, err)
	}
	status, err := fake(t, 200, "/v3/maintenance/status", `{}`, statusAnswer).status(t.Context())
	if status.Leader != "10276657743932975437" || status.Header.Member != status.Leader || err != nil {
		t.Errorf("status: %+v, %v", status, err)
	}
	_, err = fake(t, 503, "/v3/kv/range", `{"key":"Zm9v"}`, `{"error":"etcdserver: request timed out","code":14}`).get(t.Context(), "foo")
	if err == nil || !strings.Contains(err.Error(), "m0/v3/kv/range: 503") || !strings.Contains(err.Error(), "timed out") {
		t.Errorf("get without an answer: %v", err)
	}
}

func TestLog(t *testing.T) {
	const request = `{"create_request":{"key":"AA==","range_end":"AA==","start_revision":"1"}}`
	all := []history.Version{
		{Key: "foo", Value: "bar", Revision: 2},
		{Key: "foo", Revision: 3, Deleted: true},
		{Key: "foo", Value: "bar", Revision: 4},
	}
	for last := range int64(5) {
		if last < 2 {
			continue // a log begins with revision 2
		}
		log, err := fake(t, 200, "/v3/watch", request, watchAnswer).log(t.Context(), last)
		if !slices.Equal(log, all[:last-1]) || err != nil {
			t.Errorf("log up to %d: %v, %v", last, log, err)
		}
	}
	if log, err := fake(t, 200, "/v3/watch", request, watchAnswer).log(t.Context(), 5); err == nil {
		t.Errorf("a watch that ended early gave %v", log)
	}
}
