package provision

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"net/textproto"
	"regexp"
	"strings"
)

// Kind is what user data is.
type Kind string

// The kinds of user data.
const (
	Empty       Kind = "empty"        // nothing but white space
	Ignition    Kind = "ignition"     // JSON with ignition.version, or ignitionVersion
	Butane      Kind = "butane"       // YAML with variant and version
	CloudConfig Kind = "cloud-config" // YAML under a #cloud-config line
	Script      Kind = "script"       // begins with #!
	Multipart   Kind = "multipart"    // a MIME message of such parts
)

// ErrUnknownKind is wrapped by errors about user data of no known kind.
var ErrUnknownKind = errors.New("user data of an unknown kind: accepted are " +
	"Ignition (JSON with ignition.version), Butane (YAML with variant and version), " +
	"cloud-config (first line #cloud-config), scripts (first line #!) and " +
	"multipart MIME (header Content-Type: multipart/...)")

// Top-level keys of a YAML mapping, found without parsing so that a document
// with a syntax error is still known for what it was meant to be.
var (
	yamlVariant = regexp.MustCompile(`(?m)^["']?variant["']?[ \t]*:`)
	yamlVersion = regexp.MustCompile(`(?m)^["']?version["']?[ \t]*:`)
)

// Detect tells the kind of user data by its content. It does not validate: data
// with a syntax error has a kind, too. The error wraps [ErrUnknownKind].
func Detect(raw []byte) (Kind, error) {
	trimmed := bytes.TrimSpace(raw)
	switch {
	case len(trimmed) == 0:
		return Empty, nil
	case isCloudConfig(raw):
		return CloudConfig, nil
	case bytes.HasPrefix(raw, []byte("#!")):
		return Script, nil
	case trimmed[0] == '{':
		return detectJSON(trimmed)
	case isMultipart(raw):
		return Multipart, nil
	case yamlVariant.Match(raw) && yamlVersion.Match(raw):
		return Butane, nil
	}
	return "", ErrUnknownKind
}

// isCloudConfig reports whether the first line is the header that cloud-init
// asks for.
func isCloudConfig(raw []byte) bool {
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	return string(bytes.TrimRight(line, " \t\r")) == cloudConfigHeader
}

// detectJSON tells Ignition from other JSON. JSON with a syntax error counts as
// Ignition, the only JSON that anyone would write.
func detectJSON(raw []byte) (Kind, error) {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(raw, &top); err != nil {
		return Ignition, nil
	}
	has := func(key string) bool { _, ok := top[key]; return ok }
	switch {
	case has("ignition"), has("ignitionVersion"):
		return Ignition, nil
	case has("variant") && has("version"): // JSON is YAML, too
		return Butane, nil
	}
	return "", ErrUnknownKind
}

// isMultipart reports whether raw begins with a MIME header of a multipart type.
func isMultipart(raw []byte) bool {
	// Header names hold no spaces, so that this is cheap for all that is
	// surely no message.
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	name, _, ok := strings.Cut(string(line), ":")
	if !ok || strings.ContainsAny(name, " \t\"'#") {
		return false
	}
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(raw))).ReadMIMEHeader()
	if err != nil {
		return false
	}
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter)) &&
		strings.HasPrefix(mediaType, "multipart/")
}
