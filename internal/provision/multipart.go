package provision

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
)

// part is a part of a MIME message, with its transfer encoding undone.
type part struct {
	header textproto.MIMEHeader
	body   []byte
	line   int // of the body's first line in the message; 0 if it was encoded
}

// kind tells what the part is to cloud-init; empty for all that this package
// leaves alone.
func (p part) kind() Kind {
	switch mediaType, _, _ := mime.ParseMediaType(p.header.Get("Content-Type")); mediaType {
	case "text/cloud-config":
		return CloudConfig
	case "text/x-shellscript":
		return Script
	case "", "text/plain": // cloud-init looks at the content, too
		if kind, err := Detect(p.body); err == nil && (kind == CloudConfig || kind == Script) {
			return kind
		}
	}
	return ""
}

// render renders the part in place and reports whether it changed.
func (p *part) render(o Options) (bool, Report) {
	before := p.body
	var r Report
	switch p.kind() {
	case CloudConfig:
		p.body, r = renderCloudConfig(p.body, max(p.line, 1), o)
	case Script:
		p.body, r = renderScript(p.body, o.Vars)
	}
	return !bytes.Equal(before, p.body), r
}

// hasKeys reports whether the part is a cloud-config that sets keys of its own:
// cloud-init would take one list or the other.
func (p part) hasKeys() bool {
	if p.kind() != CloudConfig {
		return false
	}
	root, problems := decodeYAML(p.body)
	if problems != nil {
		return false
	}
	key, _ := lookup(root, "ssh_authorized_keys")
	return key != nil
}

// renderMultipart renders each part by its kind and adds a cloud-config with the
// keys, unless a part has a list to which they can be added. It returns raw
// itself where nothing had to be changed.
func renderMultipart(raw []byte, o Options) ([]byte, Report) {
	parts, subtype, err := readParts(raw)
	if err != nil {
		return nil, Report{Errors: []Problem{{Message: err.Error()}}}
	}
	var r Report
	changed, placed := false, false
	for i := range parts {
		po := o
		if parts[i].hasKeys() {
			placed = true
		} else {
			po.SSHKeys = nil
		}
		partChanged, pr := parts[i].render(po)
		r.add(pr.inPart(i+1, parts[i].line > 0))
		changed = changed || partChanged
	}
	if len(o.SSHKeys) > 0 && !placed {
		parts = append(parts, keysPart(o.SSHKeys))
		changed = true
	}
	if !changed || len(r.Errors) > 0 {
		return raw, r
	}
	return writeParts(parts, subtype), r
}

// inPart names the part in the findings, and takes away the positions of a part
// that was encoded.
func (r Report) inPart(number int, located bool) Report {
	for _, ps := range [][]Problem{r.Errors, r.Warnings} {
		for i := range ps {
			at := fmt.Sprintf("part %d", number)
			if ps[i].Path != "" {
				at += ", " + ps[i].Path
			}
			ps[i].Path = at
			if !located {
				ps[i].Line, ps[i].Column = 0, 0
			}
		}
	}
	return r
}

// renderScript substitutes in a script.
func renderScript(raw []byte, vars map[string]string) ([]byte, Report) {
	out, err := expandScript(string(raw), vars)
	if err != nil {
		return nil, Report{Errors: []Problem{{Message: err.Error()}}}
	}
	return []byte(out), Report{}
}

// wrapScript makes a message of a script and a cloud-config with the keys.
func wrapScript(script []byte, keys []string) []byte {
	return writeParts([]part{
		{header: typeHeader("text/x-shellscript"), body: script},
		keysPart(keys),
	}, "mixed")
}

func keysPart(keys []string) part {
	body, _ := renderCloudConfig([]byte(cloudConfigHeader+"\n"), 1, Options{SSHKeys: keys})
	return part{header: typeHeader("text/cloud-config"), body: body}
}

func typeHeader(mediaType string) textproto.MIMEHeader {
	return textproto.MIMEHeader{"Content-Type": {mediaType + `; charset="utf-8"`}}
}

// readParts splits a message into its parts.
func readParts(raw []byte) (parts []part, subtype string, err error) {
	message, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, "", fmt.Errorf("read the header: %w", err)
	}
	mediaType, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return nil, "", fmt.Errorf("read the header Content-Type: %w", err)
	}
	if params["boundary"] == "" {
		return nil, "", errors.New("the header Content-Type has no boundary")
	}
	reader := multipart.NewReader(message.Body, params["boundary"])
	for searched := 0; ; {
		p, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) && len(parts) == 0 {
			return nil, "", fmt.Errorf("no part begins with the boundary %q", params["boundary"])
		}
		if errors.Is(err, io.EOF) {
			return parts, strings.TrimPrefix(mediaType, "multipart/"), nil
		}
		if err != nil {
			return nil, "", fmt.Errorf("read part %d: %w", len(parts)+1, err)
		}
		encoded, err := io.ReadAll(p)
		if err != nil {
			return nil, "", fmt.Errorf("read part %d: %w", len(parts)+1, err)
		}
		next := part{header: p.Header}
		if next.body, err = decodeTransfer(p.Header, encoded); err != nil {
			return nil, "", fmt.Errorf("read part %d: %w", len(parts)+1, err)
		}
		if at := bytes.Index(raw[searched:], encoded); at >= 0 && bytes.Equal(encoded, next.body) {
			next.line, _ = position(raw, int64(searched+at))
			searched += at + len(encoded)
		}
		next.header.Del("Content-Transfer-Encoding")
		parts = append(parts, next)
	}
}

func decodeTransfer(header textproto.MIMEHeader, encoded []byte) ([]byte, error) {
	switch enc := strings.ToLower(header.Get("Content-Transfer-Encoding")); enc {
	case "", "7bit", "8bit", "binary":
		return encoded, nil
	case "base64":
		return io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(encoded)))
	case "quoted-printable":
		return io.ReadAll(quotedprintable.NewReader(bytes.NewReader(encoded)))
	default:
		return nil, fmt.Errorf("unknown Content-Transfer-Encoding %q", enc)
	}
}

// writeParts writes a message, with bodies as they are. The boundary is a hash of
// the bodies, which none of them can contain.
func writeParts(parts []part, subtype string) []byte {
	hash := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(hash, "%d:%s", len(p.body), p.body)
	}
	boundary := fmt.Sprintf("part-%x", hash.Sum(nil)[:12])

	var b bytes.Buffer
	fmt.Fprintf(&b, "Content-Type: multipart/%s; boundary=\"%s\"\r\nMIME-Version: 1.0\r\n\r\n", subtype, boundary)
	w := multipart.NewWriter(&b)
	// The boundary is a legal one, and a bytes.Buffer takes every write.
	_ = w.SetBoundary(boundary)
	for _, p := range parts {
		pw, _ := w.CreatePart(p.header)
		_, _ = pw.Write(p.body)
	}
	_ = w.Close()
	return b.Bytes()
}
