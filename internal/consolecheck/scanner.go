package consolecheck

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxLine is how many bytes of a line are examined.
	maxLine = 8 << 10
	// maxFindings is how many findings of a rule are reported per boot.
	maxFindings = 100
)

// Config says how to scan.
type Config struct {
	// Source is Console, unless it says Journal.
	Source string
	// Accel is how the guest's CPU is made; "tcg" (emulation) makes rules about
	// time less severe.
	Accel string
	// Exempt lists rules whose lines are no findings, by name. "name:text"
	// exempts only lines that contain the text.
	Exempt []string
	// Extra rules are tried before those of the table, and so can refine them.
	Extra []Rule
	// FlushAfter is how long the Scanner waits for the rest of a line, or of a
	// crash report, before it reports what it has (1 s); negative waits for
	// ever.
	FlushAfter time.Duration
}

// Validate says which extra rules and exemptions are wrong.
func (c Config) Validate() error {
	var errs []error
	rules := slices.Concat(c.Extra, Rules())
	names := map[string]bool{}
	for _, r := range rules {
		if _, err := compile(r); err != nil {
			errs = append(errs, err)
		}
		if names[r.Name] {
			errs = append(errs, fmt.Errorf("console rule %s: there is another one of that name", r.Name))
		}
		names[r.Name] = true
	}
	for _, e := range c.Exempt {
		if name, _, _ := strings.Cut(e, ":"); !names[name] {
			errs = append(errs, fmt.Errorf("exempt %q from the console check: there is no such rule", name))
		}
	}
	return errors.Join(errs...)
}

// Check is a Config made ready, for any number of Scanners.
type Check struct {
	source     string
	flushAfter time.Duration
	markers    []marker
	rules      []*rule
	prompts    []*rule
	filter     *filter
}

// New makes a Check. What Validate objects to in cfg has no effect.
func New(cfg Config) *Check {
	c := &Check{source: cmp.Or(cfg.Source, Console), flushAfter: cmp.Or(cfg.FlushAfter, time.Second)}
	c.markers = markers(c.source)
	var literals []string
	for _, m := range c.markers {
		literals = append(literals, m.literal)
	}
	var rows []*rule
	for _, extra := range cfg.Extra {
		if row, err := compile(extra); err == nil {
			rows = append(rows, row)
		}
	}
	for _, row := range append(rows, table()...) {
		if row.ConsoleOnly && c.source != Console {
			continue
		}
		r := *row
		r.Severity = severity(r.Rule, c.source, cfg.Accel)
		r.exempt(cfg.Exempt)
		if r.Prompt {
			c.prompts = append(c.prompts, &r)
		} else {
			c.rules = append(c.rules, &r)
		}
		literals = append(literals, r.Literals...)
	}
	// A line that begins with a prompt is known for it before its end.
	c.rules = slices.Concat(c.prompts, c.rules)
	c.filter = newFilter(literals)
	return c
}

// Scanner examines the text of one console or journal, as an io.Writer that
// never fails.
type Scanner struct {
	*Check
	emit func(Finding)

	mu       sync.Mutex
	timer    *time.Timer
	line     int    // number of the current line
	start    int64  // offset of the current raw line
	length   int    // bytes of it so far
	raw      []byte // the first maxLine of them
	prompted []prompt
	boots    boots
	report   report
	counts   map[*rule]int // matches in this boot
	dropped  int
}

// prompt is a finding made before its line ended.
type prompt struct {
	rule   *rule
	offset int64
}

// Scanner makes a Scanner. It tells report each finding, one at a time, from
// the goroutine of Write or Flush or one of its own; report must not call the
// Scanner.
func (c *Check) Scanner(report func(Finding)) *Scanner {
	return &Scanner{Check: c, emit: report, line: 1, boots: boots{n: 1, markers: c.markers}, counts: map[*rule]int{}}
}

// NewScanner makes a Scanner for one text.
func NewScanner(cfg Config, report func(Finding)) *Scanner { return New(cfg).Scanner(report) }

// severity adapts a rule's severity to where the text comes from. A guest whose
// journal can be read is not dead.
func severity(r Rule, source, accel string) Severity {
	level := r.Severity
	if accel == "tcg" && r.Emulated != 0 {
		level = r.Emulated
	}
	if source == Journal {
		level = min(level, Fatal)
	}
	return level
}

