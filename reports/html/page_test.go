package html

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seatrial/harness/event"
	"seatrial/internal/rollup"
	"seatrial/reports/internal/view"
)

var shots = flag.String("shots", "", "directory for pictures of the page, to be looked at")

// bigRun is a result of the given size in eight places, with causes, clusters
// and history.
func bigRun(tests int) rollup.Result {
	r := rollup.Result{Run: rollup.Run{ID: "20260102-big", Version: "0.1.0", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), End: event.Complete, Seconds: 5400, Seed: 42}}
	causes := []rollup.Cause{
		{Category: "Test Harness Oddities", Rule: "oddities", At: "rules.yaml:3:3"},
		{Category: "SELinux", Rule: "avc", At: "rules.yaml:9:3", Tracker: "https://tracker.invalid/selinux/12", Owner: "wrl"},
		{Category: "seccomp", Rule: "seccomp", At: "rules.yaml:15:3"},
		{Category: "etcd", Rule: "etcd", At: "rules.yaml:21:3", Unsure: true},
	}
	for _, arch := range []string{"amd64", "arm64"} {
		for _, image := range []string{"3510", "3602"} {
			r.Run.Images = append(r.Run.Images, event.Image{Name: image, Arch: arch, SHA256: strings.Repeat("a1", 32), OSRelease: map[string]string{"VERSION_ID": image + ".2.0", "PRETTY_NAME": "Flatcar Container Linux " + image}})
		}
	}
	members := make(map[string]*rollup.Cluster)
	for i := range tests {
		for place := range 8 {
			arch, accel, image := []string{"amd64", "arm64"}[place&1], []string{"kvm", "tcg"}[place>>1&1], []string{"3510", "3602"}[place>>2]
			row := rollup.Row{
				Test: fmt.Sprintf("cl.suite%02d.test%03d", i/20, i), Suite: fmt.Sprintf("suite%02d", i/20), Platform: "qemu", Arch: arch, Accel: accel, Image: image,
				Variant: accel + "-" + image, Verdict: rollup.Pass, Outcome: event.Pass, Seconds: float64(i%90) + 1.5, Doc: "What it is about.",
				Reproduce: fmt.Sprintf("seatrial run --arch %s --accel %s --image %s cl.suite%02d.test%03d", arch, accel, image, i/20, i),
			}
			a := rollup.Attempt{N: 1, Outcome: event.Pass, Start: "fork", ProvisionSeconds: 0.4, Seconds: row.Seconds, Artifacts: "artifacts/qemu-" + arch + "/t/1",
				Booted: []rollup.Machine{{ID: "m0", State: "ready", Seconds: 0.4, Addresses: []string{"10.0.0.2"}, Artifacts: "artifacts/qemu-" + arch + "/t/1/m0"}}}
			for h := range 20 {
				v := rollup.Pass
				if (i*7+place*3+h)%17 == 0 {
					v = []rollup.Verdict{rollup.Fail, rollup.Flaky, rollup.Error}[(i+h)%3]
				}
				row.History = append(row.History, rollup.Past{Seen: rollup.Seen{Run: fmt.Sprint("r", h)}, Verdict: v})
			}
			row.Trend = &rollup.Trend{Label: "pass", Method: "statistics", Runs: 21, Rate: 0.05, Low: 0.01, High: 0.2}
			switch {
			case i%9 == 0 && arch == "arm64":
				c := causes[i/9%len(causes)]
				row.Verdict, row.Outcome, row.Class = rollup.Fail, event.Fail, event.Assertion
				row.Message = fmt.Sprintf("systemctl is-active docker: got \"failed\", want \"active\" (unit %d)\nsecond line", i%5)
				row.Cluster, row.Tracker, row.Signature = fmt.Sprintf("c%04x", i%5), c.Tracker, "docker is not active"
				if i%36 != 0 {
					row.Causes = []rollup.Cause{c}
					if !c.Unsure {
						row.Category = c.Category
					}
				}
				row.Trend.Label, row.Trend.FirstFailed = "regression", &rollup.Seen{Run: "r15", Time: time.Date(2025, 12, 1+i%28, 0, 0, 0, 0, time.UTC), Version: "3602.0.0"}
				row.Parity = &rollup.Parity{Label: "arm64 only", Peers: []rollup.Peer{{Platform: "qemu", Arch: "amd64", Accel: accel, Image: image, Verdict: rollup.Pass}}}
				a.Outcome, a.Message = event.Fail, row.Message
				a.Findings = []rollup.Finding{{Machine: "m0", Source: "console", Boot: 1, Line: 41, Title: "unit failed", Text: "[FAILED] Failed to start docker.service", Fatal: true, File: a.Artifacts + "/m0/console.txt"}}
				a.Output = "journalctl -u docker\nline"
				cluster := members[row.Cluster]
				if cluster == nil {
					cluster = &rollup.Cluster{ID: row.Cluster, Title: fmt.Sprintf("systemctl is-active docker: got \"failed\" (unit %d)", i%5), Class: event.Assertion, FirstSeen: row.Trend.FirstFailed}
					members[row.Cluster] = cluster
				}
				cluster.Members = append(cluster.Members, rollup.Member{Test: row.Test, Platform: "qemu", Arch: arch, Accel: accel, Image: image, Verdict: rollup.Fail})
			case i%23 == 0:
				row.Verdict, row.Outcome, row.Message = rollup.Skip, event.Skip, "needs a TPM"
			case i%31 == 0 && place == 3:
				row.Verdict = rollup.Flaky
				a.Outcome, a.Class, a.Message = event.Fail, event.Timeout, "took too long"
			case i%37 == 0 && place == 5:
				row.Verdict, row.Outcome, row.Class, row.Message = rollup.Error, event.Error, event.Infra, "no space left on device"
			}
			row.Attempts = []rollup.Attempt{a}
			r.Results = append(r.Results, row)
		}
	}
	for i := range 5 {
		if c := members[fmt.Sprintf("c%04x", i)]; c != nil {
			r.Clusters = append(r.Clusters, *c)
		}
	}
	r.Gate = rollup.Gate{Verdict: rollup.NoGo}
	for _, row := range r.Results {
		if row.Verdict == rollup.Fail {
			r.Gate.Reasons = append(r.Gate.Reasons, rollup.Reason{Rule: "fail", Test: row.Test, Text: row.Place() + ": " + row.Message, Severity: rollup.Blocks, Evidence: row.Attempts[0].Artifacts + "/m0/console.txt:41"})
		}
	}
	return r
}

