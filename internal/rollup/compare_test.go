package rollup

import (
	"strings"
	"testing"

	"seatrial/harness/event"
	"seatrial/internal/triage/compare"
)

// TestCompare goes through the changes that two single runs can show.
func TestCompare(t *testing.T) {
	row := func(v Verdict, cluster, category string) []Row {
		return []Row{{Test: "a", Verdict: v, Diagnosis: Diagnosis{Cluster: cluster}, Category: category}}
	}
	tests := []struct {
		name          string
		before, after []Row
		want          string
	}{
		{"regression", row(Pass, "", ""), row(Fail, "c", ""), Regression},
		{"flaky passed", row(Flaky, "c", ""), row(Known, "c", ""), Regression},
		{"fix", row(Known, "c", ""), row(Fixed, "", ""), Fix},
		{"new test", nil, row(Fail, "c", ""), NewFailure},
		{"new test that passes", nil, row(Pass, "", ""), Untold},
		{"the same", row(Fail, "c", "etcd"), row(Fail, "c", "etcd"), StillFails},
		{"another failure", row(Fail, "c", ""), row(Fail, "d", ""), Changed},
		{"another cause", row(Fail, "c", "etcd"), row(Fail, "c", "SELinux"), Changed},
		{"an error tells nothing", row(Pass, "", ""), row(Error, "c", ""), Untold},
		{"good", row(Pass, "", ""), row(Pass, "", ""), StillGood},
		{"the worst of several", append(row(Pass, "", ""), row(Fail, "c", "")...), append(row(Fail, "c", ""), row(Pass, "", "")...), StillFails},
	}
	for _, tt := range tests {
		got, err := Compare(Side{Rows: tt.before}, Side{Rows: tt.after}, compare.SippyThresholds())
		if err != nil || len(got) != 1 || got[0].Kind != tt.want || got[0].Method != "labels" {
			t.Errorf("%s: %+v, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

// TestCompareHistory: with enough runs of both versions the verdict is
// statistical. Runs of other versions do not count.
func TestCompareHistory(t *testing.T) {
	side := func(version string, last Verdict, past string) Side {
		r := Row{Test: "a", Image: "img", Arch: "arm64", Verdict: last}
		for v := range strings.FieldsSeq(past) {
			r.History = append(r.History, Past{Seen{Version: version}, Verdict(v), ""})
		}
		for range 10 {
			r.History = append(r.History, Past{Seen{Version: "another"}, Fail, ""})
		}
		images := []event.Image{{Name: "img", Arch: "arm64", OSRelease: map[string]string{"VERSION_ID": version}}}
		return Side{Run: Run{Images: images}, Rows: []Row{r}}
	}
	ten := strings.Repeat("pass ", 10)
	tests := []struct {
		name   string
		a, b   Side
		part   bool
		want   string
		method string
	}{
		{"one failure may be chance", side("1", Pass, ten), side("2", Fail, ten), false, Untold, "statistics"},
		{"many are none", side("1", Pass, ten), side("2", Fail, "fail fail fail fail pass"), false, Regression, "statistics"},
		{"though the last run passed", side("1", Pass, ten), side("2", Pass, "fail fail fail fail fail"), false, Regression, "statistics"},
		{"between places", side("1", Pass, ten), side("1", Fail, "fail fail fail fail fail"), true, Regression, "statistics"},
		{"too few", side("1", Pass, "pass"), side("2", Fail, ten), false, Regression, "labels"},
	}
	for _, tt := range tests {
		tt.a.Part, tt.b.Part = tt.part, tt.part
		got, err := Compare(tt.a, tt.b, compare.SippyThresholds())
		if err != nil || len(got) != 1 || got[0].Kind != tt.want || got[0].Method != tt.method {
			t.Errorf("%s: %+v, %v, want %s by %s", tt.name, got, err, tt.want, tt.method)
		}
	}
}