// Write examines the next bytes.
func (s *Scanner) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		s.take(p[:i])
		s.endLine()
		s.line++
		p = p[i+1:]
	}
	s.take(p)
	s.examinePrompt()
	s.wait()
	return n, nil
}

// Flush examines a line that has not ended as if it had, and reports what is
// held back. It belongs at the end of the text. What may follow on the line
// counts as a line of its own.
func (s *Scanner) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.nextLine()
	s.send(s.report.release())
}

// Dropped returns how many findings were left out because their rules had
// matched too often.
func (s *Scanner) Dropped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// take adds bytes without a line feed. A carriage return ends a raw line, too.
func (s *Scanner) take(p []byte) {
	for {
		i := bytes.IndexByte(p, '\r')
		if i < 0 {
			break
		}
		s.extend(p[:i])
		s.endLine()
		p = p[i+1:]
	}
	s.extend(p)
}

func (s *Scanner) extend(p []byte) {
	s.length += len(p)
	s.raw = append(s.raw, p[:min(len(p), maxLine-len(s.raw))]...)
}

// endLine examines the current raw line and begins the next one behind the one
// byte that ended it.
func (s *Scanner) endLine() {
	s.nextLine()
	s.start++
}

// nextLine examines the current raw line and begins the next one.
func (s *Scanner) nextLine() {
	s.examine(s.raw)
	s.start += int64(s.length)
	s.length = 0
	s.raw = s.raw[:0]
	s.prompted = s.prompted[:0]
}

// wait has Flush called unless what is missing comes soon.
func (s *Scanner) wait() {
	switch missing := len(s.raw) > 0 || s.report.waiting; {
	case s.flushAfter < 0:
	case s.timer != nil && !missing:
		s.timer.Stop()
	case s.timer != nil:
		s.timer.Reset(s.flushAfter)
	case missing:
		s.timer = time.AfterFunc(s.flushAfter, s.Flush)
	}
}

// examine looks for findings in a raw line.
func (s *Scanner) examine(raw []byte) {
	if plain(raw) {
		if s.worth(raw) {
			s.examineText(s.start, string(raw))
		}
		return
	}
	for _, p := range pieces(raw) {
		if s.worth([]byte(p.text)) {
			s.examineText(s.start+int64(p.offset), p.text)
		}
	}
}

// worth says whether a line needs a closer look.
func (s *Scanner) worth(line []byte) bool {
	return len(line) > 0 && (s.report.left > 0 || s.filter.may(line))
}

func (s *Scanner) examineText(offset int64, text string) {
	body := message(s.source, text)
	if s.boots.see(body) {
		s.send(s.report.close())
		clear(s.counts)
	}
	s.send(s.report.line(body))
	for _, r := range s.rules {
		if title, ok := r.match(body); ok {
			s.found(r, title, offset, text)
			return
		}
	}
}

// examinePrompt looks for prompts in the line that has not ended.
func (s *Scanner) examinePrompt() {
	if !s.worth(s.raw) {
		return
	}
	for _, p := range pieces(s.raw) {
		for _, r := range s.prompts {
			if title, ok := r.match(message(s.source, p.text)); ok {
				s.found(r, title, s.start+int64(p.offset), p.text)
				break
			}
		}
	}
}

// found makes a finding of a match.
func (s *Scanner) found(r *rule, title string, offset int64, text string) {
	if r.Prompt {
		// The same whether or not the line has ended.
		text = r.pattern.FindString(message(s.source, text))
		seen := prompt{r, offset}
		if slices.Contains(s.prompted, seen) {
			return
		}
		s.prompted = append(s.prompted, seen)
	}
	if r.exempts(text) {
		return
	}
	s.counts[r]++
	switch n := s.counts[r]; {
	case r.Times > 0 && n != r.Times:
		return
	case r.Times == 0 && n > maxFindings:
		s.dropped++
		return
	}
	s.send(s.report.add(Finding{
		Source: s.source, Rule: r.Name, Severity: r.Severity, Title: Normalize(title),
		Text: strings.TrimSpace(text), Boot: s.boots.n, Line: s.line, Offset: offset,
	}, r.Kernel))
}

func (s *Scanner) send(findings []Finding) {
	for _, f := range findings {
		s.emit(f)
	}
}
