package ignition

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"fmt"
	"io"
	"net/http"

	"seatrial/harness"
	"seatrial/internal/fixtures/authority"
)

// The ports of the fixtures.
const (
	httpPort  = 80
	httpsPort = 443
)

// served answers requests for paths, with their queries, by texts.
func served(texts map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := texts[r.URL.RequestURI()]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, text)
	})
}

// always is the sabotage of a fixture that has one answer to all questions.
func always(port uint16, text, message string) harness.Sabotage {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	return harness.Sabotage{
		Name:    "other-content",
		Serve:   harness.Served{port: func(string) (http.Handler, error) { return handler, nil }},
		Message: message,
	}
}

const localText = "kola-http\n"

func local() harness.Test {
	return booted(harness.Test{
		Name: "coreos.ignition.resource.local",
		Doc:  "Files of a config come from the config itself, and from a server of the same network.",
		Run: func(ctx context.Context, t *harness.T) {
			url := "http://" + t.Serve(ctx, httpPort, served(map[string]string{"/http": localText})) + "/http"
			answers(ctx, t, url, "")
			m := files(map[string]resource{"data": data("kola-data\n"), "http": {Source: url}}).boot(ctx, t)
			compare(ctx, t, m, map[string]string{"data": "kola-data\n", "http": localText})
		},
		Sabotage: []harness.Sabotage{rejected(httpPort, noAnswer), always(httpPort, "else", `Ignition wrote "else" into /var/resource/http`)},
	})
}

const remoteText = "kola-anonymous\n"

func remote() harness.Test {
	return booted(harness.Test{
		Name: "coreos.ignition.resource.remote",
		Doc:  "Files come by HTTP and by HTTPS, one of them compressed, and are verified by their hashes.",
		Run:  runRemote,
		Sabotage: []harness.Sabotage{
			rejected(httpsPort, noAnswer),
			// What has a hash is refused, and the machine with it: only the file without one can come otherwise.
			{
				Name: "other-content", Message: `Ignition wrote "else" into /var/resource/http`,
				Serve: harness.Served{httpPort: func(string) (http.Handler, error) {
					packed, err := pack(remoteText)
					return served(map[string]string{"/plain": "else", "/packed": packed}), err
				}},
			},
		},
	})
}

func pack(text string) (string, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		return "", err
	}
	err := w.Close()
	return b.String(), err
}

func runRemote(ctx context.Context, t *harness.T) {
	packed, err := pack(remoteText)
	t.Check(err)
	ca, err := authority.New("fixtures")
	t.Check(err)
	config, err := ca.Server("fixture", t.FixtureAddress())
	t.Check(err)
	plain := "http://" + t.Serve(ctx, httpPort, served(map[string]string{"/plain": remoteText, "/packed": packed}))
	secure := "https://" + t.ServeTLS(ctx, httpsPort, served(map[string]string{"/plain": remoteText}), config)
	answers(ctx, t, plain+"/plain", "")
	answers(ctx, t, secure+"/plain", "-k") // it is Ignition that shall know the authority

	hash := func(text string) verification {
		return verification{Hash: fmt.Sprintf("sha512-%x", sha512.Sum512([]byte(text)))}
	}
	m := files(map[string]resource{
		"http":   {Source: plain + "/plain"},
		"packed": {Source: plain + "/packed", Compression: "gzip", Verification: hash(remoteText)},
		"https":  {Source: secure + "/plain", Verification: hash(remoteText)},
	}).trust(ca).boot(ctx, t)
	compare(ctx, t, m, map[string]string{"http": remoteText, "packed": remoteText, "https": remoteText})
}

// bucket is the path of an object in the way that S3 is asked without names of
// hosts; versions are asked for by a query.
const (
	bucket     = "/kola-fixtures/resources/versioned"
	firstID    = "EOuUGaWdkwHXbQgfAf4JqAl4QNLcAqUG"
	firstText  = "original\n"
	secondText = "updated\n"
)

func versioned() harness.Test {
	return booted(harness.Test{
		Name: "coreos.ignition.resource.s3.versioned",
		Doc:  "Of an object with versions, as S3 serves it, the one comes that was asked for, and without a version the newest.",
		Run: func(ctx context.Context, t *harness.T) {
			url := "http://" + t.Serve(ctx, httpPort, served(map[string]string{
				bucket: secondText, bucket + "?versionId=" + firstID: firstText,
			})) + bucket
			answers(ctx, t, url, "")
			m := files(map[string]resource{"original": {Source: url + "?versionId=" + firstID}, "latest": {Source: url}}).boot(ctx, t)
			compare(ctx, t, m, map[string]string{"original": firstText, "latest": secondText})
		},
		Sabotage: []harness.Sabotage{always(httpPort, secondText, `Ignition wrote "updated\\n" into /var/resource/original, want "original`)},
	})
}
