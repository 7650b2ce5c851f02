package triage

import (
	"fmt"
	"regexp"
	"strings"
)

const months = `(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)`

// moments are points in time, which become TIME.
const moments = `\b\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?\b` + // ISO 8601, Go's log
	`|\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?` + months + ` +\d{1,2} (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d+)?(?: [A-Z]{3,4})?(?: \d{4})?\b` + // syslog, date(1)
	`|\b\d{4}-\d\d-\d\d\b` +
	`|\b\d\d:\d\d:\d\d(?:\.\d+)?\b` +
	`|\[ *\d+\.\d{6}\]` // printk

// noise matches what changes from run to run without meaning anything. Its
// only group is set for points in time. Of two alternatives that match at the
// same place the first one counts.
var noise = regexp.MustCompile(strings.Join([]string{
	`\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b`, // UUID
	`\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b`,                 // MAC
	`\b(?:[0-9a-fA-F]{1,4}:){1,7}(?::[0-9a-fA-F]{1,4}){1,7}\b`, // IPv6, shortened
	`\b(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}\b`,             // IPv6 in full
	`(` + moments + `)`,
	`\b\d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d{1,5})?\b`, // IPv4, with port or prefix
	`\blocalhost:\d+\b`,
	`\b0x[0-9a-fA-F]+\b`,
	`\b[0-9a-f]{12,}\b`,                              // digests, container and machine ids
	`-[0-9a-f]{8,10}-[a-z0-9]{5}\b`,                  // pods of a Kubernetes deployment
	`/(?:var/)?tmp/[^\s'"` + "`" + `:,;()]+`,         // temporary files
	`\b(?:goroutine|pid|PID|tid|process)[ =:]+\d+\b`, // processes and threads
	`\[\d+\]`,                     // a process in a log: sshd[812]
	`\.[a-z]{1,4}:\d+(?::\d+)?\b`, // a line of source
	`\b(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?(?:ns|us|µs|ms|s)\b|\b\d+h\d+m\b`, // durations
	`\b\d{5,}\b`,
}, "|"))

// rename takes the noise out of a text by alpha-renaming, after the failure
// clustering of Kubernetes (test-infra, triage/summarize/text.go): the first
// noisy token becomes UNIQ1 wherever it stands, the next one UNIQ2, so that
// "got A, want A" and "got A, want B" stay different. Points in time become
// TIME.
//
// Its rule for name suffixes (-x7k2p) is narrowed to pods of deployments: in an
// OS image's world it would take "udevd" out of "systemd-udevd".
func rename(text string) string {
	var b strings.Builder
	names := make(map[string]string)
	done := 0
	for _, m := range noise.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(text[done:m[0]])
		done = m[1]
		if m[2] >= 0 {
			b.WriteString("TIME")
			continue
		}
		token := text[m[0]:m[1]]
		if names[token] == "" {
			names[token] = fmt.Sprintf("UNIQ%d", len(names)+1)
		}
		b.WriteString(names[token])
	}
	return b.String() + text[done:]
}
