package kubernetes

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"gopkg.in/yaml.v3"
)

// api is an administrator's access to a cluster.
type api struct {
	client http.Client
	server string // "https://host:port"
}

// kubeconfig is the part of such a file that kubeadm's have.
type kubeconfig struct {
	Clusters []struct {
		Cluster struct {
			Server string `yaml:"server"`
			CA     string `yaml:"certificate-authority-data"`
		} `yaml:"cluster"`
	} `yaml:"clusters"`
	Users []struct {
		User struct {
			Certificate string `yaml:"client-certificate-data"`
			Key         string `yaml:"client-key-data"`
		} `yaml:"user"`
	} `yaml:"users"`
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newAPI reads who may do what where from a kubeconfig.
func newAPI(config []byte, dial dialFunc) (*api, error) {
	var k kubeconfig
	if err := yaml.Unmarshal(config, &k); err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	if len(k.Clusters) != 1 || len(k.Users) != 1 {
		return nil, fmt.Errorf("kubeconfig: %d clusters and %d users, want one of each", len(k.Clusters), len(k.Users))
	}
	ca, err1 := base64.StdEncoding.DecodeString(k.Clusters[0].Cluster.CA)
	cert, err2 := base64.StdEncoding.DecodeString(k.Users[0].User.Certificate)
	key, err3 := base64.StdEncoding.DecodeString(k.Users[0].User.Key)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("kubeconfig: no certificate of the authority")
	}
	return &api{
		server: k.Clusters[0].Cluster.Server,
		client: http.Client{Transport: &http.Transport{
			DialContext:     dial,
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}},
		}},
	}, nil
}

// statusError is an answer other than success.
type statusError struct {
	method, path string
	code         int
	body         []byte
}

func (e *statusError) Error() string {
	var status struct{ Message string }
	if json.Unmarshal(e.body, &status) != nil || status.Message == "" {
		status.Message = string(e.body)
	}
	return fmt.Sprintf("%s %s: status %d: %s", e.method, e.path, e.code, status.Message)
}

// request sends a manifest in YAML, if there is one, and returns the answer.
func (a *api) request(ctx context.Context, method, path, manifest string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.server+path, bytes.NewReader([]byte(manifest)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/yaml")
	req.Header.Set("Accept", "application/json, */*")
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, &statusError{method, path, resp.StatusCode, body}
	}
	return body, nil
}

// get decodes what is at a path.
func (a *api) get(ctx context.Context, path string, into any) error {
	body, err := a.request(ctx, http.MethodGet, path, "")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// create makes an object in the collection at a path. One that is there is
// taken for the one of an earlier try.
func (a *api) create(ctx context.Context, path, manifest string) error {
	_, err := a.request(ctx, http.MethodPost, path, manifest)
	if status, ok := errors.AsType[*statusError](err); ok && status.code == http.StatusConflict {
		return nil
	}
	return err
}
