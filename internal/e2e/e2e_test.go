// Package e2e runs the program as its users do: the scripts in testdata/scripts
// type commands and look at what they leave behind.
//
// Scripts of the top directory need no guest. Those in guests boot real ones;
// they run with the flag -guests and are skipped without it. "short" is what
// each change must pass, "all" is everything.
package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"seatrial/harness"
	"seatrial/internal/cli"
	"seatrial/internal/fixtures/kubernetes"
	"seatrial/internal/rollup"
)

var guests = flag.String("guests", "", "boot real guests: short or all")

// bin is where TestMain builds the program.
var bin string

// The program is built of these sources, so that a cached result must be of them, too.
var _ = cli.Main

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "seatrial-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "seatrial"), "seatrial/cmd/seatrial")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build seatrial: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

func TestScripts(t *testing.T) {
	testscript.Run(t, params("../../testdata/scripts"))
}

// TestGuests runs the scripts that boot guests, one at a time: guests are
// emulated, and two at once would only be slower.
func TestGuests(t *testing.T) {
	if *guests == "" {
		t.Skip("boots real guests: run with -guests short or -guests all")
	}
	files, err := filepath.Glob("../../testdata/scripts/guests/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		long, archs := about(t, file)
		for _, arch := range archs {
			if arch != "" {
				name = strings.TrimSuffix(filepath.Base(file), ".txtar") + "-" + arch
			}
			t.Run(name, func(t *testing.T) {
				if *guests != "all" && (long || arch == "arm64") {
					t.Skip("takes long: run with -guests all")
				}
				p := params("", "ARCH="+arch)
				p.Files = []string{file}
				testscript.RunT(sequential{t}, p)
			})
		}
	}
}

// BenchmarkList times `seatrial list` as a whole process: it must do no work
// beyond the catalogue.
func BenchmarkList(b *testing.B) {
	for b.Loop() {
		if out, err := exec.Command(filepath.Join(bin, "seatrial"), "list").CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
	}
}

// sequential keeps testscript from running scripts in parallel.
type sequential struct{ *testing.T }

func (s sequential) Parallel() {}

func (s sequential) Run(name string, f func(testscript.T)) {
	s.T.Run(name, func(t *testing.T) { f(sequential{t}) })
}

func (s sequential) Verbose() bool { return testing.Verbose() }

// about reads how a script is run: long if its first line begins with "# long",
// and, if it mentions $ARCH, once for each architecture.
func about(t *testing.T, file string) (long bool, archs []string) {
	t.Helper()
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	archs = []string{""}
	if bytes.Contains(script, []byte("$ARCH")) {
		archs = []string{"amd64", "arm64"}
	}
	return bytes.HasPrefix(script, []byte("# long")), archs
}

// params are those of the scripts in dir, which see the variables of vars, too.
func params(dir string, vars ...string) testscript.Params {
	return testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, vars...)
			cache, err := os.UserCacheDir()
			if err != nil {
				return err
			}
			// Images are shared with the user; everything else is the
			// script's own.
			env.Setenv("XDG_CACHE_HOME", cache)
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			// Sockets need a short path.
			runtime, err := os.MkdirTemp("", "st-")
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(runtime) })
			env.Setenv("XDG_RUNTIME_DIR", runtime)
			env.Setenv("BIN", bin)
			testdata, err := filepath.Abs("../../testdata")
			if err != nil {
				return err
			}
			env.Setenv("TESTDATA", testdata)
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			return nil
		},
		Condition: condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"verdict":   verdict,
			"passed":    passed,
			"skips":     skips,
			"exitcode":  exitCode,
			"noguests":  noGuests,
			"waitevent": waitEvent,
			"waitgone":  waitGone,
			"killqemu":  killQEMU,
		},
	}
}

// condition is true of "kubernetes" where the user's cache holds, for amd64, what
// `make kubernetes` builds.
func condition(cond string) (bool, error) {
	if cond != "kubernetes" {
		return false, fmt.Errorf("unknown condition %q", cond)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return false, err
	}
	files := harness.Files{Dir: filepath.Join(cache, "seatrial", "fixtures")}
	for _, program := range []string{"hyperkube", "coredns"} {
		// An error is not told apart: the program says it in the script's run.
		if _, err := files.Path(harness.File{Name: program, Version: kubernetes.Version()}, "amd64"); err != nil {
			return false, nil
		}
	}
	return true, nil
}

// result reads report.json in the run directory dir.
func result(ts *testscript.TestScript, dir string) rollup.Result {
	var r rollup.Result
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join(dir, "report.json"))), &r))
	return r
}

