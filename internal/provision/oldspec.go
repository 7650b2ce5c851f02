package provision

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/coreos/go-semver/semver"
	"github.com/coreos/vcontext/path"
	"github.com/coreos/vcontext/report"
	"github.com/coreos/vcontext/tree"
)

// maxSpec2 is the last spec of major version 2.
const maxSpec2 = "2.4.0"

func isOldSpec(v semver.Version) bool {
	if v.Major == 2 {
		return v.PreRelease == "" && v.Patch == 0 && v.Compare(*semver.New(maxSpec2)) <= 0
	}
	return v.Major == 1
}

// oldConfig is as much of specs 1 and 2 as this package relies on.
type oldConfig struct {
	Ignition        map[string]json.RawMessage `json:"ignition"`
	IgnitionVersion *int                       `json:"ignitionVersion"`
	Storage         map[string]json.RawMessage `json:"storage"`
	Systemd         map[string]json.RawMessage `json:"systemd"`
	Networkd        map[string]json.RawMessage `json:"networkd"`
	Passwd          struct {
		Users []struct {
			Name              string   `json:"name"`
			SSHAuthorizedKeys []string `json:"sshAuthorizedKeys"`
		} `json:"users"`
	} `json:"passwd"`
}

// checkOldSpec checks the structure of a config of spec 1 or 2: the sections and
// the users. What the sections hold is between the author and the guest.
func checkOldSpec(raw []byte, v semver.Version, source tree.Node) Report {
	var cfg oldConfig
	if err := json.Unmarshal(raw, &cfg); err != nil {
		p := Problem{Message: err.Error()}
		if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			p.Line, p.Column = position(raw, te.Offset-1)
			p.Path, p.Message = te.Field, fmt.Sprintf("must not be of type %s", te.Value)
		}
		return Report{Errors: []Problem{p}}
	}
	known := map[string]bool{"storage": true, "systemd": true, "networkd": true, "passwd": true}
	known["ignition"] = v.Major == 2
	known["ignitionVersion"] = v.Major == 1

	var vr report.Report
	if root, ok := source.(tree.MapNode); ok {
		for key := range root.Keys {
			if !known[key] {
				vr.AddOnWarn(path.New("json", tree.Key(key)), fmt.Errorf("unused key %s", key))
			}
		}
	}
	return fromVcontext(vr, source)
}
