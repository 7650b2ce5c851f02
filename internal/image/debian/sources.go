package debian

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// release is the distribution's release that the image is made of.
const release = "bookworm"

// keyring signs the release, where the host's sources name none.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// source is one package archive.
type source struct{ uri, suite, signedBy string }

// defaultSources are used by hosts whose own sources are of another release.
func defaultSources() []source {
	return []source{
		{"http://deb.debian.org/debian", release, keyring},
		{"http://deb.debian.org/debian", release + "-updates", keyring},
		{"http://deb.debian.org/debian-security", release + "-security", keyring},
	}
}

// hostSources takes those of the host's archives that hold the release's main
// component, so that the host's choice of mirror is kept; etc is /etc/apt.
func hostSources(etc string) ([]source, error) {
	var found []source
	files, err := filepath.Glob(filepath.Join(etc, "sources.list.d", "*"))
	if err != nil {
		return nil, fmt.Errorf("read apt sources: %w", err)
	}
	for _, name := range append(files, filepath.Join(etc, "sources.list")) {
		parse := parseOneLine
		switch filepath.Ext(name) {
		case ".sources":
			parse = parseDeb822
		case ".list":
		default:
			continue
		}
		data, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read apt sources: %w", err)
		}
		for _, s := range parse(string(data)) {
			if !slices.Contains(found, s) {
				found = append(found, s)
			}
		}
	}
	if !slices.ContainsFunc(found, func(s source) bool { return s.suite == release }) {
		return defaultSources(), nil
	}
	return found, nil
}

func wantedSuite(s string) bool {
	return s == release || s == release+"-updates" || s == release+"-security"
}

// parseDeb822 reads the stanzas of a .sources file.
func parseDeb822(text string) []source {
	var out []source
	for _, p := range parseControl(text) {
		if strings.EqualFold(p.get("Enabled"), "no") || !slices.Contains(strings.Fields(p.get("Types")), "deb") ||
			!slices.Contains(strings.Fields(p.get("Components")), "main") {
			continue
		}
		signedBy := p.get("Signed-By")
		if !filepath.IsAbs(signedBy) {
			signedBy = keyring
		}
		for _, uri := range strings.Fields(p.get("URIs")) {
			for _, suite := range strings.Fields(p.get("Suites")) {
				if wantedSuite(suite) {
					out = append(out, source{uri, suite, signedBy})
				}
			}
		}
	}
	return out
}

// parseOneLine reads the "deb [options] URI SUITE COMPONENT..." lines of a .list
// file.
func parseOneLine(text string) []source {
	var out []source
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !ok {
			continue
		}
		s := source{signedBy: keyring}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			options, after, _ := strings.Cut(rest[1:], "]")
			rest = after
			for _, o := range strings.Fields(options) {
				if v, ok := strings.CutPrefix(o, "signed-by="); ok {
					s.signedBy = v
				}
			}
		}
		fields := strings.Fields(rest)
		if len(fields) < 3 || !wantedSuite(fields[1]) || !slices.Contains(fields[2:], "main") {
			continue
		}
		s.uri, s.suite = fields[0], fields[1]
		out = append(out, s)
	}
	return out
}

// formatSources writes sources in apt's one-line form.
func formatSources(sources []source) string {
	var b strings.Builder
	for _, s := range sources {
		fmt.Fprintf(&b, "deb [signed-by=%s] %s %s main\n", s.signedBy, s.uri, s.suite)
	}
	return b.String()
}