// verdict DIR TEST ARCH VERDICT [CLASS [MESSAGE]] checks a row of a report.
// TEST/SUBTEST checks a subtest.
func verdict(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: verdict DIR TEST ARCH VERDICT [CLASS [MESSAGE]]")
	}
	test, subtest, _ := strings.Cut(args[1], "/")
	rows := result(ts, args[0]).Results
	i := slices.IndexFunc(rows, func(r rollup.Row) bool { return r.Test == test && r.Arch == args[2] })
	if i < 0 {
		ts.Fatalf("no row for %s on %s", test, args[2])
	}
	got, class, message := rows[i].Verdict, rows[i].Class, rows[i].Message
	if subtest != "" {
		j := slices.IndexFunc(rows[i].Subtests, func(s rollup.Subtest) bool { return s.Name == subtest })
		if j < 0 {
			ts.Fatalf("no subtest %s", args[1])
		}
		got, class, message = rows[i].Subtests[j].Verdict, rows[i].Subtests[j].Class, rows[i].Subtests[j].Message
	}
	if string(got) != args[3] || len(args) > 4 && string(class) != args[4] {
		ts.Fatalf("%s on %s is %s/%s, want %s: %s", args[1], args[2], got, class, strings.Join(args[3:], "/"), message)
	}
	if len(args) > 5 {
		if ok, err := regexp.MatchString(args[5], message); err != nil || !ok {
			ts.Fatalf("%s on %s: message does not match %q: %s", args[1], args[2], args[5], message)
		}
	}
}

// passed DIR TEST ARCH N checks that at least N subtests passed.
func passed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: passed DIR TEST ARCH N")
	}
	want, err := strconv.Atoi(args[3])
	ts.Check(err)
	n := 0
	for _, row := range result(ts, args[0]).Results {
		if row.Test != args[1] || row.Arch != args[2] {
			continue
		}
		for _, s := range row.Subtests {
			if s.Verdict == rollup.Pass {
				n++
			}
		}
	}
	ts.Logf("%d subtests of %s passed on %s", n, args[1], args[2])
	if n < want {
		ts.Fatalf("%d subtests of %s passed on %s, want %d", n, args[1], args[2], want)
	}
}

// skips DIR TEST ARCH FILE checks that the subtests which were skipped, and why,
// are those of FILE: a line "NAME: REASON" each, in the order of the test.
func skips(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: skips DIR TEST ARCH FILE")
	}
	var got strings.Builder
	for _, row := range result(ts, args[0]).Results {
		if row.Test != args[1] || row.Arch != args[2] {
			continue
		}
		for _, s := range row.Subtests {
			if s.Verdict == rollup.Skip {
				fmt.Fprintf(&got, "%s: %s\n", s.Name, s.Message)
			}
		}
	}
	if want := ts.ReadFile(args[3]); got.String() != want {
		ts.Fatalf("%s skipped on %s:\n%swant:\n%s", args[1], args[2], got.String(), want)
	}
}

// exitcode N COMMAND ... runs a command that must exit with status N.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N COMMAND ...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := err.(*exec.ExitError); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit status %d, want %s", code, args[0])
	}
}

// noguests checks that no process of this script is left: their command lines
// name the script's runtime directory.
func noGuests(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: noguests")
	}
	var left map[int]string
	await(10*time.Second, func() bool {
		left = processes(ts)
		return len(left) == 0
	})
	for _, line := range left {
		ts.Fatalf("left behind: %s", line)
	}
}

// processes lists those whose environment names the runtime directory of the
// script, with their command lines.
func processes(ts *testscript.TestScript) map[int]string {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	ts.Check(err)
	found := map[int]string{}
	for _, file := range files {
		environ, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(environ, []byte(ts.Getenv("XDG_RUNTIME_DIR"))) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		ts.Check(err)
		line, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if err == nil && len(line) > 0 {
			found[pid] = string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
	return found
}

// waitEvent DIR TYPE [TEXT] waits for an event of a type, with a text in its
// line, in the stream of the run directory DIR.
func waitEvent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: waitevent DIR TYPE [TEXT]")
	}
	file := ts.MkAbs(filepath.Join(args[0], "events.jsonl"))
	text := strings.Join(args[2:], " ")
	found := await(10*time.Minute, func() bool {
		data, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, `"type":"`+args[1]+`"`) && strings.Contains(line, text) {
				return true
			}
		}
		return false
	})
	if !found {
		ts.Fatalf("no %s with %q in %s", args[1], text, file)
	}
}

// waitgone FILE waits until the process whose id is in FILE has ended.
func waitGone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitgone FILE")
	}
	pid := strings.TrimSpace(ts.ReadFile(args[0]))
	gone := await(10*time.Minute, func() bool {
		state, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
		return err != nil || bytes.Contains(state, []byte(") Z "))
	})
	if !gone {
		ts.Fatalf("process %s is still there", pid)
	}
}

// killqemu kills the QEMUs of this script, and no other's.
func killQEMU(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: killqemu")
	}
	killed := 0
	for pid, line := range processes(ts) {
		if strings.Contains(line, "qemu-system-") {
			ts.Check(syscall.Kill(pid, syscall.SIGKILL))
			killed++
		}
	}
	if killed == 0 {
		ts.Fatalf("no QEMU to kill")
	}
}

// await polls until the condition holds or the limit passes.
func await(limit time.Duration, holds func() bool) bool {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); <-ticker.C {
		if holds() {
			return true
		}
	}
	return false
}
