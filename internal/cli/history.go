package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seatrial/harness/event"
	"seatrial/internal/history"
	"seatrial/internal/rollup"
	"seatrial/internal/stats"
)

// historyFlags name the history.
type historyFlags struct{ file string }

func (f *historyFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.file, "history", "", "the history database (default in the user's state directory)")
}

func (a *app) historyFile(f historyFlags) string {
	return cmp.Or(f.file, filepath.Join(a.stateDir("history"), "history.db"))
}

// openHistory opens the history. With mustExist it is nil where there is none
// yet, unless the user named one.
func (a *app) openHistory(ctx context.Context, f historyFlags, mustExist bool) (*history.DB, error) {
	file := a.historyFile(f)
	if _, err := os.Stat(file); mustExist && errors.Is(err, fs.ErrNotExist) {
		if f.file != "" {
			return nil, usagef("--history %s: there is no such file; `seatrial history import` makes one of run directories", file)
		}
		return nil, nil
	}
	db, err := history.Open(ctx, file)
	if errors.Is(err, history.ErrNewer) {
		return nil, usage(err)
	}
	return db, err
}

// historyRuns is how many earlier runs a result is compared with.
const historyRuns = 200

// remembering adds to a policy what is known before a run.
func (a *app) remembering(ctx context.Context, p rollup.Policy, f historyFlags, run string) (rollup.Policy, error) {
	db, err := a.openHistory(ctx, f, true)
	if err != nil || db == nil {
		return p, err
	}
	p.Earlier, err = db.Before(ctx, run, historyRuns)
	return p, errors.Join(err, db.Close())
}

// loadWith reads a run directory and judges it with what earlier runs know.
func (a *app) loadWith(ctx context.Context, dir string, p rollup.Policy, f historyFlags) (rollup.Result, rollup.Policy, error) {
	fold, err := folded(dir)
	if err != nil {
		return rollup.Result{}, p, noRun(err)
	}
	if p, err = a.remembering(ctx, p, f, fold.Result().Run.ID); err != nil {
		return rollup.Result{}, p, err
	}
	p.ReadText = textsIn(dir)
	return judged(fold, p, nil), p, nil
}

// record keeps a finished run.
func (a *app) record(ctx context.Context, f historyFlags, r rollup.Result, p rollup.Policy, dir string) error {
	db, err := a.openHistory(ctx, f, false)
	if err != nil {
		return err
	}
	if full, err := filepath.Abs(dir); err == nil {
		dir = full
	}
	return errors.Join(db.Record(ctx, rollup.Record(r, p, dir)), db.Close())
}

// expected returns how long a cell is thought to take, 0 if that is not known.
func (a *app) expected(ctx context.Context, f historyFlags) (func(event.Cell) time.Duration, error) {
	none := func(event.Cell) time.Duration { return 0 }
	db, err := a.openHistory(ctx, f, true)
	if err != nil || db == nil {
		return none, err
	}
	times, err := db.Durations(ctx)
	if err = errors.Join(err, db.Close()); err != nil {
		return none, err
	}
	return func(c event.Cell) time.Duration {
		return times[history.Cell{Test: c.Test, Platform: c.Platform, Arch: c.Arch, Accel: c.Accel}]
	}, nil
}

func (a *app) historyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "history", Short: "What earlier runs know: import, show, prune",
		Long: `The history knows how tests ended in earlier runs: since when one fails, when it
passed last, how flaky it is, which failures are the same one. Runs record
themselves; it can be made again from run directories.`,
		Args: positional(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return usagef("history: say what: import, show or prune")
		},
	}
	cmd.AddCommand(a.historyImportCommand(), a.historyShowCommand(), a.historyPruneCommand())
	return cmd
}

