package cli

import (
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"seatrial/internal/rollup"
	"seatrial/internal/triage"
	"seatrial/internal/triage/policy"
)

// policyFlags name the files by which a run is judged. Several commands have
// them.
type policyFlags struct {
	known, required, rules []string
}

func (f *policyFlags) register(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.known, "known", nil, "file of known failures, or a kola-denylist.yaml; repeatable")
	fs.StringArrayVar(&f.required, "required", nil, "file of tests that must have run, or a kola_enforcing.yaml; repeatable")
	fs.StringArrayVar(&f.rules, "rules", nil, "file of rules that name causes; repeatable")
}

// policy reads the files. Any mistake in one is wrong use.
func (f *policyFlags) policy() (rollup.Policy, error) {
	p := rollup.Policy{Now: time.Now()}
	for _, file := range f.known {
		k, err := readPolicy("--known", file, policy.ParseKnown)
		if err != nil {
			return p, err
		}
		if p.Known == nil {
			p.Known = &policy.Known{}
		}
		p.Known.Entries = append(p.Known.Entries, k.Entries...)
		p.Known.Quiet = append(p.Known.Quiet, k.Quiet...)
	}
	for _, file := range f.required {
		r, err := readPolicy("--required", file, policy.ParseRequired)
		if err != nil {
			return p, err
		}
		if p.Required == nil {
			p.Required = &policy.Required{}
		}
		p.Required.Tests = append(p.Required.Tests, r.Tests...)
	}
	for _, file := range f.rules {
		r, err := readPolicy("--rules", file, policy.ParseRules)
		if err != nil {
			return p, err
		}
		if p.Rules == nil {
			p.Rules = &policy.Rules{}
		}
		p.Rules.All = append(p.Rules.All, r.All...)
	}
	return p, nil
}

// gatePolicy reads a gate policy; without a file it is nil, the default one.
func gatePolicy(file string) (*policy.Gate, error) {
	if file == "" {
		return nil, nil
	}
	return readPolicy("--policy", file, policy.ParseGate)
}

// readPolicy reads a file by one of package policy's parsers, whose errors name
// file, line and column.
func readPolicy[T any](flag, file string, parse func(name string, data []byte) (T, error)) (T, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		var none T
		return none, usagef("%s: %w", flag, err)
	}
	parsed, err := parse(file, data)
	return parsed, usage(err)
}

// maxText bounds what rules look at of a console or journal, half of it from the
// start and half from the end.
const maxText = 256 << 10

// textsIn returns a reader of the texts in a run directory.
func textsIn(dir string) func(name string) string {
	return func(name string) string {
		f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return "" // a machine that did not come so far has none
		}
		defer f.Close()
		return triage.Excerpt(f, maxText)
	}
}
