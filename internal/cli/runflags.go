package cli

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"seatrial/harness"
	"seatrial/harness/event"
)

// targetFlags choose what is booted and where. Several commands have them.
type targetFlags struct {
	platforms []string
	archs     []string
	images    []string
	accel     string
	start     string
}

func (f *targetFlags) register(fs *pflag.FlagSet) {
	fs.StringSliceVar(&f.platforms, "platform", []string{"qemu"}, "where to run: qemu")
	fs.StringSliceVar(&f.archs, "arch", []string{runtime.GOARCH}, "amd64, arm64 or both, separated by a comma")
	fs.StringSliceVar(&f.images, "image", nil, "path or URL of the image, as ARCH=PATH where there are several; \"#sha256:HEX\" after it is checked (default: the reference image, built on first use)")
	fs.StringVar(&f.accel, "accel", "auto", "kvm, tcg, or auto: KVM where it is proven to work")
	fs.StringVar(&f.start, "start", "auto", "cold, fork, or auto: forks of a booted template, but for what needs a first boot or has user data of its own")
}

func (f *targetFlags) check() error {
	for _, p := range f.platforms {
		if p != "qemu" {
			return usagef("--platform %s: this build has: qemu", p)
		}
	}
	for _, a := range f.archs {
		if err := checkArch(a); err != nil {
			return err
		}
	}
	if !slices.Contains([]string{"auto", "kvm", "tcg"}, f.accel) {
		return usagef("--accel %s: want auto, kvm or tcg", f.accel)
	}
	switch harness.Start(f.start) {
	case harness.StartAuto, harness.StartFork, harness.StartCold:
	default:
		return usagef("--start %s: want auto, fork or cold", f.start)
	}
	f.archs = unique(f.archs)
	return nil
}

// checkArch refuses what is no architecture of an image.
func checkArch(arch string) error {
	if arch != "amd64" && arch != "arm64" {
		return usagef("--arch %s: want amd64 or arm64", arch)
	}
	return nil
}