func (a *app) historyImportCommand() *cobra.Command {
	var f historyFlags
	var files policyFlags
	cmd := &cobra.Command{
		Use: "import DIR ...", Short: "Record run directories",
		Long: `Record the runs in these directories, judged by the policy files that are given.
A run that is already there is replaced, so nothing is counted twice.`,
		Args: positional(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			p, err := files.policy()
			if err != nil {
				return err
			}
			db, err := a.openHistory(cmd.Context(), f, false)
			if err != nil {
				return err
			}
			for _, dir := range dirs {
				if err = importRun(cmd.Context(), cmd.OutOrStdout(), db, dir, p); err != nil {
					break
				}
			}
			return errors.Join(err, db.Close())
		},
	}
	f.register(cmd.Flags())
	files.register(cmd.Flags())
	return cmd
}

// importRun records the run in a directory. Its clusters keep the ids that they
// have in the history.
func importRun(ctx context.Context, out io.Writer, db *history.DB, dir string, p rollup.Policy) error {
	fold, err := folded(dir)
	if err != nil {
		return noRun(err)
	}
	if p.Earlier, err = db.Before(ctx, fold.Result().Run.ID, 0); err != nil {
		return err
	}
	p.ReadText = textsIn(dir)
	r := judged(fold, p, nil)
	if full, err := filepath.Abs(dir); err == nil {
		dir = full
	}
	if err := db.Record(ctx, rollup.Record(r, p, dir)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "run %s: %d tests, %s\n", r.Run.ID, len(r.Results), r.Gate.Verdict)
	return err
}

