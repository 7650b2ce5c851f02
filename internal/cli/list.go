package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"seatrial/harness"
)

// listed is a test as `list --json` shows it.
type listed struct {
	Name     string   `json:"name"`
	Suite    string   `json:"suite"`
	Doc      string   `json:"doc"`
	Tags     []string `json:"tags"`
	Machines int      `json:"machines"`
	Archs    []string `json:"archs,omitempty"`
	Platform []string `json:"platform_needs"`
	Image    []string `json:"image_needs"`
	Internet []string `json:"internet,omitempty"`
	Subtests []string `json:"subtests"`
}

func (a *app) listCommand() *cobra.Command {
	var asJSON, sabotage bool
	cmd := &cobra.Command{
		Use:   "list [PATTERN ...]",
		Short: "List the tests",
		Long:  "List the tests that the patterns match; without patterns, all of them.",
		RunE: func(cmd *cobra.Command, words []string) error {
			catalogue := a.catalogue(sabotage)
			if len(words) == 0 {
				words = []string{"*"}
			}
			selected, err := selectTests(catalogue, words)
			if err != nil {
				return err
			}
			if asJSON {
				return listJSON(cmd.OutOrStdout(), selected)
			}
			return listText(cmd.OutOrStdout(), selected)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as a JSON array")
	cmd.Flags().BoolVar(&sabotage, "sabotage", false, "the twins that prove that tests can fail")
	return cmd
}

// catalogue is every test, or the twins that prove that they can fail.
func (a *app) catalogue(sabotage bool) []harness.Suite {
	if sabotage {
		return harness.Twins(a.suites)
	}
	return a.suites
}

func selectTests(suites []harness.Suite, words []string) ([]harness.Selected, error) {
	selection, err := harness.ParseSelection(words)
	if err != nil {
		return nil, usage(err)
	}
	selected, err := selection.Select(suites)
	return selected, usage(err)
}

func listJSON(w io.Writer, selected []harness.Selected) error {
	out := make([]listed, 0, len(selected))
	for _, s := range selected {
		l := listed{
			Name: s.Test.Name, Suite: s.Suite, Doc: s.Test.Doc, Tags: append([]string{}, s.Test.Tags...),
			Machines: s.Test.Needs.MachineCount(), Archs: s.Test.Needs.Archs, Internet: s.Test.Needs.Internet,
			Platform: []string{}, Image: []string{}, Subtests: []string{},
		}
		for _, c := range s.Test.PlatformNeeds() {
			l.Platform = append(l.Platform, string(c))
		}
		for _, c := range s.Test.Needs.Image {
			l.Image = append(l.Image, string(c))
		}
		for _, sub := range s.Test.Subtests {
			l.Subtests = append(l.Subtests, sub.Name)
		}
		out = append(out, l)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

func listText(w io.Writer, selected []harness.Selected) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, s := range selected {
		doc := s.Test.Doc
		if len(s.Test.Tags) > 0 {
			doc += " [" + strings.Join(s.Test.Tags, ", ") + "]"
		}
		fmt.Fprintf(tw, "%s\t%s\n", s.Test.Name, doc)
		for _, sub := range s.Test.Subtests {
			fmt.Fprintf(tw, "%s/%s\t%s\n", s.Test.Name, sub.Name, sub.Doc)
		}
	}
	return tw.Flush()
}
