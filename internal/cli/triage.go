package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"seatrial/internal/rollup"
	"seatrial/internal/triage/expr"
)

func (a *app) triageCommand() *cobra.Command {
	var files policyFlags
	var past historyFlags
	var explain, since string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "triage [DIR]", Short: "Say which failures of a run are the same, and why they failed",
		Long: `Group the failures of a run (default: runs/latest) by cause and by what they have
in common. Rules name causes; what they do not know is carried over from earlier
runs, or stands under "???".

--explain says of one test which rule decided, and why the others did not.
--since leaves out what failed in the same way before a version of the image.`,
		Args: positional(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			dir := filepath.Join(runsDir, "latest")
			if len(words) > 0 {
				dir = words[0]
			}
			p, err := files.policy()
			if err != nil {
				return err
			}
			if explain != "" && p.Rules == nil {
				return usagef("--explain %s: say by which rules: --rules FILE", explain)
			}
			r, p, err := a.loadWith(cmd.Context(), dir, p, past)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			switch {
			case explain != "":
				return explainTest(out, r, p, explain)
			case asJSON:
				return json.NewEncoder(out).Encode(sinceVersion(r, since))
			}
			return printTriage(out, dir, r, sinceVersion(r, since), since)
		},
	}
	files.register(cmd.Flags())
	past.register(cmd.Flags())
	cmd.Flags().StringVar(&explain, "explain", "", "a test, or test/subtest: say which rule decided on it and why the others did not")
	cmd.Flags().StringVar(&since, "since", "", "leave out what failed before this version of the image")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the clusters as in report.json")
	return cmd
}

func explainTest(out io.Writer, r rollup.Result, p rollup.Policy, test string) error {
	all := p.Explain(r, test)
	if len(all) == 0 {
		var failed []string
		for _, c := range r.Clusters {
			for _, m := range c.Members {
				failed = append(failed, m.Test)
			}
		}
		slices.Sort(failed)
		return usagef("--explain %s: no such failure in this run; there are: %s", test, cmp.Or(strings.Join(slices.Compact(failed), " "), "none"))
	}
	for _, e := range all {
		if _, err := fmt.Fprint(out, e); err != nil {
			return err
		}
	}
	return nil
}

// sinceVersion returns the clusters that were first seen in a version or later;
// all of them for no version, and those of which the version is not known.
func sinceVersion(r rollup.Result, version string) []rollup.Cluster {
	clusters := []rollup.Cluster{}
	for _, c := range r.Clusters {
		if version == "" || c.FirstSeen.Version == "" || expr.CompareVersions(c.FirstSeen.Version, version) >= 0 {
			clusters = append(clusters, c)
		}
	}
	return clusters
}

// noCause is the heading of what no rule knows.
const noCause = "???"

// headings lists the causes under which a cluster stands: the one that is sure,
// or the unknown one, and those that are guesses, with a question mark.
func headings(c rollup.Cluster) []string {
	all := []string{cmp.Or(c.Category, noCause)}
	for _, cause := range c.Causes {
		if cause.Unsure && cause.Category != c.Category {
			all = append(all, cause.Category+"?")
		}
	}
	slices.Sort(all[1:])
	return slices.Compact(all)
}

func printTriage(out io.Writer, dir string, r rollup.Result, clusters []rollup.Cluster, since string) error {
	groups := make(map[string][]rollup.Cluster)
	var order []string
	for _, c := range clusters {
		for _, h := range headings(c) {
			if groups[h] == nil {
				order = append(order, h)
			}
			groups[h] = append(groups[h], c)
		}
	}
	slices.SortFunc(order, func(a, b string) int { // the unknown ones last
		return cmp.Or(cmp.Compare(b2i(a == noCause), b2i(b == noCause)), cmp.Compare(a, b))
	})
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d failures in %d clusters", dir, failures(clusters), len(clusters))
	if older := len(r.Clusters) - len(clusters); older > 0 {
		fmt.Fprintf(&b, ", and %d clusters from before %s", older, since)
	}
	b.WriteString("\n")
	for _, h := range order {
		fmt.Fprintf(&b, "\n%s\n", h)
		for _, c := range groups[h] {
			describe(&b, dir, c)
		}
	}
	for _, n := range r.Policy {
		fmt.Fprintf(&b, "\n%s: %s: %s: %s\n", n.At, n.Kind, n.Pattern, n.Text)
		for _, e := range n.Evidence {
			fmt.Fprintf(&b, "    %s\n", e)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func failures(clusters []rollup.Cluster) int {
	n := 0
	for _, c := range clusters {
		n += len(c.Members)
	}
	return n
}

// describe writes a cluster in a few lines.
func describe(b *strings.Builder, dir string, c rollup.Cluster) {
	fmt.Fprintf(b, "  %s  [%s] %s\n", c.ID, c.Class, c.Title)
	members := make(map[string][]string) // places by test
	for _, m := range c.Members {
		place := m.Platform + "-" + m.Arch
		if m.Verdict != rollup.Fail {
			place += " " + string(m.Verdict)
		}
		members[m.Test] = append(members[m.Test], place)
	}
	var tests []string
	for test := range members {
		tests = append(tests, test)
	}
	slices.Sort(tests)
	for _, test := range tests {
		fmt.Fprintf(b, "      %s (%s)\n", test, strings.Join(members[test], ", "))
	}
	if c.Tracker != "" {
		fmt.Fprintf(b, "      tracker: %s\n", c.Tracker)
	}
	if s := c.FirstSeen; s != nil {
		fmt.Fprintf(b, "      first seen: %s %s\n", s.Run, s.Version)
	}
	if c.At != "" {
		fmt.Fprintf(b, "      see: %s\n", filepath.Join(dir, c.At))
	}
	if c.Reproduce != "" {
		fmt.Fprintf(b, "      reproduce: %s\n", c.Reproduce)
	}
}
