package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seatrial/harness"
	"seatrial/internal/rollup"
)

var guests = flag.String("guests", "", "benchmarks boot the reference images of these architectures, such as amd64,arm64")

// TestMain lets the test binary be its own cluster host, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "cluster-host" {
		os.Exit(Main(os.Args, Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}))
	}
	flag.Parse()
	os.Exit(m.Run())
}

// coldTests is how many trivial tests are booted cold: more of them take
// proportionally longer, and only that.
const coldTests = 2

// BenchmarkTrivial runs trivial tests on real guests by the whole program, as
// forks and cold, and tells how many times faster forks are. The template is
// there before.
func BenchmarkTrivial(b *testing.B) {
	if *guests == "" {
		b.Skip("boots real guests: run with -guests amd64,arm64")
	}
	for arch := range strings.SplitSeq(*guests, ",") {
		trivial(b, arch, "fork", 1)
		cold := trivial(b, arch, "cold", coldTests) / coldTests
		for _, n := range []int{1, 10, 50} {
			b.Run(fmt.Sprintf("%s/%d", arch, n), func(b *testing.B) {
				var took time.Duration
				for b.Loop() {
					took += trivial(b, arch, "fork", n)
				}
				fork := took.Seconds() / float64(b.N)
				b.ReportMetric(fork/float64(n), "s/test")
				b.ReportMetric(cold.Seconds(), "cold-s/test")
				b.ReportMetric(cold.Seconds()*float64(n)/fork, "x-faster")
			})
		}
	}
}

// trivial runs n trivial tests, and returns how long that took.
func trivial(b *testing.B, arch, start string, n int) time.Duration {
	b.Helper()
	suite := harness.Suite{Name: "trivial", Doc: "Tests that do next to nothing."}
	for i := range n {
		suite.Tests = append(suite.Tests, harness.Test{
			Name: fmt.Sprintf("trivial.t%02d", i), Doc: "A command runs.",
			Run: func(ctx context.Context, t *harness.T) { t.Machine(0).Must(ctx, "true") },
		})
	}
	dir := b.TempDir()
	b.Chdir(dir)
	out, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	a := &app{
		args: []string{"seatrial"}, suites: []harness.Suite{suite},
		env: Env{Stdin: os.Stdin, Stdout: out, Stderr: out, Getenv: os.Getenv, Interrupts: make(chan os.Signal)},
	}
	cmd := a.command()
	cmd.SetArgs([]string{"run", "--arch", arch, "--start", start, "--out", filepath.Join(dir, "run")})
	cmd.SetErr(out)
	began := time.Now()
	err = cmd.ExecuteContext(b.Context())
	took := time.Since(began)
	var result rollup.Result
	data, readErr := os.ReadFile(filepath.Join(dir, "run", "report.json"))
	if err != nil || readErr != nil || json.Unmarshal(data, &result) != nil {
		text, _ := os.ReadFile(out.Name())
		b.Fatalf("run: %v, %v\n%s", err, readErr, text)
	}
	if s := result.Run.Starts; s.Fallbacks > 0 || start == "fork" && s.Fork != n || start == "cold" && s.Cold != n {
		b.Fatalf("%d tests started as %+v", n, s)
	}
	return took
}
