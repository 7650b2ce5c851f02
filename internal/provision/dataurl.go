package provision

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/vincent-petithory/dataurl"
)

// maxPayload bounds what a compressed payload may unpack to, in bytes.
const maxPayload = 64 << 20

// rewriteDataURL decodes the payload of a data: URL (RFC 2397), which is
// gzipped if compressed, and encodes what rewrite makes of it in the same way
// and under the same media type. A URL that cannot be decoded is returned as it
// is: the config's own parser says what is wrong with it.
func rewriteDataURL(url string, compressed bool, rewrite func([]byte) ([]byte, error)) (string, error) {
	decoded, err := dataurl.DecodeString(url)
	if err != nil {
		return url, nil
	}
	payload := decoded.Data
	if compressed {
		if payload, err = gunzip(payload); err != nil {
			return "", err
		}
	}
	out, err := rewrite(payload)
	if err != nil {
		return "", err
	}
	if bytes.Equal(out, payload) {
		return url, nil
	}
	if compressed {
		out = gzipped(out)
	}
	header, _, _ := strings.Cut(url, ",")
	if decoded.Encoding == dataurl.EncodingBase64 {
		return header + "," + base64.StdEncoding.EncodeToString(out), nil
	}
	return header + "," + dataurl.Escape(out), nil
}

// rewriteResource rewrites the payload of a resource's source; resource is the
// object that the URL is the source of, with its compression and its hash. On an
// error the URL is returned as it is.
func rewriteResource(url string, resource map[string]any, rewrite func([]byte) ([]byte, error)) (string, error) {
	out, err := rewriteDataURL(url, resource["compression"] == "gzip", rewrite)
	if err != nil {
		return url, err
	}
	verification, _ := resource["verification"].(map[string]any)
	if out != url && verification["hash"] != nil {
		return url, errors.New("its contents must be changed (variables, SSH keys, version), but have a verification hash, which would no longer hold: remove the hash")
	}
	return out, nil
}

// expandDataURL substitutes in the payload of a resource's source.
func expandDataURL(url string, resource map[string]any, vars map[string]string) (string, error) {
	if _, err := dataurl.DecodeString(url); err != nil {
		// A brace has no place in a URL, but ${name} has its meaning here.
		url, _ = substitute(url, vars, func(_, value string) (string, error) { return dataurl.EscapeString(value), nil })
	}
	return rewriteResource(url, resource, func(payload []byte) ([]byte, error) {
		return expandPayload(payload, vars)
	})
}

// expandPayload substitutes in a file's contents: in a config as in a config, in
// other text as it stands.
func expandPayload(payload []byte, vars map[string]string) ([]byte, error) {
	if !utf8.Valid(payload) {
		return payload, nil
	}
	if kind, err := Detect(payload); err == nil && kind == Ignition {
		if doc, problem := decodeJSON(payload); problem == nil {
			changed, vr := expandJSON(doc, vars)
			if err := fromVcontext(vr, nil).err(Ignition); err != nil {
				return nil, err
			}
			if !changed {
				return payload, nil
			}
			return encodeJSON(doc), nil
		}
	}
	return []byte(expand(string(payload), vars)), nil
}

func gunzip(data []byte) ([]byte, error) {
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("unpack gzip: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(zr, maxPayload+1))
	if err != nil {
		return nil, fmt.Errorf("unpack gzip: %w", err)
	}
	if len(out) > maxPayload {
		return nil, fmt.Errorf("unpack gzip: more than %d MiB", maxPayload>>20)
	}
	return out, nil
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	// A bytes.Buffer takes every write.
	_, _ = zw.Write(data)
	_ = zw.Close()
	return b.Bytes()
}