// unique drops repeated words and keeps the order.
func unique(words []string) []string {
	var out []string
	for _, w := range words {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// imageFor returns the image that the user chose for an architecture; empty
// means the reference image.
func (f *targetFlags) imageFor(arch string) (string, error) {
	var plain, byArch string
	for _, word := range f.images {
		if a, path, ok := strings.Cut(word, "="); ok && (a == "amd64" || a == "arm64") {
			if a == arch {
				byArch = path
			}
			continue
		}
		plain = word
	}
	if byArch != "" {
		return byArch, nil
	}
	if plain != "" && len(f.archs) > 1 {
		return "", usagef("--image %s: with several architectures, say of which it is: --image arm64=%s", plain, plain)
	}
	return plain, nil
}

// runFlags are the flags of `run`.
type runFlags struct {
	targetFlags
	policyFlags
	historyFlags
	policyFile   string
	config       string
	parallel     string
	retries      int
	timeoutScale float64
	seed         uint64
	shard        string
	repeat       int
	failFast     bool
	shellOnFail  bool
	lastFailed   bool
	pack         bool
	verifyForks  string
	maxDuration  time.Duration
	keep         string
	keepFor      time.Duration
	out          string
	resume       string
	junit        string
	attachments  string
	tap          string
	json         string
	events       string
	capture      bool
	sabotage     bool
	broken       []string
	files        map[string]string
}

func (f *runFlags) register(fs *pflag.FlagSet) {
	f.targetFlags.register(fs)
	f.policyFlags.register(fs)
	f.historyFlags.register(fs)
	fs.StringVar(&f.policyFile, "policy", "", "gate policy: what blocks in a channel")
	fs.StringVar(&f.config, "config", "", "run file: defaults for these flags in YAML (default seatrial.yaml, if there is one)")
	fs.StringVar(&f.parallel, "parallel", "auto", "tests at once; auto admits by memory and CPUs")
	fs.IntVar(&f.retries, "retries", 1, "tries after a failure, to tell flaky from broken")
	fs.Float64Var(&f.timeoutScale, "timeout-scale", 1, "factor for every time limit")
	fs.Uint64Var(&f.seed, "seed", 0, "shuffle the order; 0 keeps it alphabetical")
	fs.StringVar(&f.shard, "shard", "", "run part I of N, as I/N; auto or auto/N takes I from the variables of the CI system")
	fs.IntVar(&f.repeat, "repeat", 1, "run each test so many times")
	fs.BoolVar(&f.failFast, "fail-fast", false, "start nothing more after the first failure")
	fs.BoolVar(&f.shellOnFail, "shell-on-fail", false, "stop at a failure with a shell in the machine")
	fs.BoolVar(&f.lastFailed, "last-failed", false, "the tests that failed in runs/latest")
	fs.BoolVar(&f.pack, "pack", false, "run tests that change nothing together on one machine; what fails there runs again alone")
	fs.StringVar(&f.verifyForks, "verify-forks", "", "share of the passes from forks that is repeated cold, such as 0.1 or 10% (default 0; 3% where CI=true)")
	fs.DurationVar(&f.maxDuration, "max-duration", 0, "end the run as unknown after this time")
	fs.StringVar(&f.keep, "keep", "never", "machines left running: never, failed or always")
	fs.DurationVar(&f.keepFor, "keep-for", time.Hour, "how long kept machines stay")
	fs.StringVar(&f.out, "out", "", "run directory (default runs/TIME-ID)")
	fs.StringVar(&f.resume, "resume", "", "go on with the run in this directory")
	fs.StringVar(&f.junit, "junit", "", "extra copy of junit.xml")
	fs.StringVar(&f.attachments, "attachments", "", "what stands before the paths of JUnit's attachments: the run directory as Jenkins (absolute) or GitLab (from the project) sees it")
	fs.StringVar(&f.tap, "tap", "", "extra copy of report.tap")
	fs.StringVar(&f.json, "json", "", "extra copy of report.json")
	fs.StringVar(&f.events, "events", "", "\"-\" writes the events to standard output, an object a line")
	fs.BoolVar(&f.capture, "pcap", false, "keep packet captures beside the artifacts")
	fs.StringToStringVar(&f.files, "file", nil, "file that tests take to their guests, as NAME-ARCH=PATH, instead of what make fixtures built; repeatable")
	fs.BoolVar(&f.sabotage, "sabotage", false, "run the twins that prove that the tests can fail")
	fs.StringSliceVar(&f.broken, "break", nil, "run a test on a guest that one of its sabotages breaks, as TEST/SABOTAGE or ARCH=TEST/SABOTAGE (also where the test leaves ARCH out), to see what its failure looks like; not kept in the history; repeatable")
}

func (f *runFlags) check() error {
	if err := f.targetFlags.check(); err != nil {
		return err
	}
	var errs []error
	if f.parallel != "auto" {
		if n, err := strconv.Atoi(f.parallel); err != nil || n < 1 {
			errs = append(errs, fmt.Errorf("--parallel %s: want a number from 1 on, or auto", f.parallel))
		}
	}
	if f.timeoutScale <= 0 {
		errs = append(errs, fmt.Errorf("--timeout-scale %g: want a number above 0", f.timeoutScale))
	}
	if f.retries < 0 || f.repeat < 1 {
		errs = append(errs, errors.New("--retries counts from 0 and --repeat from 1"))
	}
	if _, err := f.shardOf(); err != nil {
		errs = append(errs, err)
	}
	switch harness.Keep(f.keep) {
	case harness.KeepNever, harness.KeepFailed, harness.KeepAlways:
	default:
		errs = append(errs, fmt.Errorf("--keep %s: want never, failed or always", f.keep))
	}
	if share := f.verifyShare(); !(share >= 0 && share <= 1) {
		errs = append(errs, fmt.Errorf("--verify-forks %s: want a share from 0 to 1, or from 0%% to 100%%", f.verifyForks))
	}
	if f.pack && harness.Keep(f.keep) == harness.KeepAlways {
		errs = append(errs, errors.New("--pack and --keep always exclude each other: the machines of a pack are shared"))
	}
	if f.out != "" && f.resume != "" {
		errs = append(errs, errors.New("--out and --resume exclude each other: a resumed run stays in its directory"))
	}
	if f.sabotage && len(f.broken) > 0 {
		errs = append(errs, errors.New("--sabotage and --break exclude each other: twins break their guests themselves"))
	}
	for _, word := range f.broken {
		if b := harness.ParseBreakage(word); b.Arch != "" && !slices.Contains(f.archs, b.Arch) {
			errs = append(errs, fmt.Errorf("--break %s: the run is on %s", word, strings.Join(f.archs, " and ")))
		}
	}
	for name, path := range f.files {
		if _, err := os.Stat(path); err != nil {
			errs = append(errs, fmt.Errorf("--file %s: %w", name, err))
		}
	}
	if f.events != "" && f.events != "-" {
		errs = append(errs, fmt.Errorf("--events %s: only \"-\" is known; the stream is also in the run directory", f.events))
	}
	return usage(errors.Join(errs...))
}

// verifyShare is the value of --verify-forks; NaN if it is none.
func (f *runFlags) verifyShare() float64 {
	if f.verifyForks == "" {
		return 0
	}
	number, percent := strings.CutSuffix(f.verifyForks, "%")
	share, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil:
		return math.NaN()
	case percent:
		return share / 100
	}
	return share
}

func (f *runFlags) shardOf() (*event.Shard, error) {
	if f.shard == "" {
		return nil, nil
	}
	i, n, ok := strings.Cut(f.shard, "/")
	part, err := strconv.Atoi(i)
	of, err2 := strconv.Atoi(n)
	if !ok || err != nil || err2 != nil || part < 1 || part > of {
		return nil, fmt.Errorf("--shard %s: want I/N with I from 1 to N", f.shard)
	}
	return &event.Shard{I: part, N: of}, nil
}

// slots is the number of tests at once; 0 means as many as the host admits.
func (f *runFlags) slots() int {
	n, _ := strconv.Atoi(f.parallel) // "auto" is 0; check saw to the rest
	return n
}

// shardVariables are those by which CI systems tell a job which of how many it
// is: GitLab counts from 1, Buildkite and Kubernetes from 0, Slurm from a
// number of its own. Kubernetes does not tell how many there are.
func shardVariables() []struct{ index, count, first string } {
	return []struct{ index, count, first string }{
		{"CI_NODE_INDEX", "CI_NODE_TOTAL", "1"},
		{"BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", "0"},
		{"JOB_COMPLETION_INDEX", "", "0"},
		{"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "$SLURM_ARRAY_TASK_MIN"},
	}
}

// resolveShard replaces "auto" or "auto/N" by what the CI system's environment
// says.
func (f *runFlags) resolveShard(getenv func(string) string) error {
	word, n, _ := strings.Cut(f.shard, "/")
	if word != "auto" {
		return nil
	}
	var names []string
	for _, v := range shardVariables() {
		names = append(names, v.index)
		if getenv(v.index) == "" {
			continue
		}
		if n == "" {
			n = getenv(v.count)
		}
		if n == "" {
			return usagef("--shard %s: %s does not tell of how many; say auto/N", f.shard, v.index)
		}
		first := v.first
		if name, ok := strings.CutPrefix(first, "$"); ok {
			first = getenv(name)
		}
		i, err := strconv.Atoi(getenv(v.index))
		from, err2 := strconv.Atoi(first)
		if err != nil || err2 != nil {
			return usagef("--shard %s: %s=%s is no number", f.shard, v.index, getenv(v.index))
		}
		f.shard = fmt.Sprintf("%d/%s", i-from+1, n)
		return nil
	}
	return usagef("--shard %s: the environment has none of %s", f.shard, strings.Join(names, ", "))
}
