package provision

import (
	"errors"
	"fmt"
	"strings"
)

// Names of the variables that every platform knows once a machine has its
// addresses, and that [Validate] therefore takes for granted.
const (
	VarPublicIPv4  = "public_ipv4"
	VarPrivateIPv4 = "private_ipv4"
	VarPublicIPv6  = "public_ipv6"
	VarPrivateIPv6 = "private_ipv6"
	VarHostname    = "hostname"
	VarDiscovery   = "discovery" // URL of an etcd discovery token
)

// DefaultUser is the user who gets the SSH keys if the options name none.
const DefaultUser = "core"

// Options says what the machine needs to know and what its image understands.
// The zero value substitutes nothing, adds no key and accepts every spec.
type Options struct {
	// SSHKeys are lines of an authorized_keys file, added for User.
	SSHKeys []string
	// User is who the keys are for; empty means DefaultUser.
	User string
	// Vars maps names of variables to their values.
	Vars map[string]string
	// IgnitionMax is the highest Ignition spec that the image accepts
	// ("3.3.0"); empty means the highest that this package knows.
	IgnitionMax string
	// Ignition2 says that the image accepts specs 1 and 2, too.
	Ignition2 bool
}

// Rendered is what a machine receives.
type Rendered struct {
	// Kind is the kind of Data: Ignition where the author wrote Butane or,
	// with keys to add, nothing; Multipart where a key was added to a script.
	Kind Kind
	// Data is the user data; empty if and only if Kind is Empty.
	Data []byte
	// Report holds the warnings about what the author wrote.
	Report Report
}

// Validate checks user data before a machine has addresses: as Render does,
// with stand-ins for the standard variables that o gives no value, and without
// keys. The report is complete also when the error, an [*InvalidError] or one
// that wraps [ErrUnknownKind], is not nil.
func Validate(raw []byte, o Options) (Report, error) {
	o.Vars = withStandIns(o.Vars)
	o.SSHKeys = nil
	r, err := Render(raw, o)
	return r.Report, err
}

// Render makes of the author's user data what the machine receives. User data
// that is not valid is an [*InvalidError] with positions in raw.
//
// Data that nothing has to be changed in is returned as it is. An empty config
// becomes a minimal Ignition config if there are keys to add.
func Render(raw []byte, o Options) (Rendered, error) {
	if o.User == "" {
		o.User = DefaultUser
	}
	if err := checkKeys(o.SSHKeys); err != nil {
		return Rendered{}, fmt.Errorf("render user data: %w", err)
	}
	specs, err := specsOf(o)
	if err != nil {
		return Rendered{}, fmt.Errorf("render user data: %w", err)
	}
	kind, err := Detect(raw)
	if err != nil {
		return Rendered{}, fmt.Errorf("render user data: %w", err)
	}
	out := Rendered{Kind: kind}
	switch kind {
	case Ignition:
		out.Data, out.Report = renderIgnition(raw, o, specs)
	case Butane:
		out.Kind = Ignition
		out.Data, out.Report = renderButane(raw, o, specs)
	case CloudConfig:
		out.Data, out.Report = renderCloudConfig(raw, 1, o)
	case Script:
		out.Data, out.Report = renderScript(raw, o.Vars)
		if len(o.SSHKeys) > 0 {
			out.Kind = Multipart
			out.Data = wrapScript(out.Data, o.SSHKeys)
		}
	case Multipart:
		out.Data, out.Report = renderMultipart(raw, o)
	case Empty:
		if len(o.SSHKeys) > 0 {
			out.Kind = Ignition
			out.Data, out.Report = renderIgnition(specs.minimal(), o, specs)
		}
	}
	if err := out.Report.err(kind); err != nil {
		return Rendered{Kind: kind, Report: out.Report}, err
	}
	return out, nil
}

// checkKeys refuses what would not be one line of an authorized_keys file.
func checkKeys(keys []string) error {
	for _, k := range keys {
		if strings.TrimSpace(k) == "" || strings.ContainsAny(k, "\r\n\x00") {
			return errors.New("an SSH key must be one line in the format of authorized_keys")
		}
	}
	return nil
}

// missing returns the keys that are not in have, without repetition: Ignition
// refuses duplicates.
func missing(keys []string, have []string) []string {
	seen := make(map[string]bool, len(have))
	for _, k := range have {
		seen[strings.TrimSpace(k)] = true
	}
	var add []string
	for _, k := range keys {
		if k = strings.TrimSpace(k); !seen[k] {
			seen[k] = true
			add = append(add, k)
		}
	}
	return add
}
