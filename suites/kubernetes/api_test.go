package kubernetes

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// testServer answers like an API server, to clients with the certificate in
// the kubeconfig that is returned.
func testServer(t *testing.T) (config string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/good":
			fmt.Fprintf(w, `{"items": [{"metadata": {"name": "m0"}}]}`)
		case r.URL.Path == "/new" && string(body) == "kind: Pod":
			w.WriteHeader(http.StatusCreated)
		case r.URL.Path == "/old":
			w.WriteHeader(http.StatusConflict)
		default:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"kind": "Status", "message": "no service account"}`)
		}
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	key, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	cert := encode("CERTIFICATE", s.Certificate().Raw)
	return fmt.Sprintf("kind: Config\nclusters: [{cluster: {server: %q, certificate-authority-data: %s}}]\n"+
		"users: [{user: {client-certificate-data: %s, client-key-data: %s}}]\n", s.URL, cert, cert, encode("PRIVATE KEY", key))
}

func TestAPI(t *testing.T) {
	a, err := newAPI([]byte(testServer(t)), new(net.Dialer).DialContext)
	if err != nil {
		t.Fatal(err)
	}
	var nodes list[node]
	if err := a.get(t.Context(), "/good", &nodes); err != nil || len(nodes.Items) != 1 || nodes.Items[0].Metadata.Name != "m0" {
		t.Errorf("%+v, %v", nodes, err)
	}
	for _, path := range []string{"/new", "/old"} {
		if err := a.create(t.Context(), path, "kind: Pod"); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	err = a.create(t.Context(), "/forbidden", "kind: Pod")
	if _, ok := errors.AsType[*statusError](err); !ok || err.Error() != "POST /forbidden: status 403: no service account" {
		t.Errorf("%v", err)
	}
}

func TestBadKubeconfig(t *testing.T) {
	good := testServer(t)
	for _, c := range []struct{ config, want string }{
		{"clusters: [", "yaml"},
		{"{}", "0 clusters and 0 users"},
		{strings.Replace(good, "client-key-data: ", "client-key-data: !", 1), "kubeconfig: "},
		{strings.Replace(good, "certificate-authority-data", "other", 1), "no certificate of the authority"},
		{strings.Replace(good, "client-key-data", "other", 1), "kubeconfig: "},
	} {
		if _, err := newAPI([]byte(c.config), nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestAuthority(t *testing.T) {
	for _, bad := range []string{"", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if key, err := authority([]byte(bad)); err == nil {
			t.Errorf("%q gives %q", bad, key)
		}
	}
}