func (a *app) historyPruneCommand() *cobra.Command {
	var f historyFlags
	var older time.Duration
	var keep int
	cmd := &cobra.Command{
		Use: "prune", Short: "Forget old runs",
		Long: `Forget the runs that are older than a time. The clusters of their failures and
the causes of those stay: they are how later failures are recognised.`,
		Args: positional(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if older <= 0 || keep < 0 {
				return usagef("history prune: --older-than wants a time above 0, --keep a number from 0 on")
			}
			db, err := a.openHistory(cmd.Context(), f, true)
			if err != nil {
				return err
			}
			n := 0
			if db != nil {
				n, err = db.Prune(cmd.Context(), time.Now().Add(-older), keep)
				err = errors.Join(err, db.Close())
			}
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%d runs forgotten\n", n)
			}
			return err
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().DurationVar(&older, "older-than", 180*24*time.Hour, "forget runs that started longer ago")
	cmd.Flags().IntVar(&keep, "keep", 20, "the newest runs that are kept in any case")
	return cmd
}

func (a *app) historyShowCommand() *cobra.Command {
	var f historyFlags
	var runs int
	var cluster string
	cmd := &cobra.Command{
		Use: "show [PATTERN ...]", Short: "Show how tests ended in earlier runs",
		Long: `Show how the tests that the globs match ended in the newest runs, the latest at
the right: . pass, F fail, ~ flaky, k known, + fixed, E error, s skip, ? missing.
The rate is that of runs in which a test failed or was flaky, with its 95 %
interval (Wilson).`,
		RunE: func(cmd *cobra.Command, words []string) error {
			for _, w := range words {
				if _, err := path.Match(w, ""); err != nil {
					return usagef("%q is not a glob: [ and \\ need their partners", w)
				}
			}
			if runs < 1 {
				return usagef("--runs %d: want a number from 1 on", runs)
			}
			db, err := a.openHistory(cmd.Context(), f, true)
			if err != nil {
				return err
			}
			if db == nil {
				return usagef("there is no history yet: runs record themselves, and `seatrial history import` records run directories")
			}
			if cluster != "" {
				err = showCluster(cmd.Context(), cmd.OutOrStdout(), db, cluster)
			} else {
				err = showHistory(cmd.Context(), cmd.OutOrStdout(), db, words, runs)
			}
			return errors.Join(err, db.Close())
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().IntVar(&runs, "runs", 30, "how many of the newest runs")
	cmd.Flags().StringVar(&cluster, "cluster", "", "instead list the failures in this cluster, the newest first")
	return cmd
}

func showHistory(ctx context.Context, out io.Writer, db *history.DB, globs []string, runs int) error {
	m, err := db.Matrix(ctx, runs, "")
	if err != nil {
		return err
	}
	var cells []history.Cell
	for c := range m {
		if len(globs) == 0 || slices.ContainsFunc(globs, func(g string) bool { ok, _ := path.Match(g, c.Test); return ok }) {
			cells = append(cells, c)
		}
	}
	if len(cells) == 0 {
		return usagef("no test of the newest %d runs matches %s", runs, strings.Join(globs, " "))
	}
	slices.SortFunc(cells, func(a, b history.Cell) int {
		return cmp.Or(cmp.Compare(a.Test, b.Test), cmp.Compare(a.Platform, b.Platform), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Accel, b.Accel), cmp.Compare(a.Product, b.Product))
	})
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range cells {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Test, strings.Join(strings.Fields(strings.Join([]string{c.Platform, c.Arch, c.Accel, c.Product}, " ")), "-"), strip(m[c]), inWords(m[c]))
	}
	return w.Flush()
}

// strip is a character for each run.
func strip(past []history.Past) string {
	signs := map[rollup.Verdict]byte{
		rollup.Pass: '.', rollup.Fail: 'F', rollup.Flaky: '~', rollup.Known: 'k', rollup.Fixed: '+', rollup.Error: 'E', rollup.Skip: 's',
	}
	var b strings.Builder
	for _, one := range past {
		b.WriteByte(cmp.Or(signs[rollup.Verdict(one.Verdict)], '?'))
	}
	return b.String()
}

// inWords says how often a cell failed, since when, and when it passed last.
func inWords(past []history.Past) string {
	bad, judged := 0, 0
	var firstFailed, lastPassed *history.Past
	for i, one := range past {
		switch v := rollup.Verdict(one.Verdict); {
		case v == rollup.Fail || v == rollup.Known:
			judged, bad = judged+1, bad+1
			if firstFailed == nil {
				firstFailed = &past[i]
			}
		case v.Passed():
			judged, firstFailed, lastPassed = judged+1, nil, &past[i]
			if v == rollup.Flaky {
				bad++
			}
		}
	}
	if judged == 0 {
		return "never passed or failed"
	}
	text := fmt.Sprintf("%d of %d", bad, judged)
	if in, err := stats.Wilson(bad, judged, 0.95); err == nil {
		text += fmt.Sprintf(" (%.0f%% to %.0f%%)", 100*in.Low, 100*in.High)
	}
	if firstFailed != nil {
		text += ", fails since " + when(firstFailed.Seen)
		if lastPassed != nil {
			text += ", passed last " + when(lastPassed.Seen)
		}
	}
	return text
}

func when(s history.Seen) string {
	text := s.Time.Format("2006-01-02 15:04")
	if s.Version != "" {
		text += " (" + s.Version + ")"
	}
	return text
}

// maxOccurrences bounds a listing.
const maxOccurrences = 200

func showCluster(ctx context.Context, out io.Writer, db *history.DB, id string) error {
	all, err := db.Clusters(ctx)
	if err != nil {
		return err
	}
	c, ok := all[id]
	if !ok {
		return usagef("--cluster %s: the history has no such cluster", id)
	}
	fmt.Fprintf(out, "%s  %s\n  first seen %s in run %s\n", c.ID, c.Title, when(c.First), c.First.Run)
	if c.Category != "" {
		fmt.Fprintf(out, "  cause: %s\n", strings.Join(strings.Fields(c.Category+" "+c.Tracker+" "+c.Owner), " "))
	}
	found, err := db.Occurrences(ctx, id, maxOccurrences)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, o := range found {
		test := o.Test
		if o.Part != "" {
			test += "/" + o.Part
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", when(o.Seen), o.Run, test, strings.Join(strings.Fields(o.Platform+" "+o.Arch+" "+o.Accel), "-"))
	}
	return errors.Join(err, w.Flush())
}
