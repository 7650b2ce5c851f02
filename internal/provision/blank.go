package provision

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// blanked stands where a secret was.
const blanked = "BLANKED"

// Blank returns a copy of user data, as rendered or as its author wrote it, that
// may be kept as an artifact: passwords and their hashes, private keys in PEM,
// tokens, secrets in HTTP headers and URLs, and LUKS key files are blanked. The
// structure stays that of its kind; contents that were encoded are encoded
// again. Secrets that look like nothing in particular are not found.
func Blank(data []byte) []byte {
	kind, err := Detect(data)
	if err != nil {
		return []byte(blankText(string(data)))
	}
	switch kind {
	case Ignition:
		if doc, problem := decodeJSON(data); problem == nil {
			if blankJSON(doc) {
				return encodeJSON(doc)
			}
			return bytes.Clone(data)
		}
	case Butane, CloudConfig:
		if out, ok := blankYAML(data, kind); ok {
			return out
		}
	case Multipart:
		if parts, subtype, err := readParts(data); err == nil {
			for i := range parts {
				parts[i].body = Blank(parts[i].body)
			}
			return writeParts(parts, subtype)
		}
	}
	return []byte(blankText(string(data)))
}

// blankJSON blanks the secrets of an Ignition config in place and reports
// whether there were any.
func blankJSON(doc map[string]any) bool {
	return rewriteJSON(doc, func(at jsonString) string {
		inKeyFile := slices.ContainsFunc(at.path.Path, func(p any) bool { return p == "keyFile" })
		header, _ := at.parent["name"].(string)
		switch {
		case isSecretName(at.key),
			at.key == "value" && secretHeader.MatchString(header):
			return blanked
		case at.isDataURL() && inKeyFile:
			return "data:," + blanked
		case at.isDataURL():
			return blankDataURL(at.value, at.parent["compression"] == "gzip")
		}
		return blankText(at.value)
	})
}

// blankDataURL blanks the secrets in a payload. A payload that cannot be
// unpacked goes as a whole.
func blankDataURL(url string, compressed bool) string {
	out, err := rewriteDataURL(url, compressed, func(payload []byte) ([]byte, error) {
		if kind, err := Detect(payload); err == nil && kind == Ignition {
			return Blank(payload), nil
		}
		return []byte(blankText(string(payload))), nil
	})
	if err != nil {
		return "data:," + blanked
	}
	return out
}

// blankYAML blanks the secrets of a Butane config or a cloud-config.
func blankYAML(data []byte, kind Kind) ([]byte, bool) {
	header, body := []byte(nil), data
	if kind == CloudConfig {
		_, body, _ = bytes.Cut(data, []byte("\n"))
		header = []byte(cloudConfigHeader + "\n")
	}
	root, problems := decodeYAML(body)
	if problems != nil {
		return nil, false
	}
	blankNode(root)
	eachScalar(root, func(n *yaml.Node) { n.Value = blankText(n.Value) })
	out, err := encodeYAML(root)
	if err != nil {
		return nil, false
	}
	return append(header, out...), true
}

// blankNode blanks what the keys of the mappings below n say is secret.
func blankNode(n *yaml.Node) {
	for _, c := range n.Content {
		blankNode(c)
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	if _, encoding := lookup(n, "encoding"); encoding != nil {
		if _, content := lookup(n, "content"); content != nil {
			content.Value = blankEncoded(content.Value, encoding.Value)
		}
	}
	_, compression := lookup(n, "compression")
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i].Value, n.Content[i+1]
		switch {
		case isSecretName(key), key == "chpasswd":
			blankSecret(value)
		case key == "key_file":
			eachScalar(value, blankScalar)
		case key == "source" && strings.HasPrefix(value.Value, "data:"):
			value.Value = blankDataURL(value.Value, compression != nil && compression.Value == "gzip")
		}
	}
}

// blankSecret blanks the value of a secret key: a scalar, a list of them, or
// the lists below chpasswd. Sections that only share their name with a secret,
// such as Butane's passwd, stay.
func blankSecret(value *yaml.Node) {
	switch value.Kind {
	case yaml.ScalarNode:
		blankScalar(value)
	case yaml.SequenceNode:
		for _, c := range value.Content {
			if c.Kind == yaml.ScalarNode {
				blankScalar(c)
			}
		}
	case yaml.MappingNode:
		if _, list := lookup(value, "list"); list != nil {
			blankSecret(list)
		}
	}
}

// blankScalar blanks a value, unless it is one that only says yes or no.
func blankScalar(n *yaml.Node) {
	if tag := n.ShortTag(); tag == "!!bool" || tag == "!!null" {
		return
	}
	*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: blanked, Anchor: n.Anchor}
}

// blankEncoded blanks the secrets in the contents of an entry of write_files.
func blankEncoded(content, encoding string) string {
	if !strings.Contains(encoding, "b64") && !strings.Contains(encoding, "base64") {
		return content
	}
	payload, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(content), ""))
	if err != nil {
		return content
	}
	zipped := strings.HasPrefix(encoding, "gz")
	if zipped {
		if payload, err = gunzip(payload); err != nil {
			return content
		}
	}
	out := []byte(blankText(string(payload)))
	if bytes.Equal(out, payload) {
		return content
	}
	if zipped {
		out = gzipped(out)
	}
	return base64.StdEncoding.EncodeToString(out)
}

// secretWords ends the names of secrets: keys of JSON and YAML, variables,
// settings in INI files, command-line options.
const secretWords = `(?:passw(?:or)?d(?:[_-]?hash)?|passphrase|secret|token|(?:api|access|private|preshared|auth|secret)[_-]?key)`

// secretValue is a quoted or plain word that is no reference to a variable.
const secretValue = `("[^"\n]*"|'[^'\n]*'|[^\s"'$][^\s"']*)`

// What secrets look like.
var (
	secretName   = regexp.MustCompile(`(?i)` + secretWords + `$`)
	secretHeader = regexp.MustCompile(`(?i)auth|token|cookie|secret|key`)

	pemBlock   = regexp.MustCompile(`(?s)(-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----).*?(-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|$)`)
	assignment = regexp.MustCompile(`(?i)(` + secretWords + `["']?[ \t]*[:=][ \t]*)` + secretValue)
	option     = regexp.MustCompile(`(?i)(--[\w-]*` + secretWords + `[ \t]+)` + secretValue)
	bearer     = regexp.MustCompile(`(?i)(authorization["']?[ \t]*[:=][ \t]*["']?(?:bearer|basic|token)[ \t]+)[^\s"']+`)
	userInfo   = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:)[^/\s@]+@`)
	cryptHash  = regexp.MustCompile(`\$(?:1|2[abxy]|5|6|7|y|gy)\$[^\s:"']+`)
)

func isSecretName(key string) bool { return secretName.MatchString(key) }

// blankText blanks the secrets of plain text.
func blankText(s string) string {
	s = pemBlock.ReplaceAllString(s, "${1}\n"+blanked+"\n${2}")
	s = bearer.ReplaceAllString(s, "${1}"+blanked)
	s = cryptHash.ReplaceAllString(s, blanked)
	s = userInfo.ReplaceAllString(s, "${1}"+blanked+"@")
	for _, re := range []*regexp.Regexp{assignment, option} {
		s = re.ReplaceAllStringFunc(s, func(match string) string {
			m := re.FindStringSubmatch(match)
			if quote := m[2][0]; quote == '"' || quote == '\'' {
				return m[1] + string(quote) + blanked + string(quote)
			}
			return m[1] + blanked
		})
	}
	return s
}
