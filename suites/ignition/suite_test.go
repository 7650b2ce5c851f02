package ignition

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"seatrial/internal/fixtures/authority"
)

func TestConfig(t *testing.T) {
	ca := &authority.Authority{PEM: []byte("a b\n+")}
	c := files(map[string]resource{"b": {Source: "http://x/b", Compression: "gzip", Verification: verification{"sha512-0"}}, "a": data("50%")}).trust(ca)
	got, err := json.Marshal(c)
	const want = `{"ignition":{"version":"3.0.0","security":{"tls":{"certificateAuthorities":[{"source":"data:;base64,YSBiCis="}]}}},` +
		`"storage":{"files":[{"path":"/var/resource/a","mode":420,"contents":{"source":"data:;base64,NTAl"}},` +
		`{"path":"/var/resource/b","mode":420,"contents":{"source":"http://x/b","compression":"gzip","verification":{"hash":"sha512-0"}}}]}}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

// An object's versions are told apart by the query, as S3 does.
func TestServed(t *testing.T) {
	h := served(map[string]string{bucket: secondText, bucket + "?versionId=1": firstText})
	for path, want := range map[string]string{bucket: secondText, bucket + "?versionId=1": firstText, bucket + "?versionId=2": "404 page not found\n"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if got := w.Body.String(); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
