package cli

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"

	"seatrial/harness"
	"seatrial/harness/event"
	"seatrial/internal/schedule"
	"seatrial/platforms"
)

// options says to the engine what the flags say.
func (r *run) options(budget *schedule.Budget, drain <-chan struct{}) harness.Options {
	o := harness.Options{
		Emit:         func(b event.Body) error { return r.store.Append(b) },
		ArtifactDir:  r.artifactDir,
		Reproduce:    r.reproduce,
		Facts:        r.facts(),
		Files:        harness.Files{Dir: r.cacheDir("fixtures"), Given: r.flags.files},
		Log:          r.log,
		Budget:       budget,
		Expected:     r.lasts,
		Start:        harness.Start(r.flags.start),
		VerifyForks:  r.verifyForks(),
		Pack:         r.flags.pack,
		Retries:      r.flags.retries,
		Repeat:       r.flags.repeat,
		TimeoutScale: r.flags.timeoutScale,
		FailFast:     r.flags.failFast,
		Capture:      r.flags.capture,
		Drain:        drain,
		Keep:         harness.Keep(r.flags.keep),
		KeepFor:      r.flags.keepFor,
		Kept:         r.kept,
	}
	if r.flags.shellOnFail {
		o.OnFailure = r.shellOnFail
		o.Retries = 0
	}
	if r.resumed {
		o.Done = func(c event.Cell) bool { return r.progress.Cells[c].Finished }
		o.Tried = func(c event.Cell) int { return r.progress.Cells[c].Attempts }
	}
	return o
}

// verifyForks is the share of passes from forks that is repeated cold: what the
// user said, and else a few in CI.
func (r *run) verifyForks() float64 {
	ci, _ := strconv.ParseBool(r.env.Getenv("CI"))
	switch {
	case r.flags.verifyForks != "":
		return r.flags.verifyShare() // check saw to it
	case ci:
		return 0.03
	}
	return 0
}

// facts is what is known of images.
func (a *app) facts() harness.FactsCache {
	return harness.FactsCache{Dir: a.cacheDir("facts"), Host: processor()}
}

func (r *run) artifactDir(cell event.Cell, n int) (string, error) {
	dir := r.store.ArtifactDir(cell, n, "")
	return dir, os.MkdirAll(dir, 0o755)
}

func (r *run) kept(cell event.Cell, handle string) {
	r.report.note(fmt.Sprintf("%s (%s): machines are kept for %s; enter them by: seatrial ssh %s", cell.Test, cell.Arch, r.flags.keepFor, handle))
}

// shells lets one failed attempt at a time have the terminal.
type shells struct{ mu sync.Mutex }

// shellOnFail gives the user a shell in the first machine of a failed attempt.
func (r *run) shellOnFail(ctx context.Context, cell event.Cell, machines []platforms.Machine) {
	r.shells.mu.Lock()
	defer r.shells.mu.Unlock()
	sh, ok := machines[0].(platforms.Sheller)
	if !ok {
		r.report.note("no shell: machines of " + cell.Platform + " have none")
		return
	}
	resume := r.report.pause()
	defer resume()
	fmt.Fprintf(r.env.Stderr, "\n%s failed on %s; this is a shell in %s. Leave it to go on.\n", cell.Test, cell.Arch, machines[0].ID())
	if err := r.shell(ctx, sh); err != nil {
		fmt.Fprintf(r.env.Stderr, "seatrial: shell: %v\n", err)
	}
}