// save writes the page of a result into a new run directory.
func save(t *testing.T, r rollup.Result, o view.Options) string {
	t.Helper()
	var buf bytes.Buffer
	start := time.Now()
	if err := Write(&buf, r, o); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d cells: %d KiB, written in %v", len(r.Results), buf.Len()>>10, time.Since(start).Round(time.Millisecond))
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestBig sees that 500 tests in eight places, with history, are usable within
// a second, and so is what a user does with them.
func TestBig(t *testing.T) {
	file := save(t, bigRun(500), view.Options{})
	b := openBrowser(t)
	b.look(1600, 1000, false, "screen")
	b.open(file, "") // the first page of a new browser pays for its start
	slow := b.slowness()
	took := min(b.open(file, ""), b.open(file, ""), b.open(file, ""))
	t.Logf("usable after %v, on a machine that is %.1f times slower than ours when idle", took, slow)
	if took.Seconds() > slow {
		t.Errorf("usable after %v, want %.1f s", took, slow)
	}
	for _, action := range []string{
		`document.getElementById("group").value = "suite"; document.getElementById("group").dispatchEvent(new Event("change"))`,
		`document.getElementById("sort").value = "seconds"; document.getElementById("sort").dispatchEvent(new Event("change"))`,
		`document.getElementById("search").value = "docker.service"; document.getElementById("search").dispatchEvent(new Event("input"))`,
		`location.hash = "#t/cl.suite00.test009/qemu-arm64-kvm-3510"`,
	} {
		ms := b.eval(`new Promise(done => { const start = performance.now(); ` + action + `; setTimeout(() => requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))), 85) })`)
		t.Logf("%.0f ms: %s", ms, action)
		if ms.(float64) > 600*slow {
			t.Errorf("%.0f ms: %s", ms, action)
		}
	}
	for _, e := range b.errors {
		t.Error(e)
	}
}

// BenchmarkWrite writes 500 tests in eight places, which a run does after its
// tests.
func BenchmarkWrite(b *testing.B) {
	r := bigRun(500)
	for b.Loop() {
		if err := Write(io.Discard, r, view.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestPictures takes pictures of the page for people to look at.
func TestPictures(t *testing.T) {
	if *shots == "" {
		t.Skip("takes pictures for people to look at: give a directory with -shots")
	}
	file, _ := smallRun(t)
	b := openBrowser(t)
	const cell = "#t/cl.suite00.test009/qemu-arm64-tcg-3510"
	for _, size := range []struct {
		name          string
		width, height int
	}{{"desktop", 1440, 900}, {"phone", 390, 844}} {
		for _, dark := range []bool{false, true} {
			name := size.name + map[bool]string{false: "-light", true: "-dark"}[dark]
			b.look(size.width, size.height, dark, "screen")
			b.open(file, "")
			b.shoot(name)
			b.eval(`document.getElementById("matrix").scrollIntoView()`)
			b.shoot(name + "-matrix")
			b.open(file, cell)
			b.shoot(name + "-panel")
		}
	}
	b.look(1440, 900, false, "screen")
	b.open(file, "")
	b.press("?")
	b.shoot("help")
	b.look(1100, 800, false, "print")
	b.open(file, "")
	b.print("print")
}
